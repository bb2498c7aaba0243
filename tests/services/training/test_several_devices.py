"""The command trains on several devices where torchrun starts it, also on after a kill."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from memory.datasets import TRAIN
from models.transformers_engine import TransformersEngine
from services.settings import Settings
from tests.conftest import ROOT
from tests.models.test_several_devices import LAUNCH
from tests.services.test_cli import as_json
from tests.services.training.test_strategies import line_of, write_image
from tests.services.training.test_train import (
    SAVE_EVERY,
    command,
    ended_once,
    metrics,
    taught,
    trained,
)

__all__ = ["taught"]

pytestmark = pytest.mark.timeout(600)  # runs of two processes each, which load torch

PRETRAINED = ("--stage", "pretrain", "--batch-size", "4")


def launched(settings: Settings, out: Path, *more: str) -> subprocess.Popen[str]:
    """The command in two processes."""
    arguments = ["--data", str(settings.data), *command(settings, out, *more)]
    return subprocess.Popen(
        [*LAUNCH, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env={"LONGWATCH_MODEL_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(running: subprocess.Popen[str]) -> dict[str, Any]:
    """What a run says that ends well; only one of its processes says anything."""
    said, complained = running.communicate()
    assert running.returncode == 0, complained
    return json.loads(said)


def test_two_devices_make_the_checkpoint_that_one_makes_also_after_a_kill(
    taught: Settings, tmp_path: Path
) -> None:
    alone, both, broken, fewer = (tmp_path / name for name in ("alone", "both", "broken", "fewer"))
    trained(taught, alone, *PRETRAINED)
    assert finished(launched(taught, both, *PRETRAINED))["out"] == str(both)
    for one, two in zip(metrics(alone), metrics(both), strict=True):
        assert two == pytest.approx(one, rel=0.05)
    weights, others = (load_file(out / "model.safetensors") for out in (alone, both))
    assert {name: (value.shape, value.dtype) for name, value in weights.items()} == {
        name: (value.shape, value.dtype) for name, value in others.items()
    }
    names = sorted(path.name for path in alone.iterdir())
    assert names == sorted(path.name for path in both.iterdir())
    assert (alone / "config.json").read_text() == (both / "config.json").read_text()

    running = launched(taught, broken, *PRETRAINED)
    ended_once(running, signal.SIGTERM, is_there=broken / "state.pt")  # torchrun passes it on
    assert not (broken / "config.json").exists()
    shutil.copytree(broken, fewer)
    assert finished(launched(taught, broken, *PRETRAINED))["went_on_at"] >= SAVE_EVERY
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (broken / name).read_bytes() == (both / name).read_bytes(), name
    assert as_json(trained(taught, fewer, *PRETRAINED))["went_on_at"] >= SAVE_EVERY
    assert metrics(fewer)[-1] == pytest.approx(metrics(both)[-1], rel=0.05)


def test_a_batch_that_is_too_small_to_share_is_refused(taught: Settings, tmp_path: Path) -> None:
    running = launched(taught, tmp_path / "out", "--batch-size", "1")
    _, complained = running.communicate()

    assert running.returncode != 0
    assert "--batch-size 2" in complained
    assert not (tmp_path / "out").exists()


def test_all_stages_of_a_strategy_run_on_two_devices(taught: Settings, tmp_path: Path) -> None:
    folder, out = taught.data.parent / "set", tmp_path / "out"
    write_image(folder / "dim.png", "dim")
    with (folder / TRAIN).open("a") as file:
        file.write(line_of(1, "first", image="dim.png"))
    by = ("--strategy", "S3-IV", "--steps", "2", "--batch-size", "4")

    told = finished(launched(taught, out, *by))

    assert TransformersEngine.load(out).model_id == told["model_id"]
    assert all((out / name / "config.json").exists() for name in ("1-align", "2-pretrain"))
