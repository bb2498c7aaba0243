"""A memory as canonical bytes, so that two of them can be compared byte for byte.

What depends on when or where the work was done is left out: insertion order and revisions,
wall time (epochs count from the first one of their stream), addresses of footage, statuses,
cursors. Vectors appear as checksums. One JSON object a line, sorted by kind, stream and time.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from memory.record import Record
from memory.values import ClipVectors, Vector


def dump(record: Record) -> bytes:
    """All of a record; equal bytes mean that the same things are remembered."""
    return "".join(line + "\n" for line in dump_lines(record)).encode()


def dump_lines(record: Record) -> Iterator[str]:
    """The lines of `dump`, such as a test shows when two memories differ."""
    epochs: dict[str, datetime] = {}
    vectors = {held.clip_id: held for held in record.vectors()}
    for spec in record.streams():
        ended_ns = record.ended_ns(spec.stream_id)
        yield _line(
            {
                "kind": "stream",
                "stream_id": spec.stream_id,
                "realtime": spec.realtime,
                "ended_ns": ended_ns,
            }
        )
    for note in record.clips():
        body = note.model_dump(mode="json", exclude={"epoch_at"})
        yield _line(
            body
            | _digests(vectors.get(note.clip_id))
            | {"epoch_offset_us": _offset_us(epochs, note.span.stream_id, note.epoch_at)}
        )
    for segment in record.segments():
        body = segment.model_dump(mode="json", exclude={"epoch_at", "uri"})
        offset_us = _offset_us(epochs, segment.span.stream_id, segment.epoch_at)
        yield _line(body | {"epoch_offset_us": offset_us})
    for gap in record.gaps():
        yield _line(gap.model_dump(mode="json"))


def _offset_us(epochs: dict[str, datetime], stream_id: str, epoch_at: datetime) -> int:
    return (epoch_at - epochs.setdefault(stream_id, epoch_at)) // timedelta(microseconds=1)


def _digests(held: ClipVectors | None) -> dict[str, str | None]:
    return {
        "text_vector": held and _digest(held.text_vector),
        "visual_vector": held and _digest(held.visual_vector),
    }


def _digest(vector: Vector) -> str:
    return hashlib.blake2b(vector.tobytes(), digest_size=16).hexdigest()


def _line(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False)
