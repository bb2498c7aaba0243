"""What longwatch-nano knew before, as a data set to replay while it is trained further.

python -m models.nano.replay --out DIR --scripts 20 --texts 1000

Scripts are rendered as video; their clips are told of by true notes and claims, and questions are
planned and answered as in training. The lines are in the format of `longwatch dataset build`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from models.nano.answers import answer_example
from models.nano.clips import SCRIPT_S, training_script
from models.nano.footage import VideoFormat, render
from models.nano.recipe import LAYOUT, misremembered, note_at, text_batches
from models.nano.truth import claim_of, shown_in
from models.nano.world import Script
from models.prompts import VIDEO, answer_prompt, describe_prompt, judge_prompt

REPLAY_SEED = 50_000_000
"""First seed of the scripts: millions apart from those of all stages."""
FORMAT = VideoFormat(fps=4, width_px=320, height_px=180)
CLAIMS = 4


def write_replay(out: Path, *, scripts: int, texts: int) -> None:
    """Write the set's lines, and its videos beside them."""
    out.mkdir(parents=True, exist_ok=True)
    lines = list(text_lines(texts))
    for number in range(scripts):
        name = f"script-{number:04}.mp4"
        script = training_script(REPLAY_SEED + number)
        render(script, out / name, FORMAT, on_progress=lambda share: None)
        lines += clip_lines(script, name)
    (out / "train.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def text_lines(count: int) -> Iterator[dict[str, Any]]:
    """Plans, and answers from findings."""
    source = text_batches(seed=REPLAY_SEED, batch_size=1)
    for number in range(count):
        (sample,) = next(source)
        task = "plan" if sample.reply.startswith("{") else "answer"
        yield line_of(f"text-{number}", task, [(sample.prompt, sample.reply)])


def clip_lines(script: Script, name: str) -> Iterator[dict[str, Any]]:
    """The note of each clip, after its lead-in and the notes before it, and claims about it.

    And an answer from findings beside which the clip is shown, as evidence is.
    """
    rng, random = np.random.default_rng(script.seed), Random(script.seed)
    for start_s in np.arange(0, SCRIPT_S, LAYOUT.clip_length_s):
        end_s = float(start_s + LAYOUT.clip_length_s)
        shown = {"video": name, "start_s": float(start_s), "end_s": end_s}
        before = [start_s - back * LAYOUT.clip_length_s for back in (2, 1)]
        previous = [misremembered(rng, note_at(script, at_s)) for at_s in before if at_s >= 0]
        turn = (describe_prompt(previous), note_at(script, start_s).as_reply())
        yield {**line_of(f"{name}-{start_s:g}-note", "note", [turn]), **shown}
        true = [one.text for one in shown_in(script, start_s=start_s, end_s=end_s)]
        (first, said), *more = [
            (judge_prompt(claim), "yes" if claim in true else "no")
            for claim in (claim_of(rng, true)[0] for _ in range(CLAIMS))
        ]
        turns = [(first, said), *((asked.removeprefix(f"{VIDEO}\n"), r) for asked, r in more)]
        yield {**line_of(f"{name}-{start_s:g}-judge", "judge", turns), **shown}
        question, _, findings, reply = answer_example(random)
        turn = (answer_prompt(question, findings=findings, num_clips=1), reply)
        yield {**line_of(f"{name}-{start_s:g}-answer", "answer", [turn]), **shown}


def line_of(name: str, task: str, turns: list[tuple[str, str]]) -> dict[str, Any]:
    said = [
        {"from": speaker, "value": text}
        for turn in turns
        for speaker, text in zip(("human", "gpt"), turn, strict=True)
    ]
    return {"id": name, "task": task, "origin": "given", "conversations": said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scripts", type=int, default=20)
    parser.add_argument("--texts", type=int, default=1000)
    args = parser.parse_args()
    write_replay(args.out, scripts=args.scripts, texts=args.texts)


if __name__ == "__main__":
    main()
