"""What an answer is worth that has seen nothing: a blind and a random baseline for each kind.

Blind says what was most often right in training: the commonest value, the place in the range where
things lay on average, the event named first if the first named more often came first. Random draws
among what occurs in training. Both know the question and the training questions, never the footage.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Literal

from models.nano.questions import ScriptedQuestion
from models.nano.scoring import Interval, Reply, Value
from models.schemas import Intent

Baseline = Literal["blind", "random"]


@dataclass(frozen=True, slots=True)
class Prior:
    """What training questions teach about answers: their values, and where moments lie.

    For `order` a value is the place, from 0, among the events as they are named.
    `middle` is a share of the asked range, `length_s` how long a moment takes.
    """

    values_of: dict[Intent, tuple[Value, ...]]
    middle: float
    length_s: float

    @classmethod
    def of_training(cls, asked: Sequence[ScriptedQuestion], *, duration_s: float) -> "Prior":
        """Learn from questions about scripts of `duration_s`; all six kinds must be there."""
        values: dict[Intent, list[Value]] = {}
        middles: list[float] = []
        lengths_s: list[float] = []
        for one in asked:
            if one.truth.interval_s is None:
                values.setdefault(one.kind, []).append(_value_of(one))
                continue
            since_s, until_s = one.asked_s or (0.0, duration_s)
            start_s, end_s = one.truth.interval_s
            middles.append(((start_s + end_s) / 2 - since_s) / (until_s - since_s))
            lengths_s.append(end_s - start_s)
        return cls(
            {kind: tuple(of_kind) for kind, of_kind in values.items()},
            middle=median(middles),
            length_s=median(lengths_s),
        )

    def blind(self, one: ScriptedQuestion, *, duration_s: float) -> Reply:
        if one.kind == "when":
            return Reply(intervals_s=(self._interval(one, duration_s, self.middle),))
        commonest, _ = Counter(self.values_of[one.kind]).most_common(1)[0]
        return _reply(one, commonest)

    def random(self, one: ScriptedQuestion, rng: Random, *, duration_s: float) -> Reply:
        if one.kind == "when":
            return Reply(intervals_s=(self._interval(one, duration_s, rng.random()),))
        if one.kind == "order":
            return _reply(one, rng.randrange(len(one.plan.events)))
        return _reply(one, rng.choice(tuple(dict.fromkeys(self.values_of[one.kind]))))

    def _interval(self, one: ScriptedQuestion, duration_s: float, middle: float) -> Interval:
        since_s, until_s = one.asked_s or (0.0, duration_s)
        middle_s = since_s + middle * (until_s - since_s)
        return middle_s - self.length_s / 2, middle_s + self.length_s / 2


def _value_of(one: ScriptedQuestion) -> Value:
    """Return the true value; for `order`, the place of the true event among those named.

    An event named in part ("a car crosses") is told from the others by its last words.
    """
    if one.kind != "order":
        return one.truth.value
    words = [set(event.split()) - {"a", "the"} for event in one.plan.events]
    true = set(str(one.truth.value).split())
    return next(place for place, named in enumerate(words) if named <= true)


def _reply(one: ScriptedQuestion, value: Value) -> Reply:
    if one.kind == "order" and isinstance(value, int):
        return Reply(one.plan.events[min(value, len(one.plan.events) - 1)])
    return Reply(value)
