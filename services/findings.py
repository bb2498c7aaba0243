"""Arithmetic over noted events, by what is asked for: pure, and without anybody's vocabulary.

A `Finding` is the result in words (the line that the answering model is given first), the parsed
value, and the moments that both rest on, in the order of evidence. Where nothing that was asked
about was noted there is no moment, and then no model is asked to say anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memory.events import Occurrence, StateNow, first, last, matching, order, still_holds
from models.schemas import Plan

Value = int | bool | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What arithmetic found. `is_found` is false where nothing that was asked about was noted."""

    result: str
    value: Value
    moments: tuple[Occurrence, ...]

    @property
    def is_found(self) -> bool:
        return bool(self.moments)


def find(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    """Answer a plan from the occurrences in the range that is asked about, in order of time.

    For a state they reach back as far as is remembered: what began it may lie long ago.
    """
    return _BY_INTENT[plan.intent](plan, noted)


def phrases_of(plan: Plan) -> tuple[str, ...]:
    """Everything that the plan asks about."""
    return (*plan.events, *plan.ended_by)


def _when(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    found = matching(plan.events, noted)
    if plan.which != "all":
        one = first(found) if plan.which == "first" else last(found)
        found = [one] if one is not None else []
    return Finding(str(len(found)), None, tuple(found))


def _count(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    found = matching(plan.events, noted)
    return Finding(str(len(found)), len(found), tuple(found))


def _exists(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    found = matching(plan.events, noted)
    return Finding("yes" if found else "no", bool(found), tuple(found))


def _order(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    found = order({phrase: matching(phrase, noted) for phrase in plan.events})
    if not found:
        return Finding("nothing", None, ())
    moments = tuple(dict.fromkeys(occurrence for _, occurrence in found))
    return Finding(moments[0].text, moments[0].text, moments)


def _state(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    begins, ends = matching(plan.events, noted), matching(plan.ended_by, noted)
    state, decisive = still_holds(begins, ends)
    if decisive is None or state is StateNow.UNKNOWN:
        return Finding("nothing", None, ())
    holds = state is StateNow.HOLDS
    return Finding("yes" if holds else "no", holds, (decisive,))


def _between(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    """Everything noted; what is named by `plan.events`, if two are, is where it starts and ends."""
    if len(plan.events) == 2:
        noted = _from_one_to_the_other(*plan.events, noted)
    return Finding(str(len(noted)), tuple(one.text for one in noted), tuple(noted))


def _describe(plan: Plan, noted: Sequence[Occurrence]) -> Finding:
    found = matching(plan.events, noted) if plan.events else list(noted)
    return Finding(str(len(found)), tuple(one.text for one in found), tuple(found))


def _from_one_to_the_other(one: str, other: str, noted: Sequence[Occurrence]) -> list[Occurrence]:
    """What starts between the first of each, in whichever order they came."""
    ends = [first(matching(phrase, noted)) for phrase in (one, other)]
    known = [end for end in ends if end is not None]
    if len(known) < 2:
        return list(noted)
    from_ns, to_ns = sorted(end.starts_at_ns for end in known)
    return [one for one in noted if from_ns <= one.starts_at_ns <= to_ns]


_BY_INTENT: dict[str, Callable[[Plan, Sequence[Occurrence]], Finding]] = {
    "when": _when,
    "count": _count,
    "exists": _exists,
    "order": _order,
    "state": _state,
    "between": _between,
    "describe": _describe,
}
