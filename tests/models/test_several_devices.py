"""What two processes learn together is what one learns alone, as far as rounding allows."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.reply_loss import KEPT
from models.several_devices import launched_devices
from tests.conftest import ROOT
from tests.models.builders import tiny_engine
from tests.models.learning_on_devices import STEPS, TUNINGS, learn

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes learnt, which end as they are to: with what they printed, and at once."""
    out = tmp_path_factory.mktemp("together")
    ran = subprocess.run(
        [*LAUNCH, "-m", "tests.models.learning_on_devices", str(out)],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["learnt", "learnt"]
    return out


@pytest.mark.parametrize("name", TUNINGS)
def test_two_devices_learn_what_one_learns(together: Path, tmp_path: Path, name: str) -> None:
    learn(tmp_path / name, TUNINGS[name], None)

    one, two = (torch.load(folder / name) for folder in (tmp_path, together))
    assert len(two["losses"]) == STEPS
    assert two["losses"][0]["loss_0"] == pytest.approx(one["losses"][0]["loss_0"], rel=1e-4)
    for alone, both in zip(one["losses"], two["losses"], strict=True):
        for kind, value in alone.items():
            coarse = kind.startswith("retrieval")  # in bfloat16, whose steps are of up to 0.8 %
            near = 3e-4 * KEPT if kind == "loss_1" else 1e-4  # of what is replayed, in nats
            wanted = pytest.approx(value, rel=0.03 if coarse else 0.01, abs=near)
            assert both[kind] == wanted, kind
    start = tiny_engine().model.state_dict()
    assert list(two["weights"]) == list(one["weights"])
    apart = moved = 0.0
    for weight_name, weight in one["weights"].items():
        apart += float((two["weights"][weight_name] - weight).square().sum())
        moved += float((weight - start[weight_name]).square().sum())
    assert apart < 0.02 * moved


def test_a_process_that_nobody_launched_has_one_device() -> None:
    with launched_devices("cpu") as devices:
        assert devices is None
