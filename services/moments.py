"""Moments and ranges of time, as people write them, and what they mean in a stream's media time.

A moment is one of three things:
    MediaMoment   so far into the footage, as a player shows it: 1:02:03, 2:03, "minute 10"
    WallMoment    a date, a day word, or an hour with am/pm: 2025-03-01T14:00, "yesterday at 14:00"
    AgoMoment     counted back from now: "10 minutes ago"

A bare 14:00 is fourteen minutes into the footage; with a day word or a date it is two o'clock.
An hour with am/pm and no day is the latest such hour that has passed. A date alone is its
midnight. `Bounds.resolve` turns both ends into one stream's media time.

Pure: the time of asking comes in as an argument, in the zone that day words refer to.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from services.errors import BadTime, ReversedRange
from streaming.messages import NS_PER_S

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
_LONGEST_NS = 100 * 365 * 24 * HOUR_NS  # what fits into int64 and into a datetime


@dataclass(frozen=True, slots=True)
class MediaMoment:
    """`ns` after the stream's epoch; `precise_ns` is how much of it the words leave open."""

    ns: int
    precise_ns: int = NS_PER_S


@dataclass(frozen=True, slots=True)
class WallMoment:
    at: datetime
    precise_ns: int = MINUTE_NS


@dataclass(frozen=True, slots=True)
class AgoMoment:
    ns: int
    precise_ns: int = MINUTE_NS


Moment = MediaMoment | WallMoment | AgoMoment


@dataclass(frozen=True, slots=True)
class Bounds:
    """A half-open range of time; an end that is None is open."""

    start: Moment | None = None
    end: Moment | None = None

    def resolve(self, *, epoch_at: datetime, now_ns: int) -> tuple[int, int]:
        """Return [start_ns, end_ns) of the stream; empty where it reaches before the epoch.

        An end beyond `now_ns` is cut to it: nobody has seen the future.
        """
        start_ns = 0 if self.start is None else _media_ns(self.start, epoch_at, now_ns)
        end_ns = now_ns if self.end is None else _media_ns(self.end, epoch_at, now_ns)
        if self.start is not None and self.end is not None and end_ns <= start_ns:
            raise ReversedRange(show_ns(max(start_ns, 0)), show_ns(max(end_ns, 0)))
        return max(start_ns, 0), max(min(end_ns, now_ns), 0)

    def within(self, outer: "Bounds") -> "Bounds":
        """Return these bounds, with `outer` at the ends that are open here."""
        return Bounds(self.start or outer.start, self.end or outer.end)


def show_ns(ns: int, *, decimals: int = 3) -> str:
    """Return media time as H:MM:SS.mmm, cut and not rounded, so that it never names the next frame.

    With `decimals` 0 the fraction is left away.
    """
    minutes, rest_ns = divmod(ns, MINUTE_NS)
    hours, minutes = divmod(minutes, 60)
    seconds, fraction_ns = divmod(rest_ns, NS_PER_S)
    fraction = f".{fraction_ns:09}"[: decimals + 1] if decimals else ""
    return f"{hours}:{minutes:02}:{seconds:02}{fraction}"


def parse_moment(text: str, *, now_at: datetime) -> Moment:
    """Read one moment, as `--since` and `export` take it.

    Accepts H:MM:SS(.fff), M:SS, plain seconds ("90.5"), ISO dates and times, "yesterday at 14:00",
    "2 pm", "10 minutes ago" and, for the same, "10m". ISO times without a zone are in that of
    `now_at`.
    """
    text = text.strip()
    if seconds := re.fullmatch(r"(\d{1,9})(?:\.(\d{1,9}))?", text):
        return MediaMoment(int(seconds[1]) * NS_PER_S + _fraction_ns(seconds[2]))
    if re.fullmatch(SPAN, text, FLAGS):
        return AgoMoment(span_ns(text))
    if found := re.fullmatch(MOMENT, text, FLAGS):
        return read_moment(found[0], now_at, day=None)
    raise BadTime(text)


def parse_bounds(since: str | None, until: str | None, *, now_at: datetime) -> Bounds:
    """Read `--since` and `--until`."""
    return ordered(
        Bounds(
            parse_moment(since, now_at=now_at) if since else None,
            parse_moment(until, now_at=now_at) if until else None,
        )
    )


FLAGS = re.IGNORECASE
_NUMBERS = {
    word: value
    for value, words in {
        0.5: "half an|half a|half",
        1: "a|an|one",
        2: "two|a couple of",
        3: "three",
        4: "four",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten",
        11: "eleven",
        12: "twelve",
        15: "fifteen",
        20: "twenty",
        25: "twenty-five",
        30: "thirty",
        40: "forty",
        45: "forty-five",
        50: "fifty",
        60: "sixty",
        90: "ninety",
        0.25: "a quarter of an",
    }.items()
    for word in words.split("|")
}
_WORDS = "|".join(sorted((re.escape(word) for word in _NUMBERS), key=len, reverse=True))
NUMBER = rf"(?:\d{{1,9}}(?:\.\d{{1,9}})?|\b(?:{_WORDS})\b)"
_SMALL_UNIT = r"(?:minutes?|mins?|m|seconds?|secs?|s)(?![a-z])"
UNIT = rf"(?:{_SMALL_UNIT}|(?:hours?|hrs?|h|days?|d)(?![a-z]))"
_ONE_SPAN = rf"(?:{NUMBER}(?:\s+and\s+a\s+half)?[\s-]*{UNIT}(?:\s+and\s+a\s+half\b)?)"
_REST = rf"\s*(?:,|and)?\s*{NUMBER}[\s-]*{_SMALL_UNIT}"
SPAN = rf"(?:{_ONE_SPAN}(?:{_REST})?)"
CLOCK = r"(?:\b\d{1,4}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?![\d:]))"
OCLOCK = rf"(?:{CLOCK}|\b\d{{1,2}})\s*[ap]\.?m\b\.?"
_DATE = r"\b\d{4}-\d{2}-\d{2}"
_ZONE = r"(?:Z|[+-]\d{2}:?\d{2})"
ISO = rf"(?:{_DATE}[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,9}})?)?{_ZONE}?)"
DAY_WORDS = rf"(?:\btoday\b|\byesterday\b|{_DATE}\b(?!T))"
DAY = rf"(?:(?:on\s+)?{DAY_WORDS})"
DAYTIME = rf"(?:{DAY},?\s+(?:at\s+)?(?:{OCLOCK}|{CLOCK})|(?:{OCLOCK}|{CLOCK})\s+{DAY}|{OCLOCK})"
_MINUTE = r"(?:\b(?:minute|min)\s+\d{1,6}\b)"
INTO = rf"(?:{SPAN}\s+(?:in(?:to\s+(?:it|the\s+\w+))?))\b"
AGO = rf"(?:{SPAN}\s+ago\b)"
MOMENT = rf"(?:{ISO}|{DAYTIME}|{CLOCK}|{AGO}|{INTO}|{_MINUTE}|{DAY})"


def read_moment(text: str, now_at: datetime, day: date | None) -> Moment:
    """Read what `MOMENT` matched; `day` is one named elsewhere in the question."""
    if re.fullmatch(ISO, text, FLAGS):
        return WallMoment(_aware(text, now_at))
    if text.lower().endswith("ago"):
        return AgoMoment(span_ns(text))
    if clock := re.search(OCLOCK, text, FLAGS):
        return _oclock(clock[0], text, now_at, day)
    if clock := re.search(CLOCK, text):
        named = re.search(DAY_WORDS, text, FLAGS)
        on = day_of(named[0], now_at) if named else day
        return _clock_on(clock[0], on, now_at) if on else MediaMoment(_clock_ns(clock[0]))
    if named := re.search(DAY_WORDS, text, FLAGS):
        return WallMoment(midnight_of(day_of(named[0], now_at), now_at), 24 * HOUR_NS)
    if minute := re.fullmatch(r"\D*(\d+)", text):
        return MediaMoment(int(minute[1]) * MINUTE_NS, MINUTE_NS)
    return MediaMoment(span_ns(text))


def _aware(text: str, now_at: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadTime(text) from None
    return at if at.tzinfo else at.replace(tzinfo=now_at.tzinfo)


def day_of(word: str, now_at: datetime) -> date:
    word = word.lower()
    if word in {"today", "yesterday"}:
        return now_at.date() - timedelta(days=word == "yesterday")
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise BadTime(word) from None


def midnight_of(day: date, now_at: datetime) -> datetime:
    return datetime.combine(day, time(), tzinfo=now_at.tzinfo)


def _clock_on(clock: str, day: date, now_at: datetime) -> WallMoment:
    """Read H:MM(:SS) as an hour of a day, not as an offset into the footage."""
    hours, minutes, *seconds = clock.split(":")
    if int(hours) > 23 or int(minutes) > 59 or (seconds and float(seconds[0]) >= 60):
        raise BadTime(clock)
    since_midnight = timedelta(
        hours=int(hours), minutes=int(minutes), seconds=float(seconds[0]) if seconds else 0
    )
    return WallMoment(midnight_of(day, now_at) + since_midnight, NS_PER_S if seconds else MINUTE_NS)


def _oclock(clock: str, text: str, now_at: datetime, day: date | None) -> WallMoment:
    half_day, digits = ("p" in clock.lower()), re.search(r"\d+(?::\d+)*", clock)
    hour, *rest = (digits[0] if digits else clock).split(":")
    if not 1 <= int(hour) <= 12:
        raise BadTime(clock)
    clock = ":".join([str(int(hour) % 12 + 12 * half_day), *(rest or ["00"])])
    if named := re.search(DAY_WORDS, text, FLAGS):
        day = day_of(named[0], now_at)
    moment = _clock_on(clock, day or now_at.date(), now_at)
    if day is None and moment.at > now_at:
        return replace(moment, at=moment.at - timedelta(days=1))
    return moment


def _clock_ns(clock: str) -> int:
    """Read H:MM:SS(.fff) or M:SS as a player shows them."""
    whole, _, fraction = clock.partition(".")
    *larger, seconds = (int(part) for part in whole.split(":"))
    minutes = larger[-1]
    hours = larger[0] if len(larger) == 2 else 0
    if seconds > 59 or (len(larger) == 2 and minutes > 59):
        raise BadTime(clock)
    return hours * HOUR_NS + minutes * MINUTE_NS + seconds * NS_PER_S + _fraction_ns(fraction)


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "0").ljust(9, "0"))


def span_ns(text: str) -> int:
    """Add up the durations in a text: "1 hour and 20 minutes", "half an hour"."""
    total_ns = 0.0
    for found in re.finditer(
        rf"({NUMBER})(\s+and\s+a\s+half)?[\s-]*({UNIT})(\s+and\s+a\s+half)?", text, FLAGS
    ):
        number = _NUMBERS.get(found[1].lower())
        value = float(found[1]) if number is None else number
        unit_ns = {"h": HOUR_NS, "m": MINUTE_NS, "s": NS_PER_S, "d": 24 * HOUR_NS}[
            found[3][0].lower()
        ]
        total_ns += (value + (0.5 if found[2] or found[4] else 0)) * unit_ns
    if not 0 < total_ns <= _LONGEST_NS:
        raise BadTime(text)
    return round(total_ns)


def _media_ns(moment: Moment, epoch_at: datetime, now_ns: int) -> int:
    match moment:
        case MediaMoment(ns):
            return ns
        case AgoMoment(ns):
            return now_ns - ns
        case WallMoment(at):
            return (at.astimezone(UTC) - epoch_at) // timedelta(microseconds=1) * 1000


def moved(moment: Moment, by_ns: int) -> Moment:
    match moment:
        case MediaMoment(ns, precise_ns):
            return MediaMoment(max(ns + by_ns, 0), precise_ns)
        case AgoMoment(ns, precise_ns):
            return AgoMoment(max(ns - by_ns, 0), precise_ns)
        case WallMoment(at, precise_ns):
            return WallMoment(at + timedelta(microseconds=by_ns // 1000), precise_ns)


def ordered(bounds: Bounds) -> Bounds:
    """Refuse a range that ends before it starts, where that shows without a stream."""
    match bounds:
        case Bounds(MediaMoment(start), MediaMoment(end)) if end <= start:
            raise ReversedRange(show_ns(start), show_ns(end))
        case Bounds(WallMoment(start), WallMoment(end)) if end <= start:
            raise ReversedRange(start.isoformat(), end.isoformat())
        case Bounds(AgoMoment(start), AgoMoment(end)) if end >= start:
            raise ReversedRange(f"{show_ns(start)} ago", f"{show_ns(end)} ago")
        case _:
            return bounds
