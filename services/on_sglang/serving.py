"""The model server: SGLang in this process and its children, told what our model needs.

It ends by SIGTERM or Ctrl-C, when what it was asked is answered.
"""

import os
import signal
import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from models.checkpoint import Checkpoint
from models.config import LongwatchConfig
from models.errors import CheckpointUnreadable
from services.errors import (
    AddressUnusable,
    ModelServerFailed,
    ModelServerMissing,
    ModelUnavailable,
    reason_of,
)
from services.promoted import served_model
from services.settings import Settings
from services.wiring import model_threads

CPU_CACHE_BYTES = 256 * 2**20  # of keys and values; on a CPU SGLang takes all memory unasked
FLOAT32_BYTES = 4
Told = Callable[[str, str], None]
"""Told once, when questions are answered: the URL and what the model is called."""


def serve(
    settings: Settings, *, host: str, port: int, options: Sequence[str], on_ready: Told
) -> None:
    """Serve the model until stopped. `options` are SGLang's own, which overrule ours.

    Raises:
        ModelServerMissing, ModelUnavailable, AddressUnusable, ModelServerFailed
    """
    if find_spec("sglang") is None:
        raise ModelServerMissing
    settings = settings.model_copy(update={"model": served_model(settings)})
    try:
        checkpoint = Checkpoint(settings.model)
        model_id = checkpoint.model_id
    except CheckpointUnreadable as error:
        raise ModelUnavailable(str(settings.model), reason=error.why) from error
    check_free(host, port)
    os.environ.update(environment(settings))  # noqa: TID251 - SGLang's processes are told by it

    from sglang.srt.entrypoints.http_server import launch_server
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    from services.on_sglang.manager import manager_of
    from services.on_sglang.warming import warm_up

    ours = arguments(settings, checkpoint.config, model_id=model_id, host=host, port=port)
    server_args = prepare_server_args([*ours, *options])
    server_args.resolve_once()
    try:
        launch_server(
            server_args,
            init_tokenizer_manager_func=manager_of,
            execute_warmup_func=warm_up,
            launch_callback=lambda: on_ready(f"http://{host}:{port}", model_id),
        )
    except RuntimeError as error:
        raise ModelServerFailed(str(error)) from error
    except KeyboardInterrupt:
        pass  # uvicorn raises it again when it has stopped
    finally:
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # children that end now have not crashed
        kill_process_tree(os.getpid(), include_parent=False)


def environment(settings: Settings) -> dict[str, str]:
    """What SGLang's processes, and our parts in them, are told by their environment."""
    told = {
        "SGLANG_EXTERNAL_MODEL_PACKAGE": "models.on_sglang",
        "SGLANG_EXTERNAL_MM_MODEL_ARCH": "LongwatchForConditionalGeneration",
        "SGLANG_EXTERNAL_MM_PROCESSOR_PACKAGE": "services.on_sglang",
        "LONGWATCH_TOKENS_URL": settings.tokens,
    }
    if settings.device == "cpu":
        told |= {
            "CUDA_VISIBLE_DEVICES": "",  # else SGLang asks for its kernels
            "TORCH_COMPILE_DISABLE": "1",  # it would need a C++ compiler, and a minute
            "OMP_NUM_THREADS": str(model_threads(settings)),
        }
    return told


def arguments(
    settings: Settings, config: LongwatchConfig, *, model_id: str, host: str, port: int
) -> list[str]:
    """SGLang's command line."""
    given = [
        *("--model-path", str(settings.model)),
        *("--served-model-name", model_id, "--weight-version", model_id),
        *("--host", host, "--port", str(port)),
        *("--log-level-http", "warning"),  # a line for each request is no log
        *("--grammar-backend", "llguidance"),  # which holds replies to schemas in process, too
    ]
    device, _, number = settings.device.partition(":")
    given += ["--device", device]
    if device == "cpu":
        given += ["--attention-backend", "torch_native", "--sampling-backend", "pytorch"]
        given += ["--dtype", "float32", "--max-total-tokens", str(most_tokens(config))]
        given += ["--sleep-on-idle"]  # else waiting for a request takes a whole core
    elif number:
        given += ["--base-gpu-id", number]
    return given


def most_tokens(config: LongwatchConfig) -> int:
    """How many tokens' keys and values are kept on a CPU: one whole context at least."""
    decoder = config.text_config
    width = decoder.hidden_size // decoder.num_attention_heads * decoder.num_key_value_heads
    token_bytes = 2 * decoder.num_hidden_layers * width * FLOAT32_BYTES
    return max(decoder.max_position_embeddings, CPU_CACHE_BYTES // token_bytes)


def check_free(host: str, port: int) -> None:
    """Raises AddressUnusable: nothing can listen there. SGLang would say so after a minute."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise AddressUnusable(
            f"{host}:{port}", option="--host or --port", reason=reason_of(error)
        ) from error
