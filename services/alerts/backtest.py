"""Try a rule on what is remembered, before or after it counts: the same judge, the same fold."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from memory.record import Record
from services.alerts.judging import Judge, Outcome
from services.alerts.keeper import followed, looks_of
from services.alerts.machine import let_go
from services.alerts.rules import Rule
from services.alerts.watch import Watch
from streaming.messages import Alert, ClipNote, Span
from streaming.topics import DAY_S


@dataclass(frozen=True, slots=True)
class BackTest:
    """What a rule would have raised, over how much of the time, and what that took."""

    alerts: tuple[Alert, ...]
    watched_s: float
    clips: int
    judgements: int
    passed_over: int
    unreadable: int
    seconds: float

    @property
    def alerts_a_day(self) -> float:
        """How many a stream would raise in a day."""
        return len(self.alerts) * DAY_S / self.watched_s if self.watched_s else 0.0


def back_test(
    rule: Rule,
    record: Record,
    judge: Judge,
    spans: Sequence[Span],
    *,
    on_watched: Callable[[float], None] = lambda watched_s: None,
) -> BackTest:
    """Hold a rule against the clips within the spans.

    `on_watched` is told now and then how much of the time was watched.
    """
    before = dict(judge.count_of)
    began_s = time.perf_counter()
    alerts: dict[str, Alert] = {}
    watched_s, clips = 0.0, 0
    for span in spans:
        watch = Watch(next_ns=span.start_ns)
        notes = list(_one_after_another(record.clips([span]), from_ns=span.start_ns))
        for at in range(0, len(notes), judge.notes_at_once):
            some = notes[at : at + judge.notes_at_once]
            for note, look in zip(some, looks_of(rule, some, judge, zone=None), strict=True):
                watched_s, clips = watched_s + note.span.duration_s, clips + 1
                watch, raised = followed(rule, watch, note, look)
                alerts |= {alert.alert_id: alert for alert in raised}
            on_watched(watched_s)
        if watch.alert is not None:
            _, raised = let_go(rule, watch)
            alerts |= {alert.alert_id: alert for alert in raised}
    spent = {outcome: judge.count_of[outcome] - before[outcome] for outcome in Outcome}
    return BackTest(
        alerts=tuple(sorted(alerts.values(), key=lambda alert: alert.start_at)),
        watched_s=watched_s,
        clips=clips,
        judgements=spent[Outcome.JUDGED],
        passed_over=spent[Outcome.PASSED_OVER],
        unreadable=spent[Outcome.UNREADABLE],
        seconds=time.perf_counter() - began_s,
    )


def _one_after_another(notes: Iterable[ClipNote], *, from_ns: int) -> Iterator[ClipNote]:
    """In order of time, without those that begin before the one before them has ended."""
    for note in notes:
        if note.span.start_ns >= from_ns:
            from_ns = note.span.end_ns
            yield note
