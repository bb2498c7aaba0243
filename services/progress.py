"""How far each stream has come: numbers in the record that capture and analysis leave there.

A stream that is forgotten and added again starts anew, so its numbers carry the time at which it
was added.
"""

from dataclasses import dataclass

from memory.record import Record
from memory.spans import END_OF_TIME_NS
from memory.values import StreamSpec
from streaming.messages import Span
from streaming.progress import CapturePosition, StreamState
from streaming.sources import parse_source

CAPTURED, SEQUENCE, ANALYSED, PAUSED = "captured", "sequence", "analysed", "paused"


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """How far one stream is captured and remembered."""

    stream_id: str
    state: str
    detail: str
    captured_ns: int
    remembered_ns: int
    clips: int


def cursor_of(what: str, spec: StreamSpec) -> str:
    return f"{what}:{spec.stream_id}:{spec.added_at.isoformat()}"


def is_recording(spec: StreamSpec) -> bool:
    """Whether the stream has an end, rather than going on with the clock on the wall."""
    return parse_source(spec.url).scheme == "file"


def captured_until_ns(record: Record, spec: StreamSpec) -> int:
    """Everything before it is in the catalogue, as segment or as gap, or was forgotten."""
    return _captured(record, spec)[0]


def note_captured(record: Record, spec: StreamSpec) -> None:
    """Leave a mark, from which the catalogue is read on: now and then, and before forgetting."""
    end_ns, next_sequence = _captured(record, spec)
    record.set_cursor(cursor_of(CAPTURED, spec), end_ns)
    record.set_cursor(cursor_of(SEQUENCE, spec), next_sequence)


def position_of(record: Record, spec: StreamSpec) -> CapturePosition | None:
    """Where capture takes the stream up again; None where it never began."""
    end_ns, next_sequence = _captured(record, spec)
    if not end_ns:
        return None
    has_ended = record.ended_ns(spec.stream_id) is not None
    return CapturePosition(end_ns, next_sequence, has_ended=has_ended)


def _captured(record: Record, spec: StreamSpec) -> tuple[int, int]:
    mark_ns = record.cursor(cursor_of(CAPTURED, spec)) or 0
    since = [Span(stream_id=spec.stream_id, start_ns=mark_ns, end_ns=END_OF_TIME_NS)]
    segments = record.segments(since)
    ends_ns = [one.span.end_ns for one in (*segments, *record.gaps(since))]
    sequences = [segment.sequence + 1 for segment in segments]
    next_sequence = record.cursor(cursor_of(SEQUENCE, spec)) or 0
    return max([mark_ns, *ends_ns]), max([next_sequence, *sequences])


def remembered_until_ns(record: Record, spec: StreamSpec) -> int:
    """Everything before it is remembered, or known not to be worth it."""
    until_ns = record.cursor(cursor_of(ANALYSED, spec)) or 0
    last = record.last_clips(spec.stream_id, before_ns=END_OF_TIME_NS, limit=1)
    return max([until_ns, *(note.span.end_ns for note in last)])


def note_remembered(record: Record, spec: StreamSpec, until_ns: int) -> None:
    name = cursor_of(ANALYSED, spec)
    if until_ns > (record.cursor(name) or 0):
        record.set_cursor(name, until_ns)


def progress_of(record: Record) -> list[StreamProgress]:
    return [progress_of_stream(record, spec) for spec in record.streams()]


def progress_of_stream(record: Record, spec: StreamSpec) -> StreamProgress:
    status = record.status(spec.stream_id)
    return StreamProgress(
        stream_id=spec.stream_id,
        state=status.state if status else StreamState.STARTING.value,
        detail=status.detail if status else "",
        captured_ns=captured_until_ns(record, spec),
        remembered_ns=remembered_until_ns(record, spec),
        clips=record.counts(spec.stream_id).clips,
    )
