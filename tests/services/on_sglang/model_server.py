"""A real model server for the tests: SGLang on the CPU with longwatch-nano, started by our command.

Where SGLang is not installed, tests skip and say why, which CI does not accept (tests/conftest.py).
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from memory.tokens import TokenStore
from models.checkpoint import Checkpoint
from models.engine import ClipTokens
from models.processor import Processor
from services.describing import stored_tokens
from services.settings import SHIPPED_MODEL
from streaming.messages import NS_PER_S, Span, clip_id_of
from tests.streaming.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
MISSING = "SGLang is not installed (make setup EXTRAS=cpu,dev,sglang-cpu)"
START_S = 600.0  # half a minute of one core, which others may want, too
STOP_S = 120.0
CLIP_S = 10
MAX_NEW_TOKENS = 256


class ModelServer:
    """`longwatch serve-model` on a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        if importlib.util.find_spec("sglang") is None:
            pytest.skip(MISSING)
        checkpoint = Checkpoint(SHIPPED_MODEL)
        self.tokens = str(directory / "tokens")
        self.store = TokenStore(self.tokens)
        self.layout_id = checkpoint.layout.layout_id
        self.processor = Processor.from_pretrained(SHIPPED_MODEL, checkpoint.layout)
        self.log = directory / "log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = ["--data", str(directory), "serve-model", "--port", str(port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", *command],
                cwd=ROOT,
                env={**os.environ, "LONGWATCH_MODEL_THREADS": "1"},  # noqa: TID251 - to pass on
                stdout=log,
                stderr=log,
            )
        self.client = httpx2.Client(base_url=self.url, timeout=STOP_S)

    def until_ready(self) -> None:
        give_up_s = time.monotonic() + START_S
        while f" at {self.url}\n" not in self.log.read_text():
            if self._process.poll() is not None or time.monotonic() > give_up_s:
                pytest.fail(f"the model server does not start:\n{self.log.read_text()[-5000:]}")
            time.sleep(0.2)

    def remember(self, number: int, tokens: ClipTokens) -> str:
        """Store the tokens of a clip, and say what it is called."""
        start_ns, length_ns = number * CLIP_S * NS_PER_S, CLIP_S * NS_PER_S
        span = Span(stream_id="door", start_ns=start_ns, end_ns=start_ns + length_ns)
        clip_id = clip_id_of(span, self.layout_id)
        self.store.put(stored_tokens(clip_id, tokens))
        return clip_id

    def request(self, prompt: str, clips: Sequence[object] = (), **sampling: Any) -> dict[str, Any]:
        """A request for the most likely text."""
        params = {"temperature": 0, "max_new_tokens": MAX_NEW_TOKENS, **sampling}
        request: dict[str, Any] = {
            "text": self.processor.turn(prompt),
            "sampling_params": params,
        }
        return request | ({"video_data": [str(clip) for clip in clips]} if clips else {})

    def generate(self, request: dict[str, Any]) -> httpx2.Response:
        return self.client.post("/generate", json=request)

    def write(self, prompt: str, clips: Sequence[object] = (), **sampling: Any) -> dict[str, Any]:
        """What it answers, which must be an answer."""
        reply = self.generate(self.request(prompt, clips, **sampling))
        assert reply.status_code == 200, reply.text
        return reply.json()

    def stream(self, request: dict[str, Any]) -> Generator[dict[str, Any]]:
        with self.client.stream("POST", "/generate", json={**request, "stream": True}) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def num_running(self) -> int:
        """Requests that are answered at the moment."""
        (load,) = self.client.get("/v1/loads").json()["loads"]
        return load["num_running_reqs"]

    def stop(self) -> int:
        self.client.close()
        self._process.terminate()
        return self._process.wait(STOP_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
