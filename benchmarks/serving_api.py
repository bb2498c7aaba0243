"""What the HTTP API adds to an answer: `longwatch up` on a memory of nano's world, asked in turn.

After each question the service says how long its answer took, and how long its reply: the first is
subtracted from the second. What is left are the request, rights, the socket between API and the
service that answers, and JSON.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.decode import spread
from benchmarks.running import service, until
from benchmarks.watching import watch
from models.nano.footage import render
from models.nano.world import write_script
from services.settings import load_settings
from tests.services.processes import measured
from tests.streaming.servers import free_port

SEED, PACE = 4712, 3.0
START_S = 180.0
ROUTE = {"route": "/v1/chat/completions", "method": "POST"}
REPLY, ANSWER = "longwatch_http_request_seconds_sum", "longwatch_stage_seconds_sum"


def api_overhead(data: Path, *, questions: int, film_s: float) -> dict[str, Any]:
    """Ask so many questions, one after another, after one to warm up."""
    with asked_service(data, film_s) as client:
        before = times_s(client)
        added_ms: list[float] = []
        answers_ms: list[float] = []
        for number in range(questions + 1):
            question = f"What happened after 0:00:{number:02}?"
            asked = {"messages": [{"role": "user", "content": question}]}
            client.post("/v1/chat/completions", json=asked).raise_for_status()
            after = times_s(client)
            if number:
                answers_ms.append(1e3 * (after[1] - before[1]))
                added_ms.append(1e3 * (after[0] - before[0]) - answers_ms[-1])
            before = after
    return {"added_ms": spread(added_ms), "answer_ms": spread(answers_ms)}


@contextmanager
def asked_service(data: Path, film_s: float) -> Generator[httpx2.Client]:
    """A client of a service that remembers a short film."""
    settings = load_settings(data=data)
    film = data.with_suffix(".mp4")
    script = write_script(SEED, duration_s=film_s, pace=PACE)
    render(script, film, on_progress=lambda share: None)
    watch(settings, {"yard": film})
    url = f"http://127.0.0.1:{free_port()}"
    with (
        service(settings, "up", "--json", "--listen", url.removeprefix("http://")) as up,
        httpx2.Client(base_url=url, timeout=START_S, trust_env=False) as client,
    ):
        until(lambda: is_ready(client), up, within_s=START_S)
        yield client


def is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/v1/search", params={"q": "a person"}).is_success
    except httpx2.TransportError:
        return False


def times_s(client: httpx2.Client) -> tuple[float, float]:
    """All replies' seconds so far, and all answers'."""
    text = client.get("/metrics").text
    reply_s = measured(text, REPLY, **ROUTE) or 0.0
    return reply_s, measured(text, ANSWER, stage="answer") or 0.0
