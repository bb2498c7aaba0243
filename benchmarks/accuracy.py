"""How right longwatch-nano is, end to end: notes against the script, answers against the truth.

Footage of a seed that no training saw is rendered, watched by the real service, and asked about, in
phrasings that training saw and in phrasings that it did not. Beside it stand two baselines that see
nothing: the most frequent answer of training, and a random one.

    python -m benchmarks.accuracy --work DIR [--hours 2]
"""

import argparse
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.watching import answerer, machine, watch, write_result
from models.intervals import Estimate, bootstrap, wilson
from models.nano.baselines import Prior
from models.nano.footage import render
from models.nano.questions import ScriptedQuestion, questions
from models.nano.score_notes import NoteScores, num_subjects
from models.nano.scoring import Reply, Score, score
from models.nano.world import Script, write_script
from models.schemas import Note, NoteEvent
from services.answer import Answerer, Question
from services.moments import Bounds, MediaMoment
from services.settings import load_settings
from services.wiring import Stores
from streaming.messages import NS_PER_S, ClipNote

SEED, PRIOR_SEED = 92_700_001, 95_000_001
STREAM = "yard"
SEEN_PER_KIND, UNSEEN_PER_KIND = 96, 56


def render_once(script: Script, path: Path) -> None:
    if not path.exists():
        partial = path.with_suffix(".part.mp4")
        render(script, partial, on_progress=lambda share: None)
        partial.rename(path)


def note_scores(script: Script, clips: Sequence[ClipNote]) -> dict[str, NoteScores]:
    """Scores of the notes, of a blind note ("nothing happens") and of another clip's note."""
    shuffled = [clips[n] for n in np.random.default_rng(0).permutation(len(clips))]
    scores = {name: NoteScores() for name in ("longwatch", "blind", "random")}
    for clip, other in zip(clips, shuffled, strict=True):
        start_s, end_s = clip.span.start_ns / NS_PER_S, clip.span.end_ns / NS_PER_S
        if num_subjects(script, start_s, end_s) > 2:
            continue
        scores["longwatch"].add(in_clip(clip), script, start_s, end_s)
        scores["blind"].add(Note(text=""), script, start_s, end_s)
        scores["random"].add(in_clip(other), script, start_s, end_s)
    return scores


def in_clip(clip: ClipNote) -> Note:
    """The note with times counted from the clip's start, as a script's truth has them."""
    return Note(
        text=clip.text,
        events=tuple(
            NoteEvent(
                start_s=(event.span.start_ns - clip.span.start_ns) / NS_PER_S,
                end_s=(event.span.end_ns - clip.span.start_ns) / NS_PER_S,
                text=event.text,
            )
            for event in clip.events
        ),
    )


def reply_to(answerer: Answerer, asked: ScriptedQuestion) -> Reply:
    bounds = Bounds()
    if asked.asked_s is not None:
        since_s, until_s = asked.asked_s
        bounds = Bounds(
            MediaMoment(round(since_s * NS_PER_S)), MediaMoment(round(until_s * NS_PER_S))
        )
    answer = answerer.ask(Question(asked.question, (STREAM,), bounds))
    intervals = [
        (one.span.start_ns / NS_PER_S, one.span.end_ns / NS_PER_S) for one in answer.evidence
    ]
    return Reply(answer.value, intervals)


def report_notes(scores: NoteScores) -> dict[str, object]:
    summary: dict[str, object] = dict(scores.summary())
    said, true = scores.right + scores.invented, scores.right + scores.missed
    if said:
        summary["precision"] = shown(wilson(scores.right, said))
    if true:
        summary["recall"] = shown(wilson(scores.right, true))
    summary["calm_recognised"] = shown(wilson(scores.calm_right, scores.calm))
    summary["missed_actions"] = dict(scores.missed_actions.most_common(12))
    summary["invented_actions"] = dict(scores.invented_actions.most_common(12))
    return summary


def shown(estimate: Estimate) -> list[float]:
    """Value, and the ends of its 95% interval."""
    return [round(x, 4) for x in (estimate.value, estimate.low, estimate.high)]


def share(right: Sequence[bool]) -> list[float]:
    return shown(wilson(sum(right), len(right)))


def report_answers(asked: Sequence[ScriptedQuestion], scores: Sequence[Score]) -> dict[str, object]:
    by: dict[str, list[bool]] = defaultdict(list)
    for one, its in zip(asked, scores, strict=True):
        where = "seen" if one.seen else "unseen"
        by[where].append(its.is_right)
        by[f"{where} {one.kind}"].append(its.is_right)
        if one.kind == "exists" and one.truth.value is False:
            by["never happened, denied"].append(its.is_right)
    report: dict[str, object] = {name: share(right) for name, right in sorted(by.items())}
    ious = [its.iou for its in scores if its.iou is not None]
    report["when, mean IoU"] = shown(bootstrap(ious, rng=np.random.default_rng(0)))
    report["when, R@0.5"] = share([iou >= 0.5 for iou in ious])
    return report


def examine(
    answerer: Answerer, stores: Stores, script: Script, *, duration_s: float
) -> dict[str, object]:
    clips = stores.record.clips()
    asked = questions(script, rng=Random(1), per_kind=SEEN_PER_KIND, unseen=False)
    asked += questions(script, rng=Random(2), per_kind=UNSEEN_PER_KIND, unseen=True)
    replies = [reply_to(answerer, one) for one in asked]
    scores = [score(one.truth, reply) for one, reply in zip(asked, replies, strict=True)]
    learnt = questions(
        write_script(PRIOR_SEED, duration_s=duration_s), rng=Random(3), per_kind=60, unseen=False
    )
    prior, rng = Prior.of_training(learnt, duration_s=duration_s), Random(4)
    blind = [score(one.truth, prior.blind(one, duration_s=duration_s)) for one in asked]
    drawn = [score(one.truth, prior.random(one, rng, duration_s=duration_s)) for one in asked]
    return {
        "clips": len(clips),
        "model_id": clips[0].model_id,
        "notes": {
            name: report_notes(its) for name, its in note_scores(script, clips).items()
        },
        "answers": {
            "longwatch": report_answers(asked, scores),
            "blind": report_answers(asked, blind),
            "random": report_answers(asked, drawn),
        },
        "wrong": [
            {
                "question": one.question,
                "asked_s": one.asked_s,
                "truth": str(one.truth),
                "value": str(reply.value),
                "intervals_s": list(reply.intervals_s)[:2],
            }
            for one, reply, its in zip(asked, replies, scores, strict=True)
            if not its.is_right
        ],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where footage and memory go")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    duration_s = args.hours * 3600
    script = write_script(args.seed, duration_s=duration_s)
    film = args.work / f"{args.seed}.mp4"
    render_once(script, film)
    settings = load_settings(data=args.work / f"memory-{args.seed}")
    shutil.rmtree(settings.data, ignore_errors=True)  # what other weights remembered
    seconds = watch(settings, {STREAM: film})
    with answerer(settings) as (ready, stores):
        result = examine(ready, stores, script, duration_s=duration_s)
    command = f"python -m benchmarks.accuracy --work DIR --hours {args.hours:g} --seed {args.seed}"
    path = write_result(
        "accuracy",
        {"what": "notes and answers of longwatch-nano on held-out footage, end to end",
         "command": command, "machine": machine(), "watched_in_s": round(seconds, 1), **result},
    )  # fmt: skip
    print(f"{path}: {result['answers']['longwatch']}")  # type: ignore[index]


if __name__ == "__main__":
    main()
