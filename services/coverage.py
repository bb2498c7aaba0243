"""What part of the footage a question is about, and what part of that was really watched.

Watched is what is stored as footage and analysed. What is not is named: by the gaps that capture
reported, as not analysed yet, and otherwise as not running.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from memory.record import Record
from memory.spans import outside
from memory.values import StreamSpec
from services.errors import RangeInFuture
from services.moments import MINUTE_NS, Bounds, show_ns
from services.progress import captured_until_ns, is_recording, remembered_until_ns
from streaming.messages import Coverage, GapReason, Span, StreamGap

FRESH_NS = MINUTE_NS  # a camera's latest seconds are in a segment that is still being written


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of one stream that a question is about; empty where it has no such time."""

    spec: StreamSpec
    epoch_at: datetime
    start_ns: int
    end_ns: int
    now_ns: int

    @property
    def span(self) -> Span | None:
        if self.end_ns <= self.start_ns:
            return None
        return Span(stream_id=self.spec.stream_id, start_ns=self.start_ns, end_ns=self.end_ns)

    def latest(self, record: Record, length_ns: int) -> "Asked":
        """The last part of it that was watched."""
        end_ns = min(self.end_ns, max(remembered_until_ns(record, self.spec), self.start_ns))
        return replace(self, start_ns=max(self.start_ns, end_ns - length_ns), end_ns=end_ns)


def asked_of(
    record: Record, specs: Sequence[StreamSpec], bounds: Bounds, *, now_at: datetime
) -> list[Asked]:
    """Resolve a range for each stream that has begun.

    Raises:
        ReversedRange: it ends before it starts, in some stream.
        RangeInFuture: it starts after the footage of every stream.
    """
    asked: list[Asked] = []
    for spec in specs:
        if spec.epoch_at is not None:
            now_ns = now_of(record, spec, spec.epoch_at, now_at=now_at)
            start_ns, end_ns = bounds.resolve(epoch_at=spec.epoch_at, now_ns=now_ns)
            asked.append(Asked(spec, spec.epoch_at, start_ns, end_ns, now_ns))
    begun = [one for one in asked if one.now_ns]
    if begun and bounds.start is not None and all(one.start_ns >= one.now_ns for one in begun):
        raise RangeInFuture(show_ns(begun[0].start_ns), show_ns(begun[0].now_ns))
    return asked


def now_of(record: Record, spec: StreamSpec, epoch_at: datetime, *, now_at: datetime) -> int:
    """Media time of now: that of the clock for a camera, the end of what there is otherwise."""
    captured_ns = captured_until_ns(record, spec)
    if is_recording(spec) or record.ended_ns(spec.stream_id) is not None:
        return captured_ns
    return max(captured_ns, (now_at - epoch_at) // timedelta(microseconds=1) * 1000)


def coverage_of(record: Record, asked: Sequence[Asked]) -> Coverage:
    """What of the asked spans was watched, and why the rest was not."""
    spans = tuple(one.span for one in asked if one.span is not None)
    gaps: list[StreamGap] = []
    for one in asked:
        if one.span is not None:
            gaps += _unwatched(record, one, one.span)
    asked_ns = sum(span.end_ns - span.start_ns for span in spans)
    missed_ns = sum(gap.span.end_ns - gap.span.start_ns for gap in gaps)
    return Coverage(
        asked=spans, asked_ns=asked_ns, watched_ns=asked_ns - missed_ns, gaps=tuple(gaps)
    )


def _unwatched(record: Record, asked: Asked, span: Span) -> list[StreamGap]:
    """The parts of the span that were not watched, each with its reason, in order of time."""
    reported = record.gaps([span])
    stored = (segment.span for segment in record.segments([span]))
    captured_ns = captured_until_ns(record, asked.spec)
    analysed_ns = remembered_until_ns(record, asked.spec)
    is_fresh = asked.now_ns - captured_ns <= FRESH_NS
    gaps: list[StreamGap] = []
    for hole in _holes(span, stored):
        for gap in reported:
            gaps += _within(hole, gap.span, gap.reason)
        for part in outside(hole, [gap.span for gap in reported]):
            is_coming = is_fresh and part.start_ns >= captured_ns
            reason = GapReason.NOT_ANALYSED if is_coming else GapReason.NOT_RUNNING
            gaps.append(StreamGap(span=part, reason=reason))
    for gap in reported:  # stored, but no picture of it could be read
        for part in outside(gap.span, [one.span for one in gaps]):
            gaps += _within(span, part, gap.reason)
    if analysed_ns < span.end_ns:
        waiting = span.model_copy(update={"start_ns": max(span.start_ns, analysed_ns)})
        gaps += [
            StreamGap(span=part, reason=GapReason.NOT_ANALYSED)
            for part in outside(waiting, [gap.span for gap in gaps])
        ]
    return sorted(gaps, key=lambda gap: gap.span.start_ns)


def _holes(span: Span, covers: Iterable[Span]) -> list[Span]:
    """The parts of the span outside `covers`, which come in order of their start."""
    holes: list[Span] = []
    position_ns = span.start_ns
    for cover in covers:
        if cover.start_ns > position_ns:
            holes.append(_part(span, position_ns, min(cover.start_ns, span.end_ns)))
        position_ns = max(position_ns, cover.end_ns)
    if position_ns < span.end_ns:
        holes.append(_part(span, position_ns, span.end_ns))
    return holes


def _within(outer: Span, inner: Span, reason: GapReason) -> list[StreamGap]:
    start_ns = max(outer.start_ns, inner.start_ns)
    end_ns = min(outer.end_ns, inner.end_ns)
    if end_ns <= start_ns:
        return []
    return [StreamGap(span=_part(outer, start_ns, end_ns), reason=reason)]


def _part(span: Span, start_ns: int, end_ns: int) -> Span:
    return Span(stream_id=span.stream_id, start_ns=start_ns, end_ns=end_ns)
