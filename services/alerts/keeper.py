"""Hold every rule against every clip: follow the topic `clips`, and raise what comes of it.

A message only says how far a stream is remembered. What to look at is read from the record, in
order of time, from where each rule has come to: messages that come twice, late or in another order
change nothing. Nor do messages that went before this service read them, which nobody keeps for it:
when it starts it looks at all that is remembered.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, tzinfo

from pydantic import ValidationError

from memory.record import Record
from services.alerts.book import Place, RuleBook, ends_of
from services.alerts.conditions import Absent, While, claims_of
from services.alerts.judging import Judge
from services.alerts.machine import KEPT_SHARE, let_go, passed_over, raised_early, step
from services.alerts.rules import Rule
from services.alerts.watch import Look, Step, Watch
from services.logs import about
from services.metrics import Metrics
from services.progress import remembered_until_ns
from services.tracing import context_of, continuing
from streaming import bus
from streaming.errors import BadMessage
from streaming.messages import NS_PER_S, ClipNote, ClipRemembered, Span, wall_time

CLOSE_EVERY_NS = 15 * NS_PER_S  # what a stream's last clip did not end
READ_NS = 60 * NS_PER_S  # of notes, when the next one is looked for

log = logging.getLogger(__name__)


class RuleKeeper:
    """Handles the records of the topic `clips`. `zone` is that of schedules.

    `judge` is asked for before each look, since it belongs to the model that serves.
    """

    def __init__(
        self,
        *,
        book: RuleBook,
        judge: Callable[[], Judge],
        record: Record,
        monotonic_ns: Callable[[], int],
        metrics: Metrics,
        zone: tzinfo | None = None,
    ) -> None:
        self._book = book
        self._judge = judge
        self._record = record
        self._monotonic_ns = monotonic_ns
        self._metrics = metrics
        self._zone = zone
        self._closed_at_ns = monotonic_ns()
        self._has_caught_up = False

    def prepare(self, record: bus.Record) -> ClipRemembered:
        try:
            return ClipRemembered.model_validate_json(record.value)
        except ValidationError as error:
            reason = f"{error.error_count()} fields do not fit"
            raise BadMessage(record.topic, offset=record.offset, reason=reason) from error

    def restart_preparing(self) -> None:
        """Nothing is kept of what was prepared."""

    def handle(self, record: bus.Record, prepared: ClipRemembered) -> None:
        span = prepared.span
        said = about(stream_id=span.stream_id, clip_id=prepared.clip_id)
        with (
            continuing(context_of(record.headers)),
            self._metrics.tracer.span("alerts.look", said),
        ):
            for rule in self._book.rules():
                if not rule.is_paused and rule.concerns(span.stream_id):
                    self._catch_up(rule, span.stream_id, until_ns=span.end_ns)

    def armed(self, stream_id: str, at: datetime) -> list[Rule]:
        """The rules that part of a clip of that time can fulfil."""
        return may_be_early(self._book.rules(), stream_id, at, self._zone)

    def raise_early(self, rule: Rule, note: ClipNote) -> None:
        """Hold a rule against part of a clip, after all that is remembered before it."""
        self._catch_up(rule, note.span.stream_id, until_ns=note.span.start_ns)
        place = self._book.place(rule, note.span.stream_id)
        (look,) = self._judge().looks([note], claims_of(rule.condition), noted_only=True)
        if place is not None and look is not None:
            done = raised_early(rule, rule.condition, place.watch, look)
            if done.alerts:
                self._write(place, done)

    def idle(self) -> None:
        """Catch up with what no message tells; now and then, end what goes on in ended streams."""
        self._has_caught_up = self._has_caught_up or not self._look_behind()
        if self._monotonic_ns() - self._closed_at_ns >= CLOSE_EVERY_NS:
            self._closed_at_ns = self._monotonic_ns()
            watches = self._book.all_watches()
            for rule in self._book.rules():
                for stream_id, watch in watches.get(rule.rule_id, {}).items():
                    if watch.alert is not None or watch.early is not None:
                        self._close(rule, stream_id)

    def set_aside(self, record: bus.Record, error: Exception) -> None:
        """The next message makes up for it."""

    def committable(self, partition: int, next_offset: int) -> int:
        return next_offset

    def revoked(self, partitions: Collection[int]) -> None:
        """Nothing is kept of a partition."""

    def _look_behind(self) -> bool:
        """Look at one clip that a rule has not come to, so that a stop is heard; False: none."""
        rules = self._book.rules()
        return any(
            self._look_at_next(rule, stream_id, until_ns=end_ns)
            for stream_id, end_ns in ends_of(self._record).items()
            for rule in rules
            if not rule.is_paused and rule.concerns(stream_id)
        )

    def _catch_up(self, rule: Rule, stream_id: str, *, until_ns: int) -> None:
        while self._look_at_next(rule, stream_id, until_ns=until_ns):
            pass
        self._close(rule, stream_id)

    def _look_at_next(self, rule: Rule, stream_id: str, *, until_ns: int) -> bool:
        """Hold a rule against the next clip up to there; False where there is none."""
        place = self._book.place(rule, stream_id)
        if place is None or place.watch.next_ns >= until_ns:
            return False
        ahead = Span(stream_id=stream_id, start_ns=place.watch.next_ns, end_ns=until_ns)
        note = self._first_note(ahead)
        if note is None:
            return False
        self._write(place, looked(rule, place.watch, note, self._judge(), zone=self._zone))
        return True

    def _first_note(self, ahead: Span) -> ClipNote | None:
        """The first that begins in a span, which may be long: little of it is read at a time."""
        length_ns = READ_NS
        while True:
            end_ns = min(ahead.end_ns, ahead.start_ns + length_ns)
            notes = self._record.clips([ahead.model_copy(update={"end_ns": end_ns})])
            for note in notes:
                if note.span.start_ns >= ahead.start_ns:
                    return note
            if end_ns == ahead.end_ns:
                return None
            length_ns *= 8

    def _close(self, rule: Rule, stream_id: str) -> None:
        """End an alert that goes on where its stream is over."""
        ended_ns = self._record.ended_ns(stream_id)
        if ended_ns is None:
            return
        place = self._book.place(rule, stream_id)
        if place and self._has_seen_all(stream_id, place.watch.next_ns, ended_ns):
            done = let_go(rule, place.watch)
            if done.alerts:
                self._write(place, done)

    def _has_seen_all(self, stream_id: str, next_ns: int, ended_ns: int) -> bool:
        """Whether nothing is to come of a stream, or was left out by analysis for good."""
        if next_ns >= ended_ns:
            return True
        specs = [spec for spec in self._record.streams() if spec.stream_id == stream_id]
        if any(remembered_until_ns(self._record, spec) < ended_ns for spec in specs):
            return False
        ahead = Span(stream_id=stream_id, start_ns=next_ns, end_ns=ended_ns)
        return self._first_note(ahead) is None

    def _write(self, place: Place, done: Step) -> None:
        if self._book.advance(place, done):
            for alert in done.alerts:
                self._metrics.alerted(alert.rule, alert.state)
                said = about(stream_id=alert.span.stream_id)
                log.debug("alert %s: %s", alert.message_id, alert.state, extra=said)


def may_be_early(
    rules: Iterable[Rule], stream_id: str, at: datetime, zone: tzinfo | None = None
) -> list[Rule]:
    """The rules of a stream that count then, and that part of a clip can fulfil: no absence."""
    return [
        rule
        for rule in rules
        if not rule.is_paused
        and rule.concerns(stream_id)
        and rule.counts_at(at, zone)
        and not isinstance(rule.condition, Absent)
    ]


def looked(rule: Rule, watch: Watch, note: ClipNote, judge: Judge, *, zone: tzinfo | None) -> Step:
    """One clip, held against one rule."""
    (look,) = looks_of(rule, [note], judge, zone=zone)
    return followed(rule, watch, note, look)


def looks_of(
    rule: Rule, notes: Sequence[ClipNote], judge: Judge, *, zone: tzinfo | None
) -> list[Look | None]:
    """What clips show of a rule. What its schedule leaves out is not looked at."""
    counted = [rule.counts_at(wall_time(n.epoch_at, n.span.start_ns), zone) for n in notes]
    condition = rule.condition
    looks = judge.looks(
        [note for note, counts in zip(notes, counted, strict=True) if counts],
        claims_of(condition),
        together_from=KEPT_SHARE * rule.threshold if isinstance(condition, While) else None,
    )
    in_order = iter(looks)
    return [next(in_order) if counts else None for counts in counted]


def followed(rule: Rule, watch: Watch, note: ClipNote, look: Look | None) -> Step:
    """The next step of a rule; None was not looked at."""
    if look is None:
        return passed_over(rule, watch, note.span.end_ns)
    return step(rule, rule.condition, watch, look)
