"""What the record holds of alerts: rules, how far each has come, alerts, and what is to be told.

    rule      NAME                    a `Rule`
    watch     RULE_ID:STREAM          a `Watch`
    alert     START:ALERT_ID          the last message of an alert, in order of wall time
    told      AT:MESSAGE_ID           each message of an alert, in the order of their writing
    shared    KEY                     a `Shared`: what goes on under a key of rules
    clock     told                    when the last of them was written
    outbox    LANE:AT:MESSAGE_ID      a `Delivery`, by who is told and in the order to be kept

How far a rule has come, the alerts that came of it and who is to be told of them are written in one
act, so that after a crash nothing is missing, and nothing is raised twice. It takes the clock on,
from what it was read as: what is written later stands behind what was written before, whatever the
machine's clock says, so whoever reads on from where they were misses nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from memory.bodies import parsed
from memory.documents import Bodies, Documents, Key
from memory.record import Record
from memory.spans import END_OF_TIME_NS
from services.alerts.machine import let_go, passed_over
from services.alerts.rules import Rule, refuse_useless
from services.alerts.shared import Shared, Told, told_as_one
from services.alerts.watch import Step, Watch
from services.errors import NoSuchAlert, NoSuchRule, RuleNameTaken
from streaming.messages import Alert, AlertState, StreamId

READ_AT_ONCE = 500
CLOCK = Key("clock", "told")

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Delivery(BaseModel):
    """Somebody who is to be told of an alert's message."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule_id: str
    sink: str
    alert: Alert
    raised_ns: int


class Place(NamedTuple):
    """How far a rule has come on a stream, and the documents in which that was read."""

    rule: Rule
    stream_id: str
    watch: Watch
    as_read: Bodies


class RuleBook:
    """Rules and alerts, in the documents of a record."""

    def __init__(self, documents: Documents, *, now_ns: Callable[[], int]) -> None:
        self._documents = documents
        self._now_ns = now_ns

    def add(self, rule: Rule) -> None:
        """Keep a new rule.

        Raises:
            BadRule, RuleNameTaken
        """
        refuse_useless(rule)
        key, body = Key("rule", rule.name), rule.model_dump_json()
        if not self._documents.swap({key: None}, {key: body}) and self._documents.get(key) != body:
            raise RuleNameTaken(rule.name)

    def rules(self) -> list[Rule]:
        return [parsed(Rule, body) for body in self._documents.all("rule").values()]

    def rule(self, name: str) -> Rule:
        """The rule of that name, or `NoSuchRule`."""
        return parsed(Rule, self._body(name))

    def remove(self, name: str) -> Rule:
        """Remove a rule and end its alerts. What it raised stays.

        Raises:
            NoSuchRule
        """
        return self._end(name, lambda rule: None)

    def pause(self, name: str) -> Rule:
        """Let a rule rest, and end its alerts; or `NoSuchRule`."""
        return self._end(name, lambda rule: rule.model_copy(update={"is_paused": True}))

    def resume(self, name: str, from_ns: Mapping[StreamId, int]) -> Rule:
        """Let a rule count again, from there on; or `NoSuchRule`. One that counts goes on."""
        while True:
            body = self._body(name)
            rule = parsed(Rule, body)
            if not rule.is_paused:
                return rule
            again = rule.model_copy(update={"is_paused": False, "from_ns": dict(from_ns)})
            key = Key("rule", name)
            self._documents.swap({key: body}, {key: again.model_dump_json()})

    def place(self, rule: Rule, stream_id: str) -> Place | None:
        """How far a rule has come on a stream; None if the rule is no longer as it was."""
        rule_key, watch_key = Key("rule", rule.name), _watch_key(rule, stream_id)
        rule_body = self._documents.get(rule_key)
        if rule_body is None or parsed(Rule, rule_body) != rule:
            return None
        body = self._documents.get(watch_key)
        watch = Watch() if body is None else parsed(Watch, body)
        from_ns = rule.from_ns.get(stream_id, 0)
        if watch.next_ns < from_ns:
            watch = passed_over(rule, watch, from_ns).watch
        return Place(rule, stream_id, watch, {rule_key: rule_body, watch_key: body})

    def watches(self, rule: Rule) -> dict[str, Watch]:
        """By stream."""
        return self.all_watches().get(rule.rule_id, {})

    def all_watches(self) -> dict[str, dict[str, Watch]]:
        """By id of the rule and by stream."""
        found: dict[str, dict[str, Watch]] = {}
        for name, body in self._documents.all("watch").items():
            rule_id, _, stream_id = name.rpartition(":")
            found.setdefault(rule_id, {})[stream_id] = parsed(Watch, body)
        return found

    def advance(self, place: Place, step: Step) -> bool:
        """Write how far a rule has come and what came of it, unless somebody else did meanwhile.

        False if so: read again. What is done twice then changes nothing.
        """
        expected, changed = self._written(place.rule, step.alerts)
        changed[_watch_key(place.rule, place.stream_id)] = step.watch.model_dump_json()
        return self._documents.swap({**place.as_read, **expected}, changed)

    def alerts(
        self,
        *,
        since_at: datetime | None = None,
        before: str | None = None,
        last: int | None = None,
    ) -> list[Alert]:
        """The last message of each alert, in order of their beginning.

        `since_at`: those that began then or later; `before`: those before a place, of `place_of`.
        """
        after = None if since_at is None else _place_of(since_at)
        found = self._documents.all("alert", after=after, before=before, last=last)
        return [parsed(Alert, body) for body in found.values()]

    def backwards(
        self, *, since_at: datetime | None = None, before: str | None = None
    ) -> Iterator[Alert]:
        """As `alerts`, the latest first, as few in memory as are asked for."""
        while some := self.alerts(since_at=since_at, before=before, last=READ_AT_ONCE):
            yield from reversed(some)
            before = place_of(some[0])

    def alert(self, alert_id: str) -> Alert:
        """The last message of an alert, or `NoSuchAlert`."""
        for alert in self.backwards():
            if alert.alert_id == alert_id:
                return alert
        raise NoSuchAlert(alert_id)

    def told(self, *, after: str) -> dict[str, Alert]:
        """Messages of alerts that were written after one, some of the first, by their names."""
        found = self._documents.all("told", after=after, first=READ_AT_ONCE)
        return {name: parsed(Alert, body) for name, body in found.items()}

    def last_told(self) -> str:
        """The name of the last message that was written."""
        return next(iter(self._documents.all("told", last=1)), "")

    def sweep(self, *, keep_ns: int) -> int:
        """Delete alerts that ended, and were last told of, longer ago; say how many there were."""
        count = 0
        before = _in_order(self._now_ns() - keep_ns)
        for name, body in self._documents.all("told", before=before).items():
            message = parsed(Alert, body)
            gone: dict[Key, str | None] = {Key("told", name): None}
            if message.state is AlertState.END:
                gone[_alert_key(message)] = None
                count += 1
            self._documents.swap({}, gone)
        return count

    def outbox(self) -> dict[str, Delivery]:
        """What is to be told, in order for each who is told."""
        found = self._documents.all("outbox")
        return {name: parsed(Delivery, body) for name, body in found.items()}

    def lanes(self) -> Iterator[str]:
        """For what something waits: what a rule has to tell a sink. Each takes a small read."""
        after = ""
        while found := self._documents.all("outbox", after=after, first=1):
            lane = next(iter(found)).partition(":")[0]
            yield lane
            after = _behind(lane)

    def waiting(self, lane: str, *, first: int) -> dict[str, Delivery]:
        """What is to be told first of a lane, in order."""
        after, before = f"{lane}:", _behind(lane)
        found = self._documents.all("outbox", after=after, before=before, first=first)
        return {name: parsed(Delivery, body) for name, body in found.items()}

    def shared(self) -> dict[str, Shared]:
        """What goes on under keys that rules have in common."""
        return {key: parsed(Shared, body) for key, body in self._documents.all("shared").items()}

    def done(self, name: str) -> None:
        """Nothing more is to be done about a delivery."""
        self._documents.swap({}, {Key("outbox", name): None})

    def forget(self, stream_id: str, *, start_ns: int, end_ns: int) -> int:
        """Delete the alerts of a span, told or not, and say how many there were."""
        gone = [
            Key("alert", name)
            for name, body in self._documents.all("alert").items()
            if _overlaps(parsed(Alert, body), stream_id, start_ns, end_ns)
        ]
        places = {key.name for key in gone}
        told = [
            Key("told", name)
            for name, body in self._documents.all("told").items()
            if place_of(parsed(Alert, body)) in places
        ]
        untold = [
            Key("outbox", name)
            for name, delivery in self.outbox().items()
            if _overlaps(delivery.alert, stream_id, start_ns, end_ns)
        ]
        whole = start_ns == 0 and end_ns >= END_OF_TIME_NS
        watches = [
            Key("watch", name)
            for name in self._documents.all("watch")
            if whole and name.endswith(f":{stream_id}")
        ]
        self._documents.swap({}, dict.fromkeys([*gone, *told, *untold, *watches]))
        if whole:
            self._forget_shared(stream_id)
        return len(gone)

    def _body(self, name: str) -> str:
        body = self._documents.get(Key("rule", name))
        if body is None:
            raise NoSuchRule(name, known=tuple(self._documents.all("rule")))
        return body

    def _written(self, rule: Rule, alerts: Iterable[Alert]) -> tuple[Bodies, dict[Key, str | None]]:
        """Messages of alerts and who is to be told of them; and what has to be as it was read."""
        expected: dict[Key, str | None] = {}
        changed: dict[Key, str | None] = {}
        told = [Told(alert, rule.rule_id, rule.to) for alert in alerts]
        if rule.dedupe_key and told:
            key = Key("shared", rule.dedupe_key)
            expected[key] = body = self._documents.get(key)
            before = None if body is None else parsed(Shared, body)
            told, shared = told_as_one(told, before)
            changed[key] = shared and shared.model_dump_json()
        if told:
            expected[CLOCK] = self._documents.get(CLOCK)
        at_ns = int(expected.get(CLOCK) or 0)
        for alert, rule_id, to in told:
            now_ns, body = self._now_ns(), alert.model_dump_json()
            at_ns = max(now_ns, at_ns + 1)
            name = f"{_in_order(at_ns)}:{alert.message_id}"
            changed |= {_alert_key(alert): body, Key("told", name): body, CLOCK: str(at_ns)}
            for sink in to:
                delivery = Delivery(rule_id=rule_id, sink=sink, alert=alert, raised_ns=now_ns)
                changed[Key("outbox", f"{_lane(rule_id, sink)}:{name}")] = (
                    delivery.model_dump_json()
                )
        return expected, changed

    def _forget_shared(self, stream_id: str) -> None:
        """Let go of a stream that is forgotten; of what began there, altogether."""
        for name, body in self._documents.all("shared").items():
            shared = parsed(Shared, body)
            left = [one for one in shared.going_on if one.rsplit(":", 2)[1] != stream_id]
            is_kept = left and shared.alert.span.stream_id != stream_id
            after = shared.model_copy(update={"going_on": tuple(left)}).model_dump_json()
            key = Key("shared", name)
            self._documents.swap({key: body}, {key: after if is_kept else None})

    def _end(self, name: str, changed_to: Callable[[Rule], Rule | None]) -> Rule:
        """End a rule's alerts, and write what becomes of it."""
        rule_key = Key("rule", name)
        while True:
            body = self._body(name)
            rule = parsed(Rule, body)
            after = changed_to(rule)
            expected: dict[Key, str | None] = {rule_key: body}
            changed: dict[Key, str | None] = {rule_key: after and after.model_dump_json()}
            ended: list[Alert] = []
            for stream_id in self.watches(rule):
                place = self.place(rule, stream_id)
                if place is None:
                    break
                watch, alerts = let_go(rule, place.watch)
                ended += alerts
                expected |= place.as_read
                changed[_watch_key(rule, stream_id)] = after and watch.model_dump_json()
            else:
                as_read, written = self._written(rule, ended)
                if self._documents.swap({**expected, **as_read}, changed | written):
                    return after or rule


def ends_of(record: Record) -> dict[StreamId, int]:
    """How far each stream is remembered: where a rule that is added now begins."""
    ends: dict[StreamId, int] = {}
    for spec in record.streams():
        for last in record.last_clips(spec.stream_id, before_ns=END_OF_TIME_NS, limit=1):
            ends[spec.stream_id] = last.span.end_ns
    return ends


def _lane(rule_id: str, sink: str) -> str:
    """What a rule has to tell a sink, by one name. What it is for is in the deliveries."""
    return hashlib.sha256(f"{rule_id} {sink}".encode()).hexdigest()[:16]


def _behind(lane: str) -> str:
    """What stands behind all names that begin with a lane, and before those of the next."""
    return f"{lane};"  # in the order of signs, ; comes right after :


def _watch_key(rule: Rule, stream_id: str) -> Key:
    return Key("watch", f"{rule.rule_id}:{stream_id}")


def place_of(alert: Alert) -> str:
    """Where an alert stands in the order of their beginning."""
    return f"{_place_of(alert.start_at)}:{alert.alert_id}"


def _place_of(at: datetime) -> str:
    return _in_order((at - _UNIX_EPOCH) // timedelta(microseconds=1))


def _in_order(time: int) -> str:
    """As a name, whose order is that of time."""
    return f"{time:020}"


def _alert_key(alert: Alert) -> Key:
    return Key("alert", place_of(alert))


def _overlaps(alert: Alert, stream_id: str, start_ns: int, end_ns: int) -> bool:
    return alert.span.stream_id == stream_id and alert.span.overlaps(start_ns, end_ns)
