"""Hold replies against what is true: facts of notes, yes or no, short answers.

A fact is right when the truth holds one in the same words, small words and inflections aside, at
about the same time; each counts once. There is no list of words that mean the same, so the measure
knows nobody's vocabulary, and is strict.

Pure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from memory.datasets import Example
from memory.words import content_words, is_negated
from models.errors import UnparsableReply
from models.intervals import Estimate, bootstrap, wilson
from models.replies import parse_note
from models.schemas import Note, NoteEvent

NEAR_S = 1.0
"""How far apart events may lie and still be the same: times are told to half a sampled picture."""
LEAST = 6
"""Of fewer examples none can tell a difference: chance has all of five speak for one in 1 of 16."""
SEED = 0  # of the intervals of differences, so that a decision can be repeated

Trials = tuple[int, int]
"""How many were right, of how many."""


@dataclass(slots=True)
class Scores:
    """Trials of each measure, by example."""

    by_measure: dict[str, dict[str, Trials]] = field(default_factory=dict[str, dict[str, Trials]])
    unusable: int = 0

    def add(self, measure: str, example_id: str, trials: Trials) -> None:
        of_measure = self.by_measure.setdefault(measure, {})
        right, total = of_measure.get(example_id, (0, 0))
        of_measure[example_id] = (right + trials[0], total + trials[1])

    def join(self, others: "Scores", *, prefix: str) -> None:
        """Add those of another set, whose examples may have the same ids."""
        for measure, trials in others.by_measure.items():
            for example_id, one in trials.items():
                self.add(measure, f"{prefix}:{example_id}", one)
        self.unusable += others.unusable

    def estimates(self) -> dict[str, Estimate]:
        """Each measure with its interval; those without a trial are left out."""
        summed = {
            measure: [sum(column) for column in zip(*trials.values(), strict=True)]
            for measure, trials in sorted(self.by_measure.items())
        }
        return {
            measure: wilson(right, total) for measure, (right, total) in summed.items() if total
        }

    def counts(self) -> dict[str, int]:
        """Of how many trials each measure is."""
        return {
            measure: sum(total for _, total in trials.values())
            for measure, trials in sorted(self.by_measure.items())
        }


def score(scores: Scores, example: Example, replies: Sequence[str]) -> None:
    """Add an example, whose prompts got these replies."""
    for (_, truth), reply in zip(example.turns, replies, strict=True):
        match example.task:
            case "note" | "merge":
                _score_note(scores, example, truth, reply)
            case "judge":
                scores.add("judge right", example.id, (int(reply == truth), 1))
            case "fold":
                _score_facts(scores, example, _facts(truth.split(";")), _facts(reply.split(";")))
            case "answer" | "plan":
                measure = f"{example.task} right"
                scores.add(measure, example.id, (int(says_the_same(reply, truth)), 1))


def _score_note(scores: Scores, example: Example, truth: str, reply: str) -> None:
    true = Note.model_validate_json(truth)
    try:
        said = parse_note(reply)
    except UnparsableReply:
        said = Note(text="")
    if not true.events:
        calm = int(bool(said.text) and not said.events)
        scores.add(f"{example.task} calm recognised", example.id, (calm, 1))
    _score_facts(scores, example, true.events, said.events)


def _score_facts(
    scores: Scores, example: Example, true: Sequence[NoteEvent], said: Sequence[NoteEvent]
) -> None:
    right = num_right(true, said)
    scores.add(f"{example.task} precision", example.id, (right, len(said)))
    scores.add(f"{example.task} recall", example.id, (right, len(true)))


def num_right(true: Sequence[NoteEvent], said: Iterable[NoteEvent]) -> int:
    """How many events are true, each true one once, the nearest first."""
    left = list(true)
    right = 0
    for event in said:
        same = [one for one in left if says_the_same(one.text, event.text)]
        near = [one for one in same if _apart_s(one, event) <= NEAR_S]
        if near:
            left.remove(min(near, key=lambda one: abs(one.start_s - event.start_s)))
            right += 1
    return right


def says_the_same(one: str, other: str) -> bool:
    return is_negated(one) == is_negated(other) and content_words(one) == content_words(other)


def compared(new: Scores, old: Scores) -> dict[str, Estimate]:
    """How much better the new ones are, by measure, on the examples that both tried.

    Of fewer than `LEAST` it is not known: resampling them would show no more than they do.
    """
    rng = np.random.default_rng(SEED)
    gains: dict[str, Estimate] = {}
    for measure in sorted(new.by_measure.keys() & old.by_measure.keys()):
        of_new, of_old = new.by_measure[measure], old.by_measure[measure]
        rows = [(*of_new[one], *of_old[one]) for one in sorted(of_new.keys() & of_old.keys())]
        if rows:
            gain = bootstrap(np.array(rows, np.float64), rng=rng, statistic=_gain)
            gains[measure] = gain if len(rows) >= LEAST else Estimate(gain.value, -1.0, 1.0)
    return gains


def _gain(rows: np.ndarray) -> float:
    new_right, new_total, old_right, old_total = rows.sum(0)
    return float(new_right / max(1, new_total) - old_right / max(1, old_total))


def _facts(texts: Iterable[str]) -> list[NoteEvent]:
    counted = Counter(text.strip() for text in texts if text.strip())
    return [NoteEvent(start_s=0, end_s=0, text=text) for text in counted]


def _apart_s(one: NoteEvent, other: NoteEvent) -> float:
    return max(one.start_s, other.start_s) - min(one.end_s, other.end_s)
