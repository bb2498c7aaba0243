"""What two processes learn together is what one learns alone, as far as rounding allows."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.several_devices import launched_devices
from models.stages import StageName
from tests.conftest import ROOT
from tests.models.builders import tiny_engine
from tests.models.learning_on_devices import STEPS, learn

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def on_two_devices(out: Path, stage: StageName, *more: str) -> None:
    ran = subprocess.run(
        [*LAUNCH, "-m", "tests.models.learning_on_devices", str(out), stage, *more],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("stage", "lora"),
    [(StageName.ALIGN, False), (StageName.PRETRAIN, False), (StageName.INSTRUCT, True)],
)
def test_two_devices_learn_what_one_learns(tmp_path: Path, stage: StageName, lora: bool) -> None:
    learn(tmp_path / "one", stage, lora=lora)
    on_two_devices(tmp_path / "two", stage, *["--lora"] * lora)

    one, two = (torch.load(tmp_path / name) for name in ("one", "two"))
    assert len(two["losses"]) == STEPS
    assert two["losses"][0]["loss_0"] == pytest.approx(one["losses"][0]["loss_0"], rel=1e-4)
    for alone, together in zip(one["losses"], two["losses"], strict=True):
        assert together == pytest.approx(alone, rel=0.01)
    start = tiny_engine().model.state_dict()
    assert list(two["weights"]) == list(one["weights"])
    apart = moved = 0.0
    for name, weight in one["weights"].items():
        apart += float((two["weights"][name] - weight).square().sum())
        moved += float((weight - start[name]).square().sum())
    assert apart < 0.02 * moved


def test_a_process_that_nobody_launched_has_one_device() -> None:
    with launched_devices("cpu") as devices:
        assert devices is None
