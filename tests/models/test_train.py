"""The trainer: what is learnt from, what learns, and that it does."""

import numpy as np
import pytest
import torch

from models.compress import compress
from models.layout import SlowFast
from models.processor import Frames
from models.train import IGNORED, ClipFeatures, Sample, Stage, collate, replies, schedule, train
from models.transformers_engine import TransformersEngine
from tests.models.builders import tiny_engine, tiny_layout

PARTS = {"projector": 1e-2, "language_model": 1e-2, "visual_head": 3e-3, "text_head": 3e-3}


def clip(seed: int) -> ClipFeatures:
    layout = tiny_layout(SlowFast(slow_stride=3, pool=1))
    features = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(seed))
    tokens = compress(features, layout)
    return ClipFeatures(
        tokens.features_KC.half().numpy(),
        tokens.slot_K.numpy(),
        tokens.place_K2.numpy(),
        Frames(tokens.frame_K.numpy().astype(np.int16), np.arange(3, dtype=np.float32)),
    )


def samples() -> list[Sample]:
    return [
        Sample("what <video>", "yes", (clip(1),), captions=("a", "b")),
        Sample("what <video>", "no", (clip(2),), captions=("c",)),
    ]


def source():
    while True:
        yield samples()


def reports_of(engine: TransformersEngine, stage: Stage, *, every: int) -> list[dict[str, float]]:
    """Train on the samples, and return what was reported."""
    seen: list[dict[str, float]] = []
    train(
        engine.model,
        engine.processor,
        stage,
        [replies(source())],
        report=seen.append,
        report_every=every,
    )
    return seen


def test_only_the_reply_is_learnt_from():
    processor = tiny_engine().processor

    ids, labels = collate(processor, samples())

    for row, sample in enumerate(samples()):
        taught = labels[row][labels[row] != IGNORED].tolist()
        assert taught == processor.reply_ids(sample.reply)
        assert (ids[row][labels[row] != IGNORED] == torch.tensor(taught)).all()


def test_a_stage_learns_what_it_is_shown_and_nothing_else_changes():
    engine = tiny_engine()
    tower = {name: p.clone() for name, p in engine.model.vision_tower.state_dict().items()}

    stage = Stage("test", PARTS, num_steps=80, warmup_steps=5)
    seen = reports_of(engine, stage, every=20)

    assert seen[-1]["loss_0"] < 0.5 * seen[0]["loss_0"]
    assert seen[-1]["retrieval_0"] < seen[0]["retrieval_0"]
    for name, parameter in engine.model.vision_tower.state_dict().items():
        assert torch.equal(parameter, tower[name])


def test_the_same_seed_gives_the_same_losses():
    stage = Stage("test", PARTS, num_steps=4, warmup_steps=1)

    assert reports_of(tiny_engine(), stage, every=1) == reports_of(tiny_engine(), stage, every=1)


def test_a_part_that_the_model_does_not_have_is_named():
    engine = tiny_engine()
    stage = Stage("test", {"audio_tower": 1e-3}, num_steps=1)

    with pytest.raises(ValueError, match="audio_tower"):
        train(
            engine.model, engine.processor, stage, [replies(source())], report=lambda values: None
        )


def test_the_learning_rate_warms_up_and_ends_at_zero():
    stage = Stage("test", PARTS, num_steps=100, warmup_steps=10)

    assert schedule(0, stage) == pytest.approx(0.1)
    assert schedule(10, stage) == pytest.approx(1.0)
    assert schedule(100, stage) == pytest.approx(0.0)
