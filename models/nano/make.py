"""Make longwatch-nano, stage by stage; each stage reads what the one before it left.

python -m models.nano.make tower    --work DIR --seconds 1300   the vision tower, on dense labels
python -m models.nano.make clips    --work DIR --scripts 1100   clips through the frozen tower
python -m models.nano.make watch    --work DIR                  both readers, frame by frame
python -m models.nano.make instruct --work DIR --steps 3300     both readers, on all tasks
python -m models.nano.make evaluate --work DIR --scripts 60     notes of held-out scripts
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import SiglipVisionModel

from models.nano.clips import ScriptFeatures, build, load
from models.nano.lessons import visual_batches
from models.nano.recipe import (
    INSTRUCT,
    VISION,
    WATCH,
    Marks,
    clips_from_anywhere,
    clips_of,
    config_of,
    text_and_answer_batches,
    text_batches,
    tokenizer,
    watched_batches,
)
from models.nano.score_notes import NoteScores, score_notes
from models.nano.tower import pretrain
from models.nano.watch import watcher, watching
from models.processor import Processor
from models.prompts import VIDEO
from models.train import Stage, jsonl_report, replies, train
from models.video_llm import LongwatchForConditionalGeneration

SAVE_EVERY = 250
WATCH_WEIGHT = 0.5
STAGES = ("tower", "clips", "watch", "instruct", "evaluate")
TOWER_SEED, CLIPS_SEED, HELD_OUT_SEED = 10_000_000, 30_000_000, 90_000_000
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


def watch(work: Path) -> None:
    model, processor = loaded(work / "aligned")
    clips = clips_from_anywhere(list(load(work / "clips")))
    torch.manual_seed(WATCH.seed)
    model.watcher = watcher(int(model.config.text_config.hidden_size))
    tasks = [
        watching(watched_batches(clips, seed=41, batch_size=32), model.watcher),
        replies(text_batches(seed=31, batch_size=8)),
    ]
    train(model, processor, WATCH, tasks, report=jsonl_report(work / "watch.jsonl"))
    torch.save(model.watcher.state_dict(), work / "watcher.pt")
    save(model, processor, work / "watched")


def loaded(path: Path) -> tuple[LongwatchForConditionalGeneration, Processor]:
    model = LongwatchForConditionalGeneration.from_pretrained(path)
    return model, Processor.from_pretrained(path, model.layout)


def save(model: LongwatchForConditionalGeneration, processor: Processor, path: Path) -> None:
    """Save what is shipped: the watcher is not part of the model."""
    kept = {name: p for name, p in model.state_dict().items() if not name.startswith("watcher")}
    model.save_pretrained(path, state_dict=kept)
    processor.tokenizer.save_pretrained(path)


def instruct(work: Path, stage: Stage, *, start: Path, out: Path) -> None:
    model, processor = loaded(start)
    clips = clips_from_anywhere(list(load(work / "clips")))
    model.watcher = watcher(int(model.config.text_config.hidden_size))
    model.watcher.load_state_dict(torch.load(work / "watcher.pt"))
    tasks = [
        replies(visual_batches(clips, seed=71)),
        watching(watched_batches(clips, seed=72, batch_size=8), model.watcher, weight=WATCH_WEIGHT),
        replies(text_and_answer_batches(clips, seed=73)),
    ]
    write = jsonl_report(work / "instruct.jsonl")

    def report(values: dict[str, float]) -> None:
        write(values)
        if values["step"] % SAVE_EVERY == 0:
            save(model, processor, out)

    train(model, processor, stage, tasks, report=report)
    save(model, processor, out)


def evaluate(path: Path, encoded: Sequence[ScriptFeatures]) -> NoteScores:
    model, processor = loaded(path)
    return score_notes(model.eval(), processor, clips_of(encoded), Marks())


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
        case "watch":
            watch(work)
        case "instruct":
            stage = replace(INSTRUCT, num_steps=args.steps)
            instruct(work, stage, start=args.start or work / "watched", out=work / "instructed")
        case _:
            build(work / "aligned", work / "held-out", first_seed=HELD_OUT_SEED,
                  num_scripts=args.scripts, num_workers=args.workers)  # fmt: skip
            scores = evaluate(args.start or work / "instructed", list(load(work / "held-out")))
            (work / "notes.json").write_text(json.dumps(scores.summary(), indent=1))
    (work / f"{args.stage}.seconds").write_text(f"{time.monotonic() - begun:.0f}\n")


if __name__ == "__main__":
    main()
