"""The life of alerts, as a pure fold: one clip after another, a state in, a state and messages out.

A `Watch` is all that is kept of one rule on one stream. Looks come in order of time; one that was
had before changes nothing, so doing it twice is doing it once, and a fold that is broken off goes
on from its last state as if it had not been.

What was not watched proves nothing: over a gap an alert ends, and what has to last begins again.

Knows no model, no record, no bus and no clock.
"""

from datetime import datetime
from functools import reduce
from itertools import chain, product
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from services.alerts.conditions import Absent, Condition, MoreThan, Shown, Then, While
from services.alerts.rules import Rule
from streaming.messages import NS_PER_S, Alert, AlertState, Span, wall_time

KEPT_SHARE = 0.5
"""Hysteresis: what is shown goes on being shown down to this share of the threshold."""
JOINED_NS = NS_PER_S  # sightings that are no further apart are one
UPDATE_EVERY_NS = 60 * NS_PER_S  # of media time: for what goes on for long
MOST_CLIPS = 8  # named as evidence


class Seen(NamedTuple):
    """How likely a clip shows a claim, and when, where that is known closer than by the clip."""

    probability: float
    times_ns: tuple[tuple[int, int], ...] = ()


class Look(NamedTuple):
    """What a clip shows of each claim of a rule."""

    clip_id: str
    span: Span
    epoch_at: datetime
    seen: tuple[Seen, ...]


class Sighting(NamedTuple):
    """A claim, shown. It began at `start_ns` or later, and by `begun_ns`."""

    start_ns: int
    begun_ns: int
    end_ns: int
    probability: float
    clip_id: str

    @property
    def is_timed(self) -> bool:
        """Whether it is known when it began, closer than by its clip."""
        return self.begun_ns < self.end_ns


class Held(NamedTuple):
    """The condition, fulfilled."""

    start_ns: int
    end_ns: int
    probability: float
    clip_ids: tuple[str, ...]


class Watch(BaseModel):
    """A rule on a stream: how far it has looked, what its condition waits for, and its alert.

    next_ns          up to where it has looked
    before           when the claims were shown in the clip before, where that is known (While)
    since_ns         from when on a claim has not been shown (Absent)
    first            the last sighting that something may follow upon (Then)
    starts_ns        when the latest sightings began, the last of which ended at `last_end_ns`
                     (MoreThan)
    pending          fulfilled, and not yet for long enough
    alert            the alert that goes on; `told_ns` is how far its last message reached
    quiet_until_ns   the end of the cool-down
    """

    model_config = ConfigDict(frozen=True, extra="ignore")  # what an earlier version kept

    next_ns: int = 0
    before: tuple[tuple[Sighting, ...], ...] = ()
    since_ns: int | None = None
    first: Sighting | None = None
    starts_ns: tuple[int, ...] = ()
    last_end_ns: int = 0
    pending: Held | None = None
    alert: Alert | None = None
    told_ns: int = 0
    quiet_until_ns: int = 0


class Step(NamedTuple):
    watch: Watch
    alerts: tuple[Alert, ...] = ()


def step(rule: Rule, condition: Condition, watch: Watch, look: Look) -> Step:
    """Take in what a clip shows. One that begins before `watch.next_ns` was taken in."""
    if look.span.start_ns < watch.next_ns:
        return Step(watch)
    told: tuple[Alert, ...] = ()
    if look.span.start_ns > watch.next_ns:
        watch, told = passed_over(rule, watch, look.span.start_ns)
    watch, held = _weighed(rule, condition, watch, look)
    watch = watch.model_copy(update={"next_ns": look.span.end_ns})
    if watch.alert and held and _are_apart(condition, watch.alert.span.end_ns, held, look):
        watch, more = _ended(rule, watch)
        told += more
    if watch.pending and held and _are_apart(condition, watch.pending.end_ns, held, look):
        watch = watch.model_copy(update={"pending": None})
    watch, more = _told(rule, watch, held, look)
    return Step(watch, told + more)


def passed_over(rule: Rule, watch: Watch, until_ns: int) -> Step:
    """Go on to `until_ns` without having seen what is before it."""
    ended = _ended(rule, watch)
    passed = {"next_ns": until_ns, "before": (), "since_ns": None, "pending": None}
    return ended._replace(watch=ended.watch.model_copy(update=passed))


def _weighed(
    rule: Rule, condition: Condition, watch: Watch, look: Look
) -> tuple[Watch, Held | None]:
    keeps = KEPT_SHARE * rule.threshold if watch.alert else rule.threshold
    match condition:
        case Shown():
            return watch, _shown(look.seen[0], look, keeps)
        case While():
            return _at_once(watch, look, keeps)
        case Absent(_, for_ns):
            return _absent(watch, look, rule.threshold, for_ns)
        case Then(_, _, within_ns):
            return _followed(watch, look, rule.threshold, within_ns)
        case MoreThan():
            told_until_ns = watch.quiet_until_ns - rule.cooldown_ns
            return _counted(watch, look, rule.threshold, condition, told_until_ns=told_until_ns)


def _shown(seen: Seen, look: Look, at_least: float) -> Held | None:
    found = _sightings(seen, look, at_least)
    if not found:
        return None
    start_ns, end_ns = found[0].start_ns, max(one.end_ns for one in found)
    return Held(start_ns, end_ns, seen.probability, (look.clip_id,))


def _at_once(watch: Watch, look: Look, at_least: float) -> tuple[Watch, Held | None]:
    """Both at a common time; within one clip, where the times of neither are known.

    Of a claim that may be anywhere in the clip, nobody knows whether it met one whose times are.
    What one clip tells of may have met what the next one tells of: notes begin a little before.
    """
    one, other = (_sightings(seen, look, at_least) for seen in look.seen)
    one_before, other_before = watch.before or ((), ())
    pairs = chain(product(one, other), product(one_before, other), product(one, other_before))
    met = [
        Held(
            max(a.start_ns, b.start_ns),
            min(a.end_ns, b.end_ns),
            min(a.probability, b.probability),
            _first_clips((a.clip_id,), (b.clip_id,)),
        )
        for a, b in pairs
        if a.is_timed == b.is_timed
    ]
    met = [held for held in met if held.start_ns < held.end_ns]
    timed = tuple(tuple(each for each in some if each.is_timed) for some in (one, other))
    watch = watch.model_copy(update={"before": timed})
    return watch, reduce(_joined, met) if met else None


def _absent(watch: Watch, look: Look, at_least: float, for_ns: int) -> tuple[Watch, Held | None]:
    since_ns = look.span.start_ns if watch.since_ns is None else watch.since_ns
    found = _sightings(look.seen[0], look, at_least)
    if found:
        lasted_ns = found[0].start_ns - since_ns
        held = Held(since_ns, found[0].start_ns, 1.0, (look.clip_id,))
        watch = watch.model_copy(update={"since_ns": max(one.end_ns for one in found)})
        return watch, held if lasted_ns >= max(for_ns, 1) and watch.alert is None else None
    watch = watch.model_copy(update={"since_ns": since_ns})
    if look.span.end_ns - since_ns < for_ns:
        return watch, None
    unlikely = 1 - look.seen[0].probability
    return watch, Held(since_ns, look.span.end_ns, unlikely, (look.clip_id,))


def _followed(
    watch: Watch, look: Look, at_least: float, within_ns: int
) -> tuple[Watch, Held | None]:
    """The second begins after the first is known to have begun. A pair counts once."""
    first, held = watch.first, None
    firsts, seconds = (_sightings(seen, look, at_least) for seen in look.seen)
    in_order = sorted(
        [*((one, True) for one in firsts), *((one, False) for one in seconds)],
        key=lambda pair: (pair[0].start_ns, pair[1]),
    )
    for one, is_first in in_order:
        if is_first:
            first = one
        elif first and _follows(first, one) and one.start_ns - first.start_ns <= within_ns:
            start_ns = held.start_ns if held else first.start_ns
            clip_ids = tuple(dict.fromkeys((first.clip_id, one.clip_id)))
            probability = min(first.probability, one.probability)
            held, first = Held(start_ns, one.end_ns, probability, clip_ids), None
    return watch.model_copy(update={"first": first}), held


def _follows(first: Sighting, one: Sighting) -> bool:
    return one.start_ns > first.start_ns and one.start_ns >= first.begun_ns


def _counted(
    watch: Watch, look: Look, at_least: float, condition: MoreThan, *, told_until_ns: int
) -> tuple[Watch, Held | None]:
    """From when one more began than is allowed, for as long as they all lie within the time.

    Sightings that touch are one; those count that began in time before the clip's end.
    """
    count, within_ns = condition.count, condition.within_ns
    starts_ns, last_end_ns = watch.starts_ns, watch.last_end_ns
    for one in _sightings(look.seen[0], look, at_least):
        if not starts_ns or one.start_ns > last_end_ns + JOINED_NS:
            starts_ns = (*starts_ns, one.start_ns)[-count - 1 :]
        last_end_ns = max(last_end_ns, one.end_ns)
    watch = watch.model_copy(update={"starts_ns": starts_ns, "last_end_ns": last_end_ns})
    if len(starts_ns) <= count or starts_ns[0] < look.span.end_ns - within_ns:
        return watch, None
    if watch.alert is None and starts_ns[-1] < told_until_ns:
        return watch, None  # all of them were seen when an alert told of them, which a gap ended
    known = max(look.seen[0].probability, watch.alert.probability if watch.alert else 0.0)
    return watch, Held(starts_ns[-1], look.span.end_ns, known, (look.clip_id,))


def _sightings(seen: Seen, look: Look, at_least: float) -> list[Sighting]:
    """Where a clip shows a claim, in order; the whole clip where nothing closer is known."""
    if seen.probability < at_least:
        return []
    if not seen.times_ns:
        bounds = look.span.start_ns, look.span.end_ns, look.span.end_ns
        return [Sighting(*bounds, seen.probability, look.clip_id)]
    return [
        Sighting(start_ns, start_ns, end_ns, seen.probability, look.clip_id)
        for start_ns, end_ns in sorted(seen.times_ns)
    ]


def _told(rule: Rule, watch: Watch, held: Held | None, look: Look) -> Step:
    """What the world is told of a condition that is fulfilled, or is not."""
    if held is None:
        return _ended(rule, watch.model_copy(update={"pending": None}))
    if watch.alert is not None:
        return _gone_on(watch, watch.alert, held, look.epoch_at)
    if held.end_ns <= watch.quiet_until_ns:
        return Step(watch)
    pending = held if watch.pending is None else _joined(watch.pending, held)
    if pending.end_ns - pending.start_ns < rule.for_ns:
        return Step(watch.model_copy(update={"pending": pending}))
    alert = _new(rule, look, pending)
    begun = {"alert": alert, "told_ns": alert.span.end_ns, "pending": None}
    return Step(watch.model_copy(update=begun), (alert,))


def _new(rule: Rule, look: Look, held: Held) -> Alert:
    stream_id = look.span.stream_id
    return Alert(
        alert_id=f"{rule.rule_id}:{stream_id}:{held.start_ns}",
        number=0,
        state=AlertState.NEW,
        rule=rule.name,
        sentence=rule.sentence,
        span=Span(stream_id=stream_id, start_ns=held.start_ns, end_ns=held.end_ns),
        start_at=wall_time(look.epoch_at, held.start_ns),
        end_at=wall_time(look.epoch_at, held.end_ns),
        probability=held.probability,
        clip_ids=held.clip_ids,
    )


def _gone_on(watch: Watch, alert: Alert, held: Held, epoch_at: datetime) -> Step:
    end_ns = max(alert.span.end_ns, held.end_ns)
    is_due = end_ns - watch.told_ns >= UPDATE_EVERY_NS
    alert = alert.model_copy(
        update={
            "number": alert.number + is_due,
            "state": AlertState.UPDATE,
            "span": alert.span.model_copy(update={"end_ns": end_ns}),
            "end_at": wall_time(epoch_at, end_ns),
            "probability": max(alert.probability, held.probability),
            "clip_ids": _first_clips(alert.clip_ids, held.clip_ids),
        }
    )
    if not is_due:
        return Step(watch.model_copy(update={"alert": alert}))
    return Step(watch.model_copy(update={"alert": alert, "told_ns": end_ns}), (alert,))


def _ended(rule: Rule, watch: Watch) -> Step:
    if watch.alert is None:
        return Step(watch)
    last = watch.alert.model_copy(
        update={"number": watch.alert.number + 1, "state": AlertState.END}
    )
    quiet_until_ns = last.span.end_ns + rule.cooldown_ns
    ended = {"alert": None, "quiet_until_ns": quiet_until_ns}
    return Step(watch.model_copy(update=ended), (last,))


def _are_apart(condition: Condition, end_ns: int, held: Held, look: Look) -> bool:
    """Whether what holds now is another time than what ended then.

    Two absences always are; else less than the length of a clip does not part.
    """
    length_ns = look.span.end_ns - look.span.start_ns
    return held.start_ns - end_ns >= (1 if isinstance(condition, Absent) else length_ns)


def _joined(one: Held, other: Held) -> Held:
    return Held(
        min(one.start_ns, other.start_ns),
        max(one.end_ns, other.end_ns),
        max(one.probability, other.probability),
        _first_clips(one.clip_ids, other.clip_ids),
    )


def _first_clips(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))[:MOST_CLIPS]
