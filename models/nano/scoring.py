"""Whether a reply is right: parsed values against the script, never words within words.

A reply's type must be that of the truth: True is not 1, and a text is not a list of one text.

    when              the interval named first overlaps the true one by `RIGHT_IOU`; an interval
                      that comes second does not count, else naming many would pay
    count             the number exactly; off by one is told beside it
    order             the text of the earlier event, exactly
    state, exists     yes or no
    between           the set of texts, exactly, except those that may be in it or not

Times are seconds from the start of the footage; intervals are half-open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

RIGHT_IOU = 0.5

Interval = tuple[float, float]
Value = int | bool | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Truth:
    """What a reply is held against: an interval (for `when`) or a value, never both.

    `either_way` are texts that a list may hold or not: what only touches the edge of a range.
    """

    interval_s: Interval | None = None
    value: Value = None
    either_way: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if (self.interval_s is None) == (self.value is None):
            raise ValueError("a truth is an interval or a value")


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered, parsed: its value, and the intervals of its evidence, best first."""

    value: Value = None
    intervals_s: Sequence[Interval] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """`iou` and `best_iou` (of the first and of any interval) for `when`; `is_near` for `count`:
    exact or off by one."""

    is_right: bool
    iou: float | None = None
    best_iou: float | None = None
    is_near: bool | None = None


def score(truth: Truth, reply: Reply) -> Score:
    if truth.interval_s is not None:
        ious = [iou(truth.interval_s, interval_s) for interval_s in reply.intervals_s] or [0.0]
        return Score(ious[0] >= RIGHT_IOU, iou=ious[0], best_iou=max(ious))
    wanted, given = truth.value, reply.value
    if isinstance(wanted, bool) or isinstance(given, bool):
        return Score(isinstance(wanted, bool) and isinstance(given, bool) and wanted == given)
    if isinstance(wanted, int):
        is_number = isinstance(given, int)
        return Score(is_number and wanted == given, is_near=is_number and abs(wanted - given) <= 1)
    if isinstance(wanted, tuple):
        if not isinstance(given, tuple):
            return Score(is_right=False)
        return Score(set(wanted) - truth.either_way == set(given) - truth.either_way)
    return Score(wanted == given)


def iou(one: Interval, other: Interval) -> float:
    """Return how much of the union of two intervals both share; 0 where either is empty."""
    if one[1] <= one[0] or other[1] <= other[0]:
        return 0.0
    shared_s = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared_s / (one[1] - one[0] + other[1] - other[0] - shared_s)
