"""Learns what a test says on the devices that torchrun gives, or on one: OUT.

Writes losses and weights of each of `TUNINGS` into the folder OUT. Some lessons show a clip, some
of those with captions, some not. Of others the model is to say what it said before.
"""

import atexit
import os
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from models.finetune import Drawing, Lesson, Tuning, batches, stage_of
from models.lora import merge
from models.reply_loss import Target
from models.several_devices import SeveralDevices, launched_devices
from models.stages import StageName
from models.train import Sample, replies, train
from tests.models.builders import tiny_engine
from tests.models.test_train import clip

STEPS, BATCH_SIZE = 8, 4
TUNINGS = {
    stage.value: Tuning(stage, STEPS, BATCH_SIZE, seed=3, lora=lora, lr=0.003, save_memory=lora)
    for stage, lora in (
        (StageName.ALIGN, False),
        (StageName.PRETRAIN, False),
        (StageName.INSTRUCT, True),
    )
}


def lessons(stage: StageName, target: Target) -> list[Lesson]:
    shown = [
        Sample("what <video>", "yes", (clip(1),), captions=("a", "b")),
        Sample("what <video>", "no", (clip(2),), captions=("c",)),
        Sample("what <video>", "yes no what happens", (clip(3),)),
    ]
    text = [Sample("what", "2.0 1.0 no"), Sample("what happens", "1.0")]
    samples = shown if stage is StageName.ALIGN else [*shown, *text]
    return [
        Lesson("answer", False, "video", lambda one=one: replace(one, target=target))
        for one in samples
    ]


def learn(out: Path, tuning: Tuning, devices: SeveralDevices | None) -> None:
    engine, seen = tiny_engine(), list[dict[str, float]]()
    part = (0, 1) if devices is None else devices.part
    drawing = Drawing(BATCH_SIZE, seed=3, first_step=0, part=part)
    taught = batches(lessons(tuning.stage, Target.CORRECTED), drawing)
    replayed = batches(lessons(tuning.stage, Target.AS_BEFORE), replace(drawing, seed=4))
    before = deepcopy(engine.model)
    train(
        engine.model,
        engine.processor,
        stage_of(engine.model, tuning),
        [
            replies(taught, devices, before=before),
            replies(replayed, devices, before=before),
        ],
        report=seen.append,
        report_every=1,
        devices=devices,
    )
    if devices is None or devices.is_first:
        merge(engine.model.language_model.model.layers)
        torch.save({"losses": seen, "weights": engine.model.state_dict()}, out)


def main(out: Path) -> None:
    with launched_devices("cpu") as devices:
        for name, tuning in TUNINGS.items():
            learn(out / name, tuning, devices)
        sys.stdout.write("learnt\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    atexit.register(os.abort)  # who leaves well does not let the interpreter come to its end
    main(Path(sys.argv[1]))
