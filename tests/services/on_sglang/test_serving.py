"""The command that serves the model: what it tells SGLang, and what it refuses before."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.config import LongwatchConfig
from services.cli import app
from services.on_sglang import serving
from services.on_sglang.serving import arguments, environment, most_tokens
from services.settings import SHIPPED_MODEL, load_settings
from tests.streaming.servers import free_port


def options_of(device: str) -> dict[str, str]:
    settings = load_settings(device=device)
    config = LongwatchConfig.from_pretrained(SHIPPED_MODEL)
    given = arguments(settings, config, model_id="nano@1", host="127.0.0.1", port=1)
    beside = zip(given, [*given[1:], ""], strict=True)
    return {name: value for name, value in beside if name.startswith("--")}


def test_on_a_cpu_it_computes_with_plain_torch() -> None:
    options = options_of("cpu")

    assert options["--device"] == "cpu"
    assert options["--attention-backend"] == "torch_native"
    assert options["--dtype"] == "float32"
    assert "--sleep-on-idle" in options
    assert environment(load_settings(device="cpu"))["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(("device", "number"), [("cuda", None), ("cuda:1", "1")])
def test_on_a_gpu_sglang_chooses(device: str, number: str | None) -> None:
    options = options_of(device)

    assert options["--device"] == "cuda"
    assert options.get("--base-gpu-id") == number
    assert not options.keys() & {"--attention-backend", "--dtype", "--max-total-tokens"}
    assert "CUDA_VISIBLE_DEVICES" not in environment(load_settings(device=device))


def test_on_a_cpu_the_cache_is_bounded_and_holds_a_context() -> None:
    config = LongwatchConfig.from_pretrained(SHIPPED_MODEL)
    assert most_tokens(config) * 2 * 4 * 4 * 32 * 4 == serving.CPU_CACHE_BYTES

    config.text_config.max_position_embeddings = 1_000_000
    assert most_tokens(config) == 1_000_000


def test_the_model_server_is_told_where_tokens_are(tmp_path: Path) -> None:
    assert environment(load_settings(data=tmp_path))["LONGWATCH_TOKENS_URL"] == str(
        tmp_path / "tokens"
    )


def refused(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*options, "--json"])
    return result.exit_code, json.loads(result.stdout)["error"]["message"]


def test_without_sglang_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda name: None)

    code, message = refused("serve-model")

    assert code == 1
    assert "SGLang is not installed; docs/model.md" in message


def test_a_checkpoint_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda name: True)

    code, message = refused("--model", str(tmp_path), "serve-model")

    assert code == 1
    assert f"model {tmp_path} cannot be loaded (there is no config.json in it)" in message


def test_a_port_that_is_taken_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "find_spec", lambda name: True)
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]

        code, message = refused("serve-model", "--port", str(port))

    assert code == 1
    assert f"nothing can listen at 127.0.0.1:{port} (address already in use)" in message
