"""transformers' own server, with its API that is compatible with OpenAI's, in this process."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.server import build_server
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerationState
from transformers.models.auto.modeling_auto import AutoModelForImageTextToText

PATIENCE_S = 60.0


class OneModel(ModelManager):
    """One folder's model, listed by that name, loaded as `from_pretrained` does by itself.

    The server's own ways need one more package, and a cache of downloads.
    """

    def _load_model(self, model_id_and_revision: str, *_: Any, **__: Any) -> Any:
        path = model_id_and_revision.split("@")[0]
        return AutoModelForImageTextToText.from_pretrained(path, dtype="float32")

    def get_gen_models(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return [{"id": self.force_model, "object": "model"}]


@contextmanager
def serving_vlm(path: Path, *, port: int = 0) -> Generator[str]:
    """Serve the model in a folder; the URL that clients are given."""
    manager = OneModel(device="cpu", force_model=str(path))
    state = GenerationState()
    app = build_server(
        manager,
        ChatCompletionHandler(manager, state),
        completion_handler=CompletionHandler(manager, state),
        response_handler=ResponseHandler(manager, state),
        transcription_handler=TranscriptionHandler(manager, state),
        systemone_handler=SystemOneHandler(manager, state),
        generation_state=state,
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    listening = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=server.run, args=([listening],), name="vlm")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listening.close()
