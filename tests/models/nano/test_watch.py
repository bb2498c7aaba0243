"""What goes on at a frame is what the script says, and the first layers learn to tell it."""

import numpy as np
import pytest
import torch

from models.nano.watch import FACTS, NUMBER_OF, Watched, facts_by_frame, watcher, watching
from models.nano.world import Script, write_script
from models.train import Stage, train
from tests.models.builders import tiny_engine
from tests.models.test_train import clip


@pytest.fixture(scope="module")
def script() -> Script:
    return write_script(11, duration_s=1200)


def test_a_happening_is_a_fact_of_the_frames_within_it(script: Script):
    known = facts_by_frame(script, fps=2)

    for one in script.happenings:
        inside = np.arange(len(known)) / 2
        inside = (inside >= one.start_s) & (inside < one.end_s)
        assert known[inside, NUMBER_OF[one.text]].all()
    total = sum(known[:, NUMBER_OF[text]].sum() for text in {one.text for one in script.happenings})
    assert total == pytest.approx(
        sum(min(h.end_s, 1200) - max(h.start_s, 0) for h in script.happenings) * 2, rel=0.05
    )


def test_the_gate_is_open_from_the_middle_of_its_opening(script: Script):
    known = facts_by_frame(script, fps=1)[:, NUMBER_OF["the gate is open"]]

    for one in script.gate:
        middle_s = sum(one.span_s) / 2
        if 1 < middle_s < 1199:
            assert known[int(np.ceil(middle_s))] == one.on
            assert known[int(np.ceil(middle_s)) - 1] != one.on


def test_the_lower_layers_learn_what_goes_on():
    engine, rng = tiny_engine(), np.random.default_rng(0)
    batch = [Watched(clip(n), rng.random((3, len(FACTS))) < 0.05) for n in range(3)]
    torch.manual_seed(0)
    engine.model.watcher = watcher(engine.model.config.text_config.hidden_size)
    lr = {"projector": 1e-2, "language_model": 1e-2, "watcher": 3e-2}
    seen: list[dict[str, float]] = []

    train(
        engine.model,
        engine.processor,
        Stage("test", lr, num_steps=150, warmup_steps=5),
        [watching(iter(lambda: batch, None), engine.model.watcher)],
        report=seen.append,
        report_every=20,
    )

    assert seen[-1]["loss_0"] < 0.7 * seen[0]["loss_0"]
