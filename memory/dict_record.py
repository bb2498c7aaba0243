"""The record in plain dicts: the definition that other engines must agree with.

Nothing is kept when the process ends. Words are ranked by the same BM25 as SQLite's FTS5.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from memory.bm25 import rarity, saturated
from memory.documents import DictDocuments
from memory.errors import SpanForgotten, StreamExists, UnknownStream
from memory.index import best_first
from memory.record import Within
from memory.spans import outside, overlaps_any, whole_stream
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
    checked_vector,
)
from memory.words import searchable_words, searched_words
from streaming.messages import ClipNote, SegmentReady, Span, StreamEnded, StreamGap

Spanned = TypeVar("Spanned", ClipNote, SegmentReady, StreamGap)


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    note: ClipNote
    text_vector: Vector
    visual_vector: Vector
    revision: int


class DictRecord:
    """A `Record` that lives inside a process."""

    def __init__(self, *, record_id: str = "dict") -> None:
        self._lock = threading.RLock()
        self.documents = DictDocuments()
        self._mark = Mark(record_id, revision=0, last_deletion=0)
        self._streams: dict[str, StreamSpec] = {}
        self._statuses: dict[str, StreamStatus] = {}
        self._clips: dict[str, _Clip] = {}
        self._segments: dict[tuple[str, int], SegmentReady] = {}
        self._gaps: dict[tuple[str, int], StreamGap] = {}
        self._ended: dict[str, int] = {}
        self._forgotten: dict[Span, bool] = {}  # whether the forgetting is finished
        self._cursors: dict[str, int] = {}

    def add_stream(self, spec: StreamSpec) -> None:
        with self._lock:
            if spec.stream_id in self._streams:
                raise StreamExists(spec.stream_id)
            self._streams[spec.stream_id] = spec

    def streams(self) -> list[StreamSpec]:
        with self._lock:
            return [self._streams[stream_id] for stream_id in sorted(self._streams)]

    def stream(self, stream_id: str) -> StreamSpec:
        with self._lock:
            if stream_id not in self._streams:
                raise UnknownStream(stream_id)
            return self._streams[stream_id]

    def set_epoch(self, stream_id: str, epoch_at: datetime) -> None:
        with self._lock:
            spec = self.stream(stream_id)
            self._streams[stream_id] = spec.model_copy(update={"epoch_at": epoch_at})

    def remove_stream(self, stream_id: str) -> Deleted:
        with self._lock:
            deleted = self._delete(whole_stream(stream_id))
            for span in [span for span in self._forgotten if span.stream_id == stream_id]:
                del self._forgotten[span]
            for table in (self._streams, self._statuses, self._ended):
                table.pop(stream_id, None)
            return deleted

    def set_status(self, stream_id: str, status: StreamStatus) -> None:
        with self._lock:
            self.stream(stream_id)
            self._statuses[stream_id] = status

    def status(self, stream_id: str) -> StreamStatus | None:
        with self._lock:
            return self._statuses.get(stream_id)

    def put_clip(self, note: ClipNote, *, text_vector: Vector, visual_vector: Vector) -> None:
        with self._lock:
            self._refuse_forgotten(note.told)
            self._mark = self._mark._replace(revision=self._mark.revision + 1)
            self._clips[note.clip_id] = _Clip(
                note,
                checked_vector(text_vector).copy(),
                checked_vector(visual_vector).copy(),
                self._mark.revision,
            )

    def clip(self, clip_id: str) -> ClipNote | None:
        with self._lock:
            held = self._clips.get(clip_id)
            return held.note if held else None

    def clips(self, within: Within = None) -> list[ClipNote]:
        with self._lock:
            notes = [clip.note for clip in self._clips.values()]
        return _select(notes, within)

    def last_clips(self, stream_id: str, *, before_ns: int, limit: int) -> list[ClipNote]:
        notes = [
            note
            for note in self.clips()
            if note.span.stream_id == stream_id and note.span.end_ns <= before_ns
        ]
        return notes[-limit:] if limit else []

    def events(self, within: Within = None) -> list[ClipEvent]:
        events = [
            ClipEvent(event, note.clip_id, note.span, note.epoch_at)
            for note in self.clips()
            for event in note.events
            if overlaps_any(event.span, within)
        ]
        return sorted(
            events, key=lambda e: (e.event.span.stream_id, e.event.span.start_ns, e.clip_id)
        )

    def search_words(self, query: str, *, limit: int, within: Within = None) -> list[Hit]:
        wanted = searched_words(query)
        words_of = {note.clip_id: _words(note) for note in self.clips()}
        mean_length = sum(words.total() for words in words_of.values()) / max(len(words_of), 1)
        weights = {
            word: rarity(sum(word in words for words in words_of.values()), len(words_of))
            for word in wanted
        }
        hits = []
        for note in self.clips(within):
            words = words_of[note.clip_id]
            score = sum(
                weights[word] * saturated(words[word], words.total() / mean_length)
                for word in wanted
                if words[word]
            )
            if score > 0:
                hits.append(Hit(note.clip_id, note.span, score))
        return best_first(hits)[:limit]

    def vectors(self, *, after_revision: int = 0) -> Iterator[ClipVectors]:
        with self._lock:
            clips = sorted(self._clips.values(), key=lambda clip: clip.revision)
        for clip in clips:
            if clip.revision > after_revision:
                yield _vectors(clip)

    def vectors_of(self, clip_id: str) -> ClipVectors | None:
        with self._lock:
            held = self._clips.get(clip_id)
            return _vectors(held) if held else None

    def clip_ids(self, within: Within = None) -> set[str]:
        return {note.clip_id for note in self.clips(within)}

    def mark(self) -> Mark:
        with self._lock:
            return self._mark

    def put_segment(self, segment: SegmentReady) -> None:
        with self._lock:
            self._refuse_forgotten(segment.span)
            self._segments[_place(segment)] = segment

    def segments(self, within: Within = None) -> list[SegmentReady]:
        with self._lock:
            segments = list(self._segments.values())
        return _select(segments, within)

    def put_gap(self, gap: StreamGap) -> None:
        with self._lock:
            self.stream(gap.span.stream_id)
            for span in outside(gap.span, self._forgotten):
                kept = gap.model_copy(update={"span": span})
                self._gaps[_place(kept)] = kept

    def gaps(self, within: Within = None) -> list[StreamGap]:
        with self._lock:
            gaps = list(self._gaps.values())
        return _select(gaps, within)

    def put_ended(self, ended: StreamEnded) -> None:
        with self._lock:
            self.stream(ended.stream_id)
            self._ended[ended.stream_id] = ended.end_ns

    def ended_ns(self, stream_id: str) -> int | None:
        with self._lock:
            return self._ended.get(stream_id)

    def begin_forgetting(self, span: Span) -> None:
        with self._lock:
            if span.stream_id not in self._streams:
                return
            known = [*self.clips([span]), *self.segments([span]), *self.gaps([span])]
            end_ns = min(span.end_ns, max((one.span.end_ns for one in known), default=0))
            if end_ns > span.start_ns:
                self._forgotten[span.model_copy(update={"end_ns": end_ns})] = False

    def unfinished_forgetting(self) -> list[Span]:
        with self._lock:
            spans = [span for span, done in self._forgotten.items() if not done]
        return sorted(spans, key=lambda span: (span.stream_id, span.start_ns, span.end_ns))

    def delete_span(self, span: Span) -> Deleted:
        with self._lock:
            deleted = self._delete(span)
            for mark in self._forgotten:
                if not outside(mark, [span]):
                    self._forgotten[mark] = True
            return deleted

    def counts(self, stream_id: str | None = None) -> Counts:
        within = None if stream_id is None else [whole_stream(stream_id)]
        notes = self.clips(within)
        return Counts(
            clips=len(notes),
            events=sum(len(note.events) for note in notes),
            gaps=len(self.gaps(within)),
            segments=len(self.segments(within)),
        )

    def cursor(self, name: str) -> int | None:
        with self._lock:
            return self._cursors.get(name)

    def cursors(self, names: Collection[str]) -> dict[str, int]:
        with self._lock:
            return {name: self._cursors[name] for name in names if name in self._cursors}

    def set_cursor(self, name: str, value: int) -> None:
        with self._lock:
            self._cursors[name] = value

    def check(self) -> None:
        """Nothing to read back: it cannot be damaged."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _refuse_forgotten(self, span: Span) -> None:
        self.stream(span.stream_id)
        if overlaps_any(span, list(self._forgotten)):
            raise SpanForgotten(span.stream_id, start_ns=span.start_ns, end_ns=span.end_ns)

    def _delete(self, span: Span) -> Deleted:
        clips = [self._clips.pop(note.clip_id) for note in self.clips([span])]
        segments = [self._segments.pop(_place(segment)) for segment in self.segments([span])]
        gaps = [self._gaps.pop(_place(gap)) for gap in self.gaps([span])]
        for gap in gaps:
            for rest in outside(gap.span, [span]):
                kept = gap.model_copy(update={"span": rest})
                self._gaps[_place(kept)] = kept
        if clips:
            revision = self._mark.revision + 1
            self._mark = self._mark._replace(revision=revision, last_deletion=revision)
        return Deleted(
            clip_ids=tuple(clip.note.clip_id for clip in clips),
            events=sum(len(clip.note.events) for clip in clips),
            gaps=len(gaps),
            segments=len(segments),
            size_bytes=sum(_size_bytes(clip) for clip in clips),
        )


def _select(items: list[Spanned], within: Within) -> list[Spanned]:
    return sorted((i for i in items if overlaps_any(i.span, within)), key=_order)


def _order(item: ClipNote | SegmentReady | StreamGap) -> tuple[str, int, str]:
    clip_id = item.clip_id if isinstance(item, ClipNote) else ""
    return (*_place(item), clip_id)


def _place(item: ClipNote | SegmentReady | StreamGap) -> tuple[str, int]:
    return (item.span.stream_id, item.span.start_ns)


def _size_bytes(clip: _Clip) -> int:
    text_bytes = len(clip.note.model_dump_json().encode())
    return text_bytes + clip.text_vector.nbytes + clip.visual_vector.nbytes


def _vectors(clip: _Clip) -> ClipVectors:
    return ClipVectors(
        clip.note.clip_id,
        clip.note.span,
        clip.note.model_id,
        clip.text_vector,
        clip.visual_vector,
        clip.revision,
    )


def _words(note: ClipNote) -> Counter[str]:
    return Counter(searchable_words([note.text, *(event.text for event in note.events)]))
