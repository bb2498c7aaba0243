"""The life of alerts, as a pure fold: one clip after another, a state in, a state and messages out.

A `Watch` is all that is kept of one rule on one stream. Looks come in order of time; one that was
had before changes nothing, so doing it twice is doing it once, and a fold that is broken off goes
on from its last state as if it had not been.

What was not watched proves nothing: over a gap an alert ends, and what has to last begins again.

What a clip shows before it is complete may be raised early (`raised_early`): what the fold would
raise if that were all of it. The state of the fold stays as it is; the complete clip then confirms
the alert, which goes on under the same id, or takes it back.

Knows no model, no record, no bus and no clock.
"""

import math
from functools import reduce
from itertools import chain, product

from services.alerts.conditions import Absent, Condition, MoreThan, Shown, Then, While
from services.alerts.rules import Rule
from services.alerts.watch import Early, Held, Look, Seen, Sighting, Step, Watch
from streaming.messages import NS_PER_S, Alert, AlertEnd, AlertState, Span, wall_time

KEPT_SHARE = 0.5
"""Hysteresis: what is shown goes on being shown down to this share of the threshold.

And too many are too many down to this share of what would be too many."""
JOINED_NS = NS_PER_S  # sightings that are no further apart are one
UPDATE_EVERY_NS = 60 * NS_PER_S  # of media time: for what goes on for long
MOST_CLIPS = 8  # named as evidence


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
        watch, more = _ended(rule, watch, AlertEnd.OVER)
        told += more
    if watch.pending and held and _are_apart(condition, watch.pending.end_ns, held, look):
        watch = watch.model_copy(update={"pending": None})
    watch, more = _told(rule, watch, held, look)
    told += more
    if watch.early and watch.early.clip_start_ns <= look.span.start_ns:
        watch, more = _retracted(rule, watch, AlertEnd.RETRACTED)
        told += more
    return Step(watch, told)


def raised_early(rule: Rule, condition: Condition, watch: Watch, look: Look) -> Step:
    """Raise what would come of the first part of a clip if that were all of it.

    Nothing where an alert goes on already, and nothing of what is absent, which the rest may show.
    """
    is_late = look.span.start_ns < max(watch.next_ns, watch.unsure_until_ns)
    if is_late or watch.alert or watch.early or isinstance(condition, Absent):
        return Step(watch)
    for alert in step(rule, condition, watch, look).alerts:
        if alert.state is AlertState.NEW:
            early = alert.model_copy(update={"is_early": True})
            waits = {"early": Early(early, look.span.start_ns)}
            return Step(watch.model_copy(update=waits), (early,))
    return Step(watch)


def passed_over(rule: Rule, watch: Watch, until_ns: int) -> Step:
    """Go on to `until_ns` without having seen what is before it."""
    watch, told = _ended(rule, watch, AlertEnd.NOT_WATCHED)
    if watch.early and watch.early.clip_start_ns < until_ns:
        watch, more = _retracted(rule, watch, AlertEnd.NOT_WATCHED)
        told += more
    passed = {"next_ns": until_ns, "before": (), "since_ns": None, "pending": None}
    return Step(watch.model_copy(update=passed), told)


def let_go(rule: Rule, watch: Watch) -> Step:
    """End all that goes on: nobody looks any further, for now."""
    watch, told = passed_over(rule, watch, watch.next_ns)
    if watch.early:
        watch, more = _retracted(rule, watch, AlertEnd.NOT_WATCHED)
        told += more
    return Step(watch, told)


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
    return Held(start_ns, end_ns, seen.probability, (look.clip_id,), found[0].end_ns)


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
    """From when one more began than is allowed, until less than half as many lie within the time.

    Hysteresis: one that was not seen in between would else end what goes on, and begin it again.
    Sightings that touch are one; those count that began in time before the clip's end.
    """
    count, within_ns = condition.count, condition.within_ns
    starts_ns, last_end_ns = watch.starts_ns, watch.last_end_ns
    for one in _sightings(look.seen[0], look, at_least):
        if not starts_ns or one.start_ns > last_end_ns + JOINED_NS:
            starts_ns = (*starts_ns, one.start_ns)[-count - 1 :]
        last_end_ns = max(last_end_ns, one.end_ns)
    watch = watch.model_copy(update={"starts_ns": starts_ns, "last_end_ns": last_end_ns})
    needed = math.ceil((count + 1) * (KEPT_SHARE if watch.alert else 1))
    if len(starts_ns) < needed or starts_ns[-needed] < look.span.end_ns - within_ns:
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
        return _ended(rule, watch.model_copy(update={"pending": None}), AlertEnd.OVER)
    if watch.alert is not None:
        return _gone_on(watch, watch.alert, held, look)
    if held.end_ns <= watch.quiet_until_ns:
        return Step(watch)
    pending = held if watch.pending is None else _joined(watch.pending, held)
    if pending.end_ns - pending.start_ns < rule.for_ns:
        return Step(watch.model_copy(update={"pending": pending}))
    alert, early = _new(rule, look, pending), watch.early
    if early and early.clip_start_ns == look.span.start_ns:
        alert, early = _confirmed(early.alert, alert), None
    begun = {"alert": alert, "told_ns": alert.span.end_ns, "pending": None, "early": early}
    begun |= {"onset_end_ns": pending.onset_end_ns}
    return Step(watch.model_copy(update=begun), (alert,))


def _confirmed(early: Alert, whole: Alert) -> Alert:
    """The alert that was raised early, as the whole clip has it; it began when that was said."""
    end_ns = max(early.span.end_ns, whole.span.end_ns)
    began = {"start_ns": early.span.start_ns, "end_ns": end_ns}
    return whole.model_copy(
        update={
            "number": early.number + 1,
            "state": AlertState.UPDATE,
            "span": whole.span.model_copy(update=began),
            "start_at": early.start_at,
            "end_at": max(early.end_at, whole.end_at),
        }
    )


def _new(rule: Rule, look: Look, held: Held) -> Alert:
    stream_id = look.span.stream_id
    return Alert(
        alert_id=f"{rule.rule_id}:{stream_id}:{look.span.start_ns}",
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


def _gone_on(watch: Watch, alert: Alert, held: Held, look: Look) -> Step:
    start_ns = held.start_ns if _saw_it_begin(watch, alert, held, look) else alert.span.start_ns
    end_ns = max(alert.span.end_ns, held.end_ns)
    is_due = end_ns - watch.told_ns >= UPDATE_EVERY_NS or start_ns > alert.span.start_ns
    alert = alert.model_copy(
        update={
            "number": alert.number + is_due,
            "state": AlertState.UPDATE,
            "span": alert.span.model_copy(update={"start_ns": start_ns, "end_ns": end_ns}),
            "start_at": wall_time(look.epoch_at, start_ns),
            "end_at": wall_time(look.epoch_at, end_ns),
            "probability": max(alert.probability, held.probability),
            "clip_ids": _first_clips(alert.clip_ids, held.clip_ids),
        }
    )
    if not is_due:
        return Step(watch.model_copy(update={"alert": alert}))
    return Step(watch.model_copy(update={"alert": alert, "told_ns": end_ns}), (alert,))


def _saw_it_begin(watch: Watch, alert: Alert, held: Held, look: Look) -> bool:
    """Whether this is what the clip before told of, and here it is seen from its beginning on.

    Who saw but the first of it, late in a clip, knows less well when that was.
    """
    is_next = len(alert.clip_ids) == 1 and alert.span.end_ns <= look.span.start_ns
    is_same = alert.span.start_ns < held.start_ns < watch.onset_end_ns
    saw_from_ns = look.span.start_ns if look.saw_from_ns is None else look.saw_from_ns
    return is_next and is_same and saw_from_ns < held.start_ns


def _ended(rule: Rule, watch: Watch, why: AlertEnd) -> Step:
    if watch.alert is None:
        return Step(watch)
    last = _last(watch.alert, why)
    quiet_until_ns = last.span.end_ns + rule.cooldown_ns
    ended = {"alert": None, "quiet_until_ns": quiet_until_ns}
    return Step(watch.model_copy(update=ended), (last,))


def _retracted(rule: Rule, watch: Watch, why: AlertEnd) -> Step:
    """Take back what was raised early. The rule stays awake: there was nothing of it."""
    if watch.early is None:
        return Step(watch)
    last = _last(watch.early.alert, why)
    back = {"early": None, "unsure_until_ns": last.span.end_ns + rule.cooldown_ns}
    return Step(watch.model_copy(update=back), (last,))


def _last(alert: Alert, why: AlertEnd) -> Alert:
    return alert.model_copy(
        update={"number": alert.number + 1, "state": AlertState.END, "ended": why}
    )


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
        min(one, other, key=lambda held: held.start_ns).onset_end_ns,
    )


def _first_clips(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))[:MOST_CLIPS]
