"""Spans as places in sorted sets, and members as values: the small change of `RedisRecord`.

Pure. A place is the start and the end of a span, eight bytes each, biggest first: members of a
sorted set with one score for all are ordered by their bytes, so by start, and exactly so, where a
score would round to a microsecond after a few months of media time. What overlaps a span starts
before its end, and not earlier than the longest member before its start.
"""

import json
import struct
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from memory.errors import DamagedRecord
from memory.record import Within
from memory.spans import END_OF_TIME_NS
from memory.values import ClipVectors, Vector
from streaming.messages import ClipNote, Span

PLACE = struct.Struct(">QQ")
TAIL = struct.Struct(">II")
_POSITION = struct.Struct(">I")
_INSTANT = struct.Struct(">Q")

POSTING = np.dtype(
    [("start", ">u8"), ("end", ">u8"), ("revision", ">u8"), ("times", ">u4"), ("length", ">u4")]
)
"""A member of `words`: where a clip is, its revision, how often it has the word, its length."""


class LexRange(NamedTuple):
    """Bounds of a `ZRANGE ... BYLEX`."""

    first: bytes
    last: bytes


EVERYTHING = LexRange(b"-", b"+")


@dataclass(frozen=True, slots=True)
class StreamRange:
    """What is wanted of one stream, as spans that do not touch each other; None is all of it."""

    stream_id: str
    bounds: tuple[tuple[int, int], ...] | None

    def lex_ranges(self, longest_ns: int) -> list[LexRange]:
        """Ranges that hold every member that may overlap, none of them twice."""
        if self.bounds is None:
            return [EVERYTHING]
        wide = _merged((max(0, start_ns - longest_ns), end_ns) for start_ns, end_ns in self.bounds)
        return [
            LexRange(b"[" + _INSTANT.pack(start_ns), b"(" + _INSTANT.pack(end_ns))
            for start_ns, end_ns in wide
        ]

    def overlaps(self, start_ns: int, end_ns: int) -> bool:
        if self.bounds is None:
            return True
        last = bisect_left(self.bounds, (end_ns,)) - 1
        return last >= 0 and self.bounds[last][1] > start_ns


def stream_ranges(within: Within, stream_ids: Iterable[str]) -> list[StreamRange]:
    """The spans by stream, merged; of all the given streams where there is no limit."""
    if within is None:
        return [StreamRange(stream_id, None) for stream_id in stream_ids]
    spans: dict[str, list[tuple[int, int]]] = {}
    for span in within:
        bounds = min(span.start_ns, END_OF_TIME_NS), min(span.end_ns, END_OF_TIME_NS)
        spans.setdefault(span.stream_id, []).append(bounds)
    return [StreamRange(stream_id, tuple(_merged(bounds))) for stream_id, bounds in spans.items()]


def place_of(span: Span) -> bytes:
    return PLACE.pack(span.start_ns, span.end_ns)


def event_member(span: Span, position: int, clip_id: str) -> bytes:
    """The `position`-th event of a clip, as a member of `events`."""
    return place_of(span) + _POSITION.pack(position) + clip_id.encode()


def place_in_clip(rest: bytes) -> tuple[str, int]:
    """The clip of such a member and the position in it, of what follows its place."""
    (position,) = _POSITION.unpack_from(rest)
    return rest[_POSITION.size :].decode(), position


def at_start(start_ns: int) -> LexRange:
    """The range of whatever starts at an instant."""
    return LexRange(b"[" + _INSTANT.pack(start_ns), b"(" + _INSTANT.pack(start_ns + 1))


def before(end_ns: int) -> bytes:
    """The upper bound of whatever starts before an instant."""
    return b"(" + _INSTANT.pack(min(end_ns, END_OF_TIME_NS))


def digits(duration_ns: int) -> str:
    """An instant or a length as text that compares as its number does."""
    return f"{min(duration_ns, END_OF_TIME_NS):019}"


def forgotten_of(span: Span) -> str:
    return f"{digits(span.start_ns)}-{digits(span.end_ns)}"


def span_of_forgotten(stream_id: str, field: bytes) -> Span:
    start_ns, end_ns = field.split(b"-")
    return Span(stream_id=stream_id, start_ns=int(start_ns), end_ns=int(end_ns))


def vectors_bytes(note: ClipNote, text: Vector, visual: Vector) -> bytes:
    """What an index needs of a clip; the server puts its revision before it."""
    span = note.span
    head = [span.stream_id, span.start_ns, span.end_ns, note.model_id, text.nbytes]
    return json.dumps(head).encode() + b"\n" + text.tobytes() + visual.tobytes()


def vectors_of(clip_id: str, stored: bytes) -> ClipVectors:
    try:
        head, vectors = stored[8:].split(b"\n", 1)
        stream_id, start_ns, end_ns, model_id, text_bytes = json.loads(head)
        return ClipVectors(
            clip_id,
            Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns),
            model_id,
            np.frombuffer(vectors[:text_bytes], dtype=np.float32),
            np.frombuffer(vectors[text_bytes:], dtype=np.float32),
            revision_of(stored),
        )
    except ValueError as error:
        detail = f"the vectors of clip {clip_id!r} do not read back: {error}"
        raise DamagedRecord("database", detail=detail) from error


def revision_of(stored: bytes) -> int:
    return int.from_bytes(stored[:8], "big")


def _merged(bounds: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start_ns, end_ns in sorted(bounds):
        if merged and start_ns <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end_ns)
        elif start_ns < end_ns:
            merged.append((start_ns, end_ns))
    return merged
