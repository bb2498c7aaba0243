"""Learns what a test says on the devices that torchrun gives, or on one: OUT STAGE [--lora].

Writes losses and weights to OUT. Some lessons show a clip, some of those with captions, some not.
"""

import sys
from pathlib import Path

import torch

from models.finetune import Drawing, Lesson, Tuning, batches, stage_of
from models.lora import merge
from models.several_devices import launched_devices
from models.stages import StageName
from models.train import Sample, replies, train
from tests.models.builders import tiny_engine
from tests.models.test_train import clip

STEPS, BATCH_SIZE = 8, 4


def lessons(stage: StageName) -> list[Lesson]:
    shown = [
        Sample("what <video>", "yes", (clip(1),), captions=("a", "b")),
        Sample("what <video>", "no", (clip(2),), captions=("c",)),
        Sample("what <video>", "yes no what happens", (clip(3),)),
    ]
    text = [Sample("what", "2.0 1.0 no"), Sample("what happens", "1.0")]
    samples = shown if stage is StageName.ALIGN else [*shown, *text]
    return [Lesson("answer", False, "video", lambda one=one: one) for one in samples]


def learn(out: Path, stage: StageName, *, lora: bool) -> None:
    engine, seen = tiny_engine(), list[dict[str, float]]()
    tuning = Tuning(stage, STEPS, BATCH_SIZE, seed=3, lora=lora, lr=0.003, save_memory=lora)
    with launched_devices("cpu") as devices:
        part = (0, 1) if devices is None else devices.part
        drawing = Drawing(BATCH_SIZE, seed=3, first_step=0, part=part)
        train(
            engine.model,
            engine.processor,
            stage_of(engine.model, tuning),
            [replies(batches(lessons(stage), drawing), devices)],
            report=seen.append,
            report_every=1,
            devices=devices,
        )
        if devices is None or devices.is_first:
            merge(engine.model.language_model.model.layers)
            torch.save({"losses": seen, "weights": engine.model.state_dict()}, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    learn(Path(sys.argv[1]), StageName(sys.argv[2]), lora="--lora" in sys.argv)
