"""The record of what was noted: one protocol, several engines.

`DictRecord` (memory/dict_record.py) is the definition: plain dicts, obviously right, fast
enough for tests. `SqliteRecord` (memory/sqlite_record.py) is right exactly when it agrees.

Everything is keyed by stream and media time, every write is an upsert and atomic, so doing
work twice equals doing it once. Reads are ordered by stream, start, id. `within` limits a
read to what overlaps any of the given spans (half-open); None is everything.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from memory.documents import Documents
from memory.values import (
    ClipEvent,
    ClipVectors,
    Counts,
    Deleted,
    Hit,
    Mark,
    StreamSpec,
    StreamStatus,
    Vector,
)
from streaming.messages import ClipNote, SegmentReady, Span, StreamEnded, StreamGap

Within = Sequence[Span] | None


class Record(Protocol):
    """Streams, clips, events, words, vectors, segments and gaps. Errors: `memory.errors`.

    Safe to call from several threads. What is put for a stream that is not registered raises
    `UnknownStream`; what overlaps a forgotten span raises `SpanForgotten`.
    """

    @property
    def documents(self) -> Documents:
        """What is kept beside the notes; no deletion of notes touches it."""
        ...

    def add_stream(self, spec: StreamSpec) -> None:
        """Register a stream; `StreamExists` if the name is taken."""
        ...

    def streams(self) -> list[StreamSpec]: ...

    def stream(self, stream_id: str) -> StreamSpec:
        """The stream of that name, or `UnknownStream`."""
        ...

    def set_epoch(self, stream_id: str, epoch_at: datetime) -> None:
        """Say when media time zero was."""
        ...

    def remove_stream(self, stream_id: str) -> Deleted:
        """Delete a stream and all that the record holds of it. One already gone is no error."""
        ...

    def set_status(self, stream_id: str, status: StreamStatus) -> None: ...

    def status(self, stream_id: str) -> StreamStatus | None: ...

    def put_clip(self, note: ClipNote, *, text_vector: Vector, visual_vector: Vector) -> None:
        """Store a clip's note, events, words and vectors in one transaction, by its id.

        On `SpanForgotten` or `UnknownStream` the caller deletes the clip's tokens too.
        """
        ...

    def clip(self, clip_id: str) -> ClipNote | None: ...

    def clips(self, within: Within = None) -> list[ClipNote]: ...

    def last_clips(self, stream_id: str, *, before_ns: int, limit: int) -> list[ClipNote]:
        """The last `limit` clips that end at or before `before_ns`, in order of time."""
        ...

    def events(self, within: Within = None) -> list[ClipEvent]: ...

    def search_words(self, query: str, *, limit: int, within: Within = None) -> list[Hit]:
        """Clips by BM25 of the query's words in their notes and events, best first."""
        ...

    def vectors(self, *, after_revision: int = 0) -> Iterator[ClipVectors]:
        """The vectors of clips stored or replaced after a revision, in that order."""
        ...

    def vectors_of(self, clip_id: str) -> ClipVectors | None: ...

    def clip_ids(self, within: Within = None) -> set[str]: ...

    def mark(self) -> Mark:
        """How far the record has come."""
        ...

    def put_segment(self, segment: SegmentReady) -> None: ...

    def segments(self, within: Within = None) -> list[SegmentReady]: ...

    def put_gap(self, gap: StreamGap) -> None:
        """Store a gap; one with the same start is replaced."""
        ...

    def gaps(self, within: Within = None) -> list[StreamGap]: ...

    def put_ended(self, ended: StreamEnded) -> None: ...

    def ended_ns(self, stream_id: str) -> int | None:
        """Where the stream ended, or None while it goes on."""
        ...

    def begin_forgetting(self, span: Span) -> None:
        """From now on refuse what overlaps `span`, as far as the stream is known today."""
        ...

    def unfinished_forgetting(self) -> list[Span]:
        """Spans given to `begin_forgetting` whose `delete_span` has not been done."""
        ...

    def delete_span(self, span: Span) -> Deleted:
        """Delete what overlaps: clips and segments whole, of gaps the part that lies inside."""
        ...

    def counts(self, stream_id: str | None = None) -> Counts: ...

    def cursor(self, name: str) -> int | None: ...

    def cursors(self, names: Collection[str]) -> dict[str, int]:
        """Those of the names that were set, in few questions."""
        ...

    def set_cursor(self, name: str, value: int) -> None:
        """Remember a number by name, such as how far a follower has read."""
        ...

    def check(self) -> None:
        """Read everything back; `DamagedRecord` if that fails."""
        ...

    def close(self) -> None: ...
