"""Spans as SQL conditions, and rows as values: the small change of `SqliteRecord`."""

from datetime import datetime
from typing import Any

import numpy as np

from memory.record import Within
from memory.spans import END_OF_TIME_NS
from memory.sqlite_file import SqliteFile
from memory.values import ClipEvent, ClipVectors, Vector
from streaming.messages import NotedEvent, Span

_BATCH_SPANS = 200  # SQLite bears expressions 1000 deep


def select(file: SqliteFile, columns: str, table: str, within: Within) -> list[tuple[Any, ...]]:
    """The different rows of a table with bounds that overlap any of `within`, in no order."""
    found: dict[tuple[Any, ...], None] = {}
    for some in batches(within):
        condition, parameters = overlap_condition(some)
        rows = file.rows(f"select {columns} from {table} where {condition}", parameters)
        found.update(dict.fromkeys(rows))
    return list(found)


def batches(within: Within) -> list[Within]:
    """The spans, as many at a time as one statement can name."""
    if within is None:
        return [None]
    return [within[at : at + _BATCH_SPANS] for at in range(0, len(within), _BATCH_SPANS)]


def overlap_condition(within: Within) -> tuple[str, list[Any]]:
    """SQL for "overlaps any of `within`", and its parameters."""
    if within is None:
        return "true", []
    one = "(stream_id = ? and start_ns < ? and end_ns > ?)"
    parameters = [
        value
        for span in within
        for value in (span.stream_id, min(span.end_ns, END_OF_TIME_NS), span.start_ns)
    ]
    return f"({' or '.join([one] * len(within))})", parameters


def bounds(span: Span) -> tuple[str, int, int]:
    return span.stream_id, span.start_ns, span.end_ns


def span_of(stream_id: str, start_ns: int, end_ns: int) -> Span:
    return Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns)


VECTOR_COLUMNS = (
    "clip_id, stream_id, start_ns, end_ns, model_id, text_vector, visual_vector, revision"
)


def clip_vectors_of(row: tuple[Any, ...]) -> ClipVectors:
    clip_id, stream_id, start_ns, end_ns, model_id, text, visual, revision = row
    span = span_of(stream_id, start_ns, end_ns)
    return ClipVectors(clip_id, span, model_id, vector_of(text), vector_of(visual), revision)


def vector_of(blob: bytes) -> Vector:
    return np.frombuffer(blob, dtype=np.float32)


def clip_event_of(row: tuple[Any, ...]) -> ClipEvent:
    """Columns: stream, start, clip id, position, end, text, clip's start, end and epoch."""
    stream_id, start_ns, clip_id, _, end_ns, text, clip_start_ns, clip_end_ns, epoch = row
    return ClipEvent(
        NotedEvent(span=span_of(stream_id, start_ns, end_ns), text=text),
        clip_id,
        span_of(stream_id, clip_start_ns, clip_end_ns),
        datetime.fromisoformat(epoch),
    )
