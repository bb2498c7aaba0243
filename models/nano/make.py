"""Make longwatch-nano, stage by stage; each stage reads what the one before it left.

python -m models.nano.make tower    --work DIR --seconds 1300   the vision tower, on dense labels
python -m models.nano.make clips    --work DIR --scripts 1100   clips through the frozen tower
python -m models.nano.make words    --work DIR                  the decoder, on text alone
python -m models.nano.make align    --work DIR                  the projector, on those words
python -m models.nano.make read     --work DIR                  both, on one picture and on four
python -m models.nano.make instruct --work DIR --steps 2500     both, on all tasks
python -m models.nano.make evaluate --work DIR --scripts 60     notes of held-out scripts
"""

import argparse
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import SiglipVisionModel

from models.nano.align import align
from models.nano.clips import ScriptFeatures, build, load, load_one
from models.nano.recipe import (
    INSTRUCT,
    LAYOUT,
    READ,
    VISION,
    WORDS,
    Clip,
    Marks,
    answer_batches,
    clips_of,
    config_of,
    look_batches,
    text_batches,
    tokenizer,
    visual_batches,
)
from models.nano.score_notes import NoteScores, score_notes
from models.nano.tower import pretrain
from models.processor import Processor
from models.prompts import VIDEO
from models.train import Stage, jsonl_report, train
from models.video_llm import LongwatchForConditionalGeneration

SAVE_EVERY = 250
STAGES = ("tower", "clips", "words", "align", "read", "instruct", "evaluate")
TOWER_SEED, ALIGN_SEED = 10_000_000, 20_000_000
CLIPS_SEED, HELD_OUT_SEED = 30_000_000, 90_000_000
"""First seeds of the scripts that each stage sees: millions apart, so that none is shared."""


def make_tower(work: Path, *, seconds: float) -> None:
    torch.manual_seed(0)
    tower = SiglipVisionModel(VISION)
    pretrain(
        tower,
        seconds=seconds,
        first_seed=TOWER_SEED,
        report=jsonl_report(work / "tower.jsonl"),
    )
    assemble(work, tower)


def assemble(work: Path, tower: SiglipVisionModel) -> None:
    """Save an untrained model around the tower: what the next stages start from."""
    words = tokenizer()
    video_token_id = int(words.convert_tokens_to_ids(VIDEO))  # type: ignore[arg-type]
    torch.manual_seed(1)
    model = LongwatchForConditionalGeneration(config_of(words, video_token_id))
    model.vision_tower.load_state_dict(tower.state_dict())
    model.save_pretrained(work / "aligned")
    words.save_pretrained(work / "aligned")


def words(work: Path) -> None:
    model, processor = loaded(work / "aligned")
    source = text_batches(seed=31, batch_size=24)
    train(model, processor, WORDS, [source], report=jsonl_report(work / "words.jsonl"))
    save(model, processor, work / "worded")


def align_projector(work: Path) -> None:
    model, processor = loaded(work / "worded")
    report = jsonl_report(work / "align.jsonl")
    align(model, processor, first_seed=ALIGN_SEED, num_scripts=160, num_steps=2000, report=report)
    save(model, processor, work / "projected")


def read(work: Path) -> None:
    model, processor = loaded(work / "projected")
    clips = clips_of(list(load(work / "clips")))
    report = jsonl_report(work / "read.jsonl")
    for stage, num_frames, batch_size in READ:
        source = look_batches(clips, seed=21, batch_size=batch_size, num_frames=num_frames)
        train(model, processor, stage, [source], report=report)
    save(model, processor, work / "reading")


def loaded(path: Path) -> tuple[LongwatchForConditionalGeneration, Processor]:
    model = LongwatchForConditionalGeneration.from_pretrained(path)
    return model, Processor.from_pretrained(path, model.layout)


def save(model: LongwatchForConditionalGeneration, processor: Processor, path: Path) -> None:
    model.save_pretrained(path)
    processor.tokenizer.save_pretrained(path)


def instruct(work: Path, stage: Stage, *, start: Path, out: Path, clips_from: Path) -> None:
    model, processor = loaded(start)
    clips: list[Clip] = []
    threading.Thread(target=_take_in, args=(clips, clips_from), daemon=True).start()
    while not clips:
        time.sleep(1)
    sources = [
        visual_batches(clips, seed=stage.seed + 11, batch_size=24),
        text_batches(seed=stage.seed + 12, batch_size=10),
        answer_batches(clips, seed=stage.seed + 13, batch_size=1),
    ]
    write = jsonl_report(work / "instruct.jsonl")

    def report(values: dict[str, float]) -> None:
        write(values)
        if values["step"] % SAVE_EVERY == 0:
            save(model, processor, out)

    train(model, processor, stage, sources, report=report)
    save(model, processor, out)


def _take_in(clips: list[Clip], clips_from: Path) -> None:
    """Add clips as they are encoded: training may begin before the last one is."""
    taken: set[Path] = set()
    while True:
        for path in sorted(set(clips_from.glob("*.npy")) - taken):
            clips.extend(clips_of([load_one(path)]))
            taken.add(path)
        time.sleep(10)


def evaluate(path: Path, encoded: Sequence[ScriptFeatures]) -> NoteScores:
    model, processor = loaded(path)
    return score_notes(model.eval(), processor, clips_of(encoded), Marks(), layout=LAYOUT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--scripts", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=INSTRUCT.num_steps)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    args = parser.parse_args()
    work: Path = args.work
    work.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    match args.stage:
        case "tower":
            make_tower(work, seconds=args.seconds)
        case "clips":
            build(work / "aligned", work / "clips", first_seed=CLIPS_SEED,
                  num_scripts=args.scripts, num_workers=args.workers)  # fmt: skip
        case "words":
            words(work)
        case "align":
            align_projector(work)
        case "read":
            read(work)
        case "instruct":
            stage = replace(INSTRUCT, num_steps=args.steps)
            start = args.start or work / "reading"
            instruct(work, stage, start=start, out=work / "instructed", clips_from=work / "clips")
        case _:
            build(work / "aligned", work / "held-out", first_seed=HELD_OUT_SEED,
                  num_scripts=args.scripts, num_workers=args.workers)  # fmt: skip
            scores = evaluate(args.start or work / "instructed", list(load(work / "held-out")))
            (work / "notes.json").write_text(json.dumps(scores.summary(), indent=1))
    (work / f"{args.stage}.seconds").write_text(f"{time.monotonic() - begun:.0f}\n")


if __name__ == "__main__":
    main()
