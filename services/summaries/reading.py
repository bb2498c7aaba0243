"""Summaries for whoever asks: of what is kept where whole minutes, hours and days lie in the range,
and of the notes at its edges and wherever nothing is kept. Both say the same.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime

from memory.record import Record
from memory.summaries import BusyMinute, Level, NotedKind, Summary, around, cut, folded, summary_of
from memory.summary_book import SummaryBook
from services.coverage import Asked, asked_of, coverage_of
from services.errors import RangeTooFine
from services.moments import Bounds
from services.wiring import Stores
from streaming.messages import Coverage, Message, Span, wall_time

MOST = 1500  # summaries in one reply: the minutes of a day


class SpanSummary(Message):
    """What happened in a span of one stream. Kinds of events are in order of their first moment."""

    kind: Literal["span_summary/1"] = "span_summary/1"
    span: Span
    start_at: AwareDatetime
    end_at: AwareDatetime
    events: tuple[NotedKind, ...]
    busiest: BusyMinute | None
    calmest: Span | None
    coverage: Coverage

    @classmethod
    def of(cls, summary: Summary, epoch_at: datetime) -> Self:
        span = summary.span
        return cls(
            span=span,
            start_at=wall_time(epoch_at, span.start_ns),
            end_at=wall_time(epoch_at, span.end_ns),
            events=summary.kinds,
            busiest=summary.busiest,
            calmest=summary.calmest,
            coverage=Coverage(
                asked=(span,),
                asked_ns=summary.asked_ns,
                watched_ns=summary.watched_ns,
                gaps=summary.gaps,
            ),
        )


class Notes:
    """Summaries of the notes alone, within one stretch of a stream."""

    def __init__(self, record: Record, asked: Asked) -> None:
        self._record = record
        self._asked = asked

    def summary(self, span: Span) -> Summary:
        asked = replace(self._asked, start_ns=span.start_ns, end_ns=span.end_ns)
        gaps = coverage_of(self._record, [asked]).gaps
        return summary_of(span, self._record.events([around(span)]), gaps)


def summaries(
    stores: Stores,
    streams: Sequence[str],
    bounds: Bounds,
    *,
    level: Level | None,
    now_at: datetime,
) -> list[SpanSummary]:
    """One for each stream that has such a time; with a level, one for each piece of that.

    Raises:
        TimeError, NoSuchStream, StoreError
    """
    specs = [stores.registry.stream(name) for name in streams or stores.registry.names()]
    pieces = [
        (one, [one.span] if level is None else cut(one.span, level))
        for one in asked_of(stores.record, specs, bounds, now_at=now_at)
        if one.span is not None
    ]
    if (number := sum(len(spans) for _, spans in pieces)) > MOST:
        raise RangeTooFine(number, most=MOST)
    return [
        SpanSummary.of(summary, one.epoch_at)
        for one, spans in pieces
        for summary in _read(stores.record, one, spans)
    ]


def _read(record: Record, asked: Asked, spans: Sequence[Span]) -> list[Summary]:
    book, notes = SummaryBook(record.documents), Notes(record, asked)
    place = book.place(asked.spec.stream_id)
    is_kept = place is not None and place.reach.added_at == asked.spec.added_at
    until_ns = place.reach.until_ns if place is not None and is_kept else 0

    def stored(level: Level, start_ns: int) -> Summary | None:
        if start_ns + level.length_ns > until_ns:
            return None
        return book.get(asked.spec.stream_id, level, start_ns)

    return [folded(span, stored=stored, noted=notes.summary) for span in spans]
