"""Clips that are remembered by their pictures alone because the model's server failed at them.

Kept in the documents of the record, a key for each, so that their notes are tried again later, also
by another process.
"""

from memory.bodies import parsed
from memory.documents import Documents, Key
from streaming.messages import Message, Span


class UnwrittenNote(Message):
    """A clip whose note is still to be written."""

    clip_id: str
    span: Span
    reason: str


class UnwrittenNotes:
    """Those of a record. Errors: `memory.errors`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def put(self, one: UnwrittenNote) -> None:
        self._documents.swap({}, {_key(one): one.model_dump_json()})

    def remove(self, one: UnwrittenNote) -> None:
        self._documents.swap({}, {_key(one): None})

    def of(self, stream_id: str) -> list[UnwrittenNote]:
        """Those of a stream, in order of their starts."""
        bodies = self._documents.all(_kind(stream_id))
        return [parsed(UnwrittenNote, body) for body in bodies.values()]

    def forget(self, span: Span) -> None:
        """Delete what overlaps a span. Repeating it is harmless."""
        for one in self.of(span.stream_id):
            if span.overlaps(one.span.start_ns, one.span.end_ns):
                self.remove(one)


def _key(one: UnwrittenNote) -> Key:
    return Key(_kind(one.span.stream_id), f"{one.span.start_ns:020}:{one.clip_id}")


def _kind(stream_id: str) -> str:
    return f"unwritten-{stream_id}"
