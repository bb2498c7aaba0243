"""Deletion that reaches everything: footage, tokens, vectors, notes, events, gaps, summaries,
labels, and the examples of data sets.

A clip that lies partly inside the span is deleted whole, and so is a segment of footage,
since neither can be cut; and so is a clip whose note tells of something inside the span, because
it began before the clip. Of a gap, the part inside is deleted; what sticks out stays known.

The order makes a crash harmless. First the record notes durably what is to be forgotten, and
from then on refuses to store it again; then the summaries go, the labels, the examples, the files,
the vectors, and last the record's own entries, so that until the end it is known that there is work
left.
`finish_forgetting` does that work at the next start, and repeating any step is harmless.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from memory.datasets import DataSets
from memory.labels import LabelBook
from memory.record import Record
from memory.spans import whole_stream
from memory.summary_book import SummaryBook
from memory.unwritten import UnwrittenNotes
from memory.values import Deleted, Removed
from streaming.messages import Span


class FootageFile(Protocol):
    """A segment of footage, as the footage store lists it."""

    @property
    def uri(self) -> str: ...

    @property
    def span(self) -> Span: ...

    @property
    def size_bytes(self) -> int: ...


class Footage(Protocol):
    """The part of a footage store that forgetting needs."""

    def segments(self, stream_id: str) -> Iterable[FootageFile]: ...

    def delete(self, uri: str) -> None:
        """Delete a file. One already gone is no error."""
        ...


class Tokens(Protocol):
    """The part of a token store that forgetting needs."""

    def delete_span(self, span: Span) -> Removed: ...


class Vectors(Protocol):
    """An index, in memory and as it is saved."""

    def delete_clips(self, clip_ids: Iterable[str]) -> int:
        """Delete clips durably and say how many there were. One not held is no error."""
        ...


@dataclass(frozen=True, slots=True)
class Stores:
    """Every place where something of a span may lie. The record must be the last to forget."""

    record: Record
    footage: Footage
    tokens: Tokens
    vectors: Vectors


class Forgotten(NamedTuple):
    """What went."""

    span: Span
    footage: Removed
    tokens: Removed
    vectors: int
    record: Deleted
    labels: int = 0
    examples: int = 0

    @property
    def size_bytes(self) -> int:
        return self.footage.size_bytes + self.tokens.size_bytes + self.record.size_bytes


def forget(span: Span, stores: Stores) -> Forgotten:
    """Delete all that is kept of a span. Repeating it finishes what a crash cut short."""
    return _forget(_with_notes_of(span, stores.record), stores, stores.record.delete_span)


def forget_stream(stream_id: str, stores: Stores) -> Forgotten:
    """Delete all that is kept of a stream, and the stream. Repeating it is harmless.

    Capture and analysis of the stream must have stopped.
    """
    return _forget(
        whole_stream(stream_id), stores, lambda span: stores.record.remove_stream(span.stream_id)
    )


def finish_forgetting(stores: Stores) -> list[Forgotten]:
    """Do what an interrupted `forget` left undone; to be called before anything else starts."""
    record = stores.record
    return [_forget(span, stores, record.delete_span) for span in record.unfinished_forgetting()]


def _with_notes_of(span: Span, record: Record) -> Span:
    """The span, and the clips after it whose events reach into it."""
    clips = [event.clip_span for event in record.events([span])]
    ends_ns = [clip.end_ns for clip in clips if clip.start_ns >= span.end_ns]
    return span.model_copy(update={"end_ns": max([span.end_ns, *ends_ns])})


def _forget(span: Span, stores: Stores, delete: Callable[[Span], Deleted]) -> Forgotten:
    stores.record.begin_forgetting(span)
    documents = stores.record.documents
    SummaryBook(documents).forget(span)
    UnwrittenNotes(documents).forget(span)
    return Forgotten(
        span=span,
        labels=LabelBook(documents).forget(span),
        examples=DataSets(documents).forget(span),
        footage=_delete_footage(span, stores.footage),
        tokens=stores.tokens.delete_span(span),
        vectors=stores.vectors.delete_clips(stores.record.clip_ids([span])),
        record=delete(span),
    )


def _delete_footage(span: Span, footage: Footage) -> Removed:
    files = [
        file
        for file in footage.segments(span.stream_id)
        if span.overlaps(file.span.start_ns, file.span.end_ns)
    ]
    for file in files:
        footage.delete(file.uri)
    return Removed(len(files), sum(file.size_bytes for file in files))
