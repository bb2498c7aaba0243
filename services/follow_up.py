"""Understand a question of a conversation: what it leaves open is taken from what came before it.

    times    "after that", "before that" and "meanwhile" are counted from the moments that the last
             answer names, as answers write them
    events   where the model's plan names nothing that the question says ("How often?"), events are
             those of a plan of the question together with the latest one before it that stands
             alone; and times are that one's, where the question names none

Streams are no words, and the caller's to carry on.

A question that says what it is about is asked by itself. Knows words of time, and nobody's
vocabulary.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from memory.words import content_words
from models.schemas import Plan
from services.errors import QuestionTooLong, TimeError
from services.moments import (
    CLOCK,
    FLAGS,
    ISO,
    Bounds,
    Moment,
    WallMoment,
    moved,
    read_moment,
)
from services.timewords import TimedQuestion, find_times, tidied
from streaming.messages import NS_PER_S, Message

MOST_EXCHANGES = 8  # that are looked back at
MOST_CHARS = 4000  # of an answer, at its end
SHOWN_NS = NS_PER_S // 1000  # what an answer cuts off a time
WHOLE_RANGES = ("between", "describe")  # intents that need no event

_THAT = r"(?:that|this|then)(?=\W*$|\s*[,;])"
_LAST = r"(?=\W*$)"
_AFTER = re.compile(rf"\b(?:(?:after|since)\s+{_THAT}|afterwards?\b|(?:then|next){_LAST})", FLAGS)
_BEFORE = re.compile(rf"\b(?:(?:before|until)\s+{_THAT}|beforehand\b)", FLAGS)
_MEANWHILE = re.compile(
    r"\b(?:(?:at|around|during|in)\s+that\s+(?:time|moment)|meanwhile|in\s+the\s+meantime)\b", FLAGS
)
_RANGE = re.compile(rf"({ISO}|{CLOCK})–({CLOCK})", FLAGS)


class Exchange(Message):
    """A question that was asked before, and what was answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Understood:
    """A question as it is answered: whole, without its times, these, and how to answer it."""

    text: str
    rest: str
    bounds: Bounds
    plan: Plan


def understood(
    text: str,
    earlier: Sequence[Exchange],
    plan_of: Callable[[str], Plan],
    *,
    now_at: datetime,
    otherwise: str,
) -> Understood:
    """Understand the last question of a conversation. `otherwise` is asked where only times are.

    Raises:
        TimeError, and what `plan_of` does
    """
    timed = _timed(text, earlier, now_at)
    rest = timed.rest or otherwise
    alone = Understood(text, rest, timed.bounds, plan_of(rest))
    if stands_alone(rest, alone.plan):
        return alone
    for before in reversed(earlier[-MOST_EXCHANGES:]):
        if (joined := _joined(alone, before, plan_of, now_at)) is not None:
            return joined
    return alone


def stands_alone(question: str, plan: Plan) -> bool:
    """Whether a question says what its plan is about; else the model made that up."""
    if not plan.events:
        return plan.intent in WHOLE_RANGES
    said = set(content_words(question))
    return all(said.intersection(content_words(event)) for event in plan.events)


def _joined(
    last: Understood, before: Exchange, plan_of: Callable[[str], Plan], now_at: datetime
) -> Understood | None:
    """The last question, about what an earlier one asked for; None if that did not stand alone."""
    try:
        timed = find_times(before.question, now_at=now_at)
        if not timed.rest or not stands_alone(timed.rest, plan_of(timed.rest)):
            return None
        rest = f"{timed.rest} {last.rest}"
        joined = plan_of(rest)
    except (TimeError, QuestionTooLong):
        return None
    return Understood(
        text=f"{before.question} {last.text}",
        rest=rest,
        bounds=timed.bounds if last.bounds == Bounds() else last.bounds,
        plan=last.plan.model_copy(update={"events": joined.events, "ended_by": joined.ended_by}),
    )


def _timed(text: str, earlier: Sequence[Exchange], now_at: datetime) -> TimedQuestion:
    """The question without its words of time, those that point at the answer before it first."""
    told = _told_in(earlier[-1].answer, now_at) if earlier else None
    if told is not None:
        after = moved(told.end, SHOWN_NS)
        for pattern, bounds in (
            (_AFTER, Bounds(start=after)),
            (_BEFORE, Bounds(end=told.start)),
            (_MEANWHILE, Bounds(told.start, after)),
        ):
            if found := pattern.search(text):
                rest = f"{text[: found.start()]} {text[found.end() :]}"
                return TimedQuestion(tidied(rest, text), bounds, found[0])
    return find_times(text, now_at=now_at)


@dataclass(frozen=True, slots=True)
class _Told:
    start: Moment
    end: Moment


def _told_in(answer: str, now_at: datetime) -> _Told | None:
    """From the first moment that an answer names to the last; None where it names none."""
    ranges = [_range(found, now_at) for found in _RANGE.finditer(answer[-MOST_CHARS:])]
    if len({type(one.start) for one in ranges}) != 1:
        return None
    first = min(ranges, key=lambda one: _place(one.start))
    last = max(ranges, key=lambda one: _place(one.end))
    return _Told(first.start, last.end)


def _range(found: re.Match[str], now_at: datetime) -> _Told:
    start = read_moment(found[1], now_at, None)
    day = start.at.date() if isinstance(start, WallMoment) else None
    end = read_moment(found[2], now_at, day)
    if isinstance(end, WallMoment) and _place(end) < _place(start):  # it goes on past midnight
        end = replace(end, at=end.at + timedelta(days=1))
    return _Told(start, end)


def _place(moment: Moment) -> float:
    match moment:
        case WallMoment(at):
            return at.timestamp()
        case _:
            return moment.ns
