"""Cut the words of time out of a question: "how many passed between 0:10:00 and 0:20:00?"

What is left is for the model to plan, and the range is for us to compute with. Nothing here knows
what a question is about. What a moment may look like: `services.moments`.

Pure: the time of asking comes in as an argument, in the zone that day words refer to.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.errors import BadTime
from services.moments import (
    AGO,
    CLOCK,
    DAY,
    DAY_WORDS,
    DAYTIME,
    FLAGS,
    INTO,
    ISO,
    MINUTE_NS,
    MOMENT,
    NUMBER,
    SPAN,
    UNIT,
    AgoMoment,
    Bounds,
    MediaMoment,
    WallMoment,
    day_of,
    midnight_of,
    moved,
    ordered,
    read_moment,
    span_ns,
)  # fmt: skip

AROUND_NS = MINUTE_NS  # "around 0:12:00" reaches this far to both sides


@dataclass(frozen=True, slots=True)
class TimedQuestion:
    """A question in two halves: the words of time, and the rest."""

    rest: str
    bounds: Bounds
    words: str


def find_times(question: str, *, now_at: datetime) -> TimedQuestion:
    """Cut the words of time out of a question."""
    day = re.search(DAY_WORDS, question, FLAGS)
    for pattern, bounds_of in _PATTERNS:
        if found := pattern.search(question):
            clocked = bool(re.search(CLOCK, found[0]))
            day_at = day_of(day[0], now_at) if day and clocked else None
            bounds = ordered(bounds_of(found, now_at, day_at))
            rest = question[: found.start()] + " " + question[found.end() :]
            if day_at:
                rest = re.sub(rf"(?:\bon\s+)?{DAY_WORDS}", " ", rest, count=1, flags=FLAGS)
            return TimedQuestion(tidied(rest, question), bounds, found[0].strip(" ,"))
    return TimedQuestion(question.strip(), Bounds(), "")


_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
_BoundsOf = Callable[[re.Match[str], datetime, date | None], Bounds]


def _between(found: re.Match[str], now_at: datetime, day: date | None) -> Bounds:
    return Bounds(read_moment(found[1], now_at, day), read_moment(found[2], now_at, day))


def _last(found: re.Match[str], _now_at: datetime, _day_at: date | None) -> Bounds:
    return Bounds(start=AgoMoment(span_ns(_counted(found[1]))))


def _before_last(found: re.Match[str], _now_at: datetime, _day_at: date | None) -> Bounds:
    return Bounds(end=AgoMoment(span_ns(_counted(found[1]))))


def _first(found: re.Match[str], _now_at: datetime, _day_at: date | None) -> Bounds:
    return Bounds(MediaMoment(0), MediaMoment(span_ns(_counted(found[1]))))


def _after_first(found: re.Match[str], _now_at: datetime, _day_at: date | None) -> Bounds:
    return Bounds(start=MediaMoment(span_ns(_counted(found[1]))))


def _nth(found: re.Match[str], _now_at: datetime, _day_at: date | None) -> Bounds:
    word = found[1].lower()
    number = _ORDINALS.index(word) + 1 if word in _ORDINALS else int(word[:-2])
    unit_ns = span_ns(_counted(found[2]))
    if number < 1:
        raise BadTime(found[0])
    return Bounds(MediaMoment((number - 1) * unit_ns), MediaMoment(number * unit_ns))


def _after(found: re.Match[str], now_at: datetime, day: date | None) -> Bounds:
    return Bounds(start=read_moment(found[1], now_at, day))


def _before(found: re.Match[str], now_at: datetime, day: date | None) -> Bounds:
    return Bounds(end=read_moment(found[1], now_at, day))


def _around(found: re.Match[str], now_at: datetime, day: date | None) -> Bounds:
    moment = read_moment(found[1], now_at, day)
    return Bounds(moved(moment, -AROUND_NS), moved(moment, AROUND_NS))


def _at(found: re.Match[str], now_at: datetime, day: date | None) -> Bounds:
    moment = read_moment(found[1], now_at, day)
    return Bounds(moment, moved(moment, moment.precise_ns))


def _part_of_day(found: re.Match[str], now_at: datetime, _day_at: date | None) -> Bounds:
    words = found[0].lower()
    back = int("yesterday" in words or "last night" in words)
    first_hour, last_hour = next(
        hours
        for part, hours in {
            "morning": (6, 12),
            "afternoon": (12, 18),
            "evening": (18, 24),
            "tonight": (18, 24),
            "night": (18, 30),
        }.items()
        if part in words
    )
    midnight = midnight_of(now_at.date() - timedelta(days=back), now_at)
    return Bounds(
        WallMoment(midnight + timedelta(hours=first_hour)),
        WallMoment(midnight + timedelta(hours=last_hour)),
    )


def _counted(span: str) -> str:
    """ "the last hour" says one without saying so."""
    return span if re.match(NUMBER, span, FLAGS) else f"one {span}"


def tidied(rest: str, question: str) -> str:
    """Repair what the cut left behind: doubled spaces, lonely commas, the capital letter."""
    rest = re.sub(r"\s+", " ", rest).strip()
    rest = re.sub(r"\s+([?.!,:])", r"\1", rest)
    rest = re.sub(r"(?:,|\band\b|\bbut\b)\s*([?.!]?)$", r"\1", rest, flags=FLAGS)
    rest = re.sub(r"^(?:[,;:.]|and\b)\s*", "", rest, flags=FLAGS).strip()
    if question.lstrip()[:1].isupper():
        rest = rest[:1].upper() + rest[1:]
    return rest if re.search(r"\w", rest) else ""


_LOOSE = rf"(?:{MOMENT}|{SPAN})"  # "after 20 minutes": so far into the footage
_IN = r"(?:\b(?:in|during|within|over|throughout|for|of)\s+)?"
_OF_IT = r"(?:\s+(?:of|in)\s+(?:the|this)\s+(?:footage|recording|video|stream|film))?"
_COUNTED_SPAN = rf"((?:half[\s-]+hour|{SPAN}|{UNIT}(?:\s+and\s+a\s+half\b)?))"
_NTH = rf"({'|'.join(_ORDINALS)}|\d{{1,4}}(?:st|nd|rd|th))"
_LATEST = r"(?:last|past|previous|latest|most\s+recent|final)"
_EARLIEST = r"(?:first|opening|initial)"

_TO = r"\s*(?:and|to|until|till|-|–|through)\s*"
_AND_BEFORE = r"\s*,?\s*(?:and|but)\s+(?:before|until|by)\s+"
_AFTER = r"\b(?:after|since|from|past|later\s+than|starting\s+at|any\s+time\s+after)\s+"
_BEFORE = r"\b(?:before|until|till|up\s+to|by|prior\s+to|earlier\s+than|as\s+of)\s+"
_AROUND = r"\b(?:around|about|near|close\s+to|at\s+about|at\s+around)\s+"
_NTH_SPAN = rf"{_NTH}\s+((?:half[\s-]+)?(?:hour|minute))\b"
_PARTS_OF_DAY = r"(?:morning|afternoon|evening|night)"

_PATTERNS: tuple[tuple[re.Pattern[str], _BoundsOf], ...] = tuple(
    (re.compile(pattern, FLAGS), bounds_of)
    for pattern, bounds_of in (
        (rf"\b(?:between|from|in|during)\s+({_LOOSE}){_TO}({_LOOSE})", _between),
        (rf"\b(?:after|since)\s+({MOMENT}){_AND_BEFORE}({MOMENT})", _between),
        (rf"({CLOCK})\s*(?:-|–|to)\s*({CLOCK})", _between),
        (rf"\b(?:before|until|up\s+to)\s+the\s+{_LATEST}\s+{_COUNTED_SPAN}{_OF_IT}", _before_last),
        (rf"{_IN}\b(?:the\s+)?{_LATEST}\s+{_COUNTED_SPAN}{_OF_IT}", _last),
        (rf"\bafter\s+the\s+{_EARLIEST}\s+{_COUNTED_SPAN}{_OF_IT}", _after_first),
        (rf"{_IN}\bthe\s+{_EARLIEST}\s+{_COUNTED_SPAN}{_OF_IT}", _first),
        (rf"{_IN}\bthe\s+{_NTH_SPAN}{_OF_IT}", _nth),
        (rf"{_AFTER}({_LOOSE})(?:\s+on(?:wards?)?\b)?", _after),
        (rf"{_BEFORE}({_LOOSE})", _before),
        (rf"{_AROUND}({MOMENT})", _around),
        (rf"\b(?:(?:this|yesterday)\s+{_PARTS_OF_DAY}|tonight|last\s+night)\b", _part_of_day),
        (rf"\b(?:at|on|in|during)\s+({MOMENT})", _at),
        (rf"({DAYTIME}|{ISO}|{DAY}|{AGO}|{CLOCK}|^\s*{INTO})", _at),
    )
)
