"""A rule as a person set it up: a sentence, where and when it counts, and who is told.

Times of day are those of the zone that the caller names; None is the machine's.
"""

import hashlib
import re
from collections.abc import Collection
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from memory.words import content_words
from services.alerts.conditions import (
    Absent,
    Condition,
    Then,
    parse_condition,
    refuse_misread,
)
from services.alerts.sinks import Sink, parse_sink
from services.errors import BadRule, WebhookUnsigned
from streaming.messages import NS_PER_S, Nanoseconds, StreamId

THRESHOLD = 0.5
COOLDOWN_NS = 60 * NS_PER_S
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


class Schedule(NamedTuple):
    """When a rule counts. What begins before midnight may end after it."""

    days: frozenset[int]
    from_minute: int
    to_minute: int

    def covers(self, at: datetime, zone: tzinfo | None) -> bool:
        local_at = at.astimezone(zone)
        minute = 60 * local_at.hour + local_at.minute
        if self.from_minute < self.to_minute:
            return local_at.weekday() in self.days and self.from_minute <= minute < self.to_minute
        if minute >= self.from_minute:
            return local_at.weekday() in self.days
        return minute < self.to_minute and (local_at - timedelta(days=1)).weekday() in self.days


class Rule(BaseModel):
    """A standing question. `from_ns` says where it begins on streams that were known then.

    Alerts of rules that have `dedupe_key` in common are told as one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StreamId
    sentence: str
    streams: tuple[StreamId, ...] = ()
    for_ns: Nanoseconds = 0
    cooldown_ns: Nanoseconds = COOLDOWN_NS
    threshold: Annotated[float, Field(gt=0, lt=1)] = THRESHOLD
    schedule: str | None = None
    dedupe_key: StreamId | None = None
    to: tuple[str, ...] = ("log", "kafka")
    added_at: AwareDatetime
    is_paused: bool = False
    from_ns: dict[StreamId, Nanoseconds] = {}

    @field_validator("sentence")
    @classmethod
    def _must_parse(cls, sentence: str) -> str:
        parse_condition(sentence)
        return sentence

    @field_validator("schedule")
    @classmethod
    def _must_be_a_schedule(cls, schedule: str | None) -> str | None:
        if schedule is not None:
            parse_schedule(schedule)
        return schedule

    @field_validator("to")
    @classmethod
    def _must_be_sinks(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for sink in to:
            parse_sink(sink)
        return tuple(dict.fromkeys(to))

    @property
    def rule_id(self) -> str:
        """Another one when a rule is removed and one of the same name is added."""
        digest = hashlib.sha256(f"{self.name} {self.added_at.isoformat()}".encode())
        return f"{self.name}@{digest.hexdigest()[:8]}"

    @property
    def condition(self) -> Condition:
        return parse_condition(self.sentence)

    @property
    def sinks(self) -> list[Sink]:
        return [parse_sink(sink) for sink in self.to]

    def concerns(self, stream_id: str) -> bool:
        return not self.streams or stream_id in self.streams

    def counts_at(self, at: datetime, zone: tzinfo | None) -> bool:
        return self.schedule is None or parse_schedule(self.schedule).covers(at, zone)


def refuse_useless(rule: Rule) -> None:
    """Refuse what cannot come true as it is meant.

    Raises:
        BadRule
    """
    refuse_misread(rule.sentence)
    condition = rule.condition
    if isinstance(condition, Then) and rule.for_ns:
        raise BadRule("what follows upon something takes no time of its own; leave out --for")
    if isinstance(condition, Absent) and rule.for_ns > condition.for_ns:
        raise BadRule("an absence says itself how long it lasts; leave out --for")


def rule_of(**fields: Any) -> Rule:
    """A rule, or `BadRule` that names what cannot be used."""
    try:
        rule = Rule(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRule(f"its {where} cannot be used ({first['msg']})") from error
    refuse_useless(rule)
    return rule


def refuse_unsigned(rule: Rule, *, is_signed: bool) -> None:
    """Refuse a webhook that nothing could sign.

    Raises:
        WebhookUnsigned
    """
    if not is_signed and any(sink.kind == "webhook" for sink in rule.sinks):
        raise WebhookUnsigned


def rule_json(rule: Rule) -> dict[str, Any]:
    """A rule as it is shown, without what only those who are told may know."""
    return {
        "name": rule.name,
        "sentence": rule.sentence,
        "streams": list(rule.streams),
        "for_s": rule.for_ns / NS_PER_S,
        "cooldown_s": rule.cooldown_ns / NS_PER_S,
        "threshold": rule.threshold,
        "schedule": rule.schedule,
        "dedupe_key": rule.dedupe_key,
        "to": [sink.shown for sink in rule.sinks],
        "added_at": rule.added_at.isoformat(),
        "is_paused": rule.is_paused,
    }


def name_of(sentence: str, taken: Collection[str]) -> str:
    """A name that nobody has, of the first words of a sentence."""
    words = re.findall(r"[a-z0-9]+", sentence.lower())
    bare = "-".join([word for word in words if content_words(word)][:4])[:48] or "rule"
    names = (bare if number == 1 else f"{bare}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def parse_schedule(text: str) -> Schedule:
    """Read days, times or both: `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`.

    Raises:
        BadRule
    """
    found = _SCHEDULE.fullmatch(" ".join(text.lower().split()))
    if found is None:
        raise _bad_schedule(text)
    days = frozenset(range(7)) if found[1] is None else _days_of(found[1])
    if found[2] is None:
        return Schedule(days, 0, DAY_MINUTES)
    from_hour, from_minute, to_hour, to_minute = (int(part) for part in found.groups()[1:])
    begins, ends = 60 * from_hour + from_minute, 60 * to_hour + to_minute
    if max(from_minute, to_minute) > 59 or max(begins, ends) > DAY_MINUTES or begins == ends:
        raise _bad_schedule(text)
    return Schedule(days, begins, ends)


def _days_of(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        at, end = DAYS.index(first), DAYS.index(last or first)
        days.update((at + step) % 7 for step in range((end - at) % 7 + 1))
    return frozenset(days)


def _bad_schedule(text: str) -> BadRule:
    return BadRule(f"{text!r} is not a schedule; write such as mon-fri 08:00-18:00, or sat,sun")


_DAY = f"(?:{'|'.join(DAYS)})"
_SCHEDULE = re.compile(
    rf"({_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*)? ?(?:(\d\d):(\d\d)-(\d\d):(\d\d))?(?<=.)"
)
