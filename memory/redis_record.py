"""The record in a Redis server: the engine for more than one machine.

A clip is one script: its note, events, words and both vectors appear together or not at all, and
replace what was stored under the same id. Needs no module, and any Redis from 6.2 on. A long
deletion is many short ones, each whole, so that nobody else waits for it; `begin_forgetting` says
beforehand what a crash in between leaves to be done. Keys: memory/redis_scripts.py. `DictRecord`
says what is right.
"""

from collections.abc import Collection, Iterator
from datetime import datetime

from memory.bodies import Body, note_of, parsed
from memory.errors import (
    CorruptNote,
    DamagedRecord,
    SpanForgotten,
    StreamExists,
    UnknownStream,
)
from memory.record import Within
from memory.redis_client import RedisClient
from memory.redis_documents import RedisDocuments
from memory.redis_reading import Member, last_clip_ids, members, notes
from memory.redis_rows import (
    at_start,
    digits,
    event_member,
    forgotten_of,
    place_in_clip,
    place_of,
    revision_of,
    span_of_forgotten,
    vectors_bytes,
    vectors_of,
)
from memory.redis_scripts import (
    BEGIN_FORGETTING,
    CUT,
    DELETE_CLIPS,
    PUT_CLIP,
    PUT_GAPS,
    PUT_SEGMENT,
    REMOVE_STREAM,
    SET_OF_STREAM,
    SWAP_SPEC,
)
from memory.redis_words import search, words_of
from memory.spans import outside, whole_stream
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
from streaming.messages import ClipNote, SegmentReady, Span, StreamEnded, StreamGap

_CHANGED = b"changed"  # what a script says when its arguments are out of date
_PAGE_ROWS = 512
_DELETED_AT_ONCE = 128  # clips: some milliseconds, in which nobody else is served


class RedisRecord:
    """A `Record` in the Redis server of a URL, made where there is none."""

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        self._redis = RedisClient(url, patience_s=patience_s)
        self.documents = RedisDocuments(self._redis)

    def add_stream(self, spec: StreamSpec) -> None:
        key = self._redis.key("streams")
        if not self._redis.ask_once("HSETNX", key, spec.stream_id, spec.model_dump_json()):
            raise StreamExists(spec.stream_id)

    def streams(self) -> list[StreamSpec]:
        specs = self._redis.ask("HGETALL", self._redis.key("streams"))
        return [parsed(StreamSpec, spec) for _, spec in sorted(specs.items())]

    def stream(self, stream_id: str) -> StreamSpec:
        return parsed(StreamSpec, self._spec(stream_id))

    def set_epoch(self, stream_id: str, epoch_at: datetime) -> None:
        while True:
            stored = self._spec(stream_id)
            spec = parsed(StreamSpec, stored).model_copy(update={"epoch_at": epoch_at})
            changed = spec.model_dump_json()
            if self._redis.run(SWAP_SPEC, stream_id, stored, changed) is None:
                return
            if self._spec(stream_id) == changed.encode():  # done before an answer was lost
                return

    def remove_stream(self, stream_id: str) -> Deleted:
        while True:
            deleted = self._delete_clips(whole_stream(stream_id))
            counts = self._redis.run_once(REMOVE_STREAM, stream_id)
            if counts != _CHANGED:
                gaps, segments = counts
                return deleted._replace(gaps=gaps, segments=segments)

    def set_status(self, stream_id: str, status: StreamStatus) -> None:
        self._set_of_stream("statuses", stream_id, status.model_dump_json())

    def status(self, stream_id: str) -> StreamStatus | None:
        status = self._redis.ask("HGET", self._redis.key("statuses"), stream_id)
        return None if status is None else parsed(StreamStatus, status)

    def put_clip(self, note: ClipNote, *, text_vector: Vector, visual_vector: Vector) -> None:
        text, visual = checked_vector(text_vector), checked_vector(visual_vector)
        body, words, span = note.model_dump_json().encode(), words_of(note), note.span
        events: list[bytes | str] = []
        for position, event in enumerate(note.events):
            events += (
                event_member(event.span, position, note.clip_id),
                digits(_length_ns(event.span)),
            )
        refusal = self._redis.run(
            PUT_CLIP,
            *(digits(note.told.start_ns), digits(note.told.end_ns)),
            *(span.stream_id, note.clip_id, place_of(span), digits(_length_ns(span))),
            *(body, vectors_bytes(note, text, visual)),
            *(words.total, len(body) + text.nbytes + visual.nbytes, len(note.events)),
            *events,
            *(part for stem, tail in words.tails.items() for part in (stem, tail)),
        )
        _raise_refusal(refusal, span)

    def clip(self, clip_id: str) -> ClipNote | None:
        note = self._redis.ask("HGET", self._redis.key("notes"), clip_id)
        return None if note is None else note_of(clip_id, note)

    def clips(self, within: Within = None) -> list[ClipNote]:
        placed = members(self._redis, "clips", within)
        placed.sort(key=lambda clip: (clip.stream_id, clip.start_ns, clip.rest))
        return list(notes(self._redis, (clip.rest.decode() for clip in placed)))

    def last_clips(self, stream_id: str, *, before_ns: int, limit: int) -> list[ClipNote]:
        ids = last_clip_ids(self._redis, stream_id, before_ns=before_ns, limit=limit)
        return list(notes(self._redis, ids))

    def events(self, within: Within = None) -> list[ClipEvent]:
        placed = [
            (event.stream_id, event.start_ns, *place_in_clip(event.rest))
            for event in members(self._redis, "events", within)
        ]
        ids = dict.fromkeys(clip_id for _, _, clip_id, _ in placed)
        held = {note.clip_id: note for note in notes(self._redis, ids)}
        return [
            ClipEvent(event, clip_id, note.span, note.epoch_at)
            for _, start_ns, clip_id, position in sorted(placed)
            if (note := held.get(clip_id))
            for event in note.events[position : position + 1]
            if event.span.start_ns == start_ns  # else it was replaced meanwhile
        ]

    def search_words(self, query: str, *, limit: int, within: Within = None) -> list[Hit]:
        return search(self._redis, query, limit=limit, within=within)

    def vectors(self, *, after_revision: int = 0) -> Iterator[ClipVectors]:
        while page := self._redis.ask(
            *("ZRANGE", self._redis.key("revisions"), f"({after_revision}", "+inf"),
            *("BYSCORE", "LIMIT", 0, _PAGE_ROWS, "WITHSCORES"),
        ):
            ids, revisions = page[::2], [int(score) for score in page[1::2]]
            stored = self._redis.ask("HMGET", self._redis.key("vectors"), *ids)
            for clip_id, revision, vectors in zip(ids, revisions, stored, strict=True):
                # One that was replaced meanwhile comes again, with its new revision.
                if vectors is not None and revision_of(vectors) == revision:
                    yield vectors_of(clip_id.decode(), vectors)
            after_revision = revisions[-1]

    def vectors_of(self, clip_id: str) -> ClipVectors | None:
        stored = self._redis.ask("HGET", self._redis.key("vectors"), clip_id)
        return None if stored is None else vectors_of(clip_id, stored)

    def clip_ids(self, within: Within = None) -> set[str]:
        return {clip.rest.decode() for clip in members(self._redis, "clips", within)}

    def mark(self) -> Mark:
        names = ("record_id", "revision", "last_deletion")
        found = self._redis.ask("HMGET", self._redis.key("meta"), *names)
        if None in found:
            raise DamagedRecord(self._redis.where, detail="its key meta is not whole")
        record_id, revision, last_deletion = found
        return Mark(record_id.decode(), int(revision), int(last_deletion))

    def put_segment(self, segment: SegmentReady) -> None:
        span = segment.span
        bounds = digits(span.start_ns), digits(span.end_ns)
        refusal = self._redis.run(PUT_SEGMENT, *bounds, span.stream_id, *_placed(segment))
        _raise_refusal(refusal, span)

    def segments(self, within: Within = None) -> list[SegmentReady]:
        return self._bodies(SegmentReady, "segments", within)

    def put_gap(self, gap: StreamGap) -> None:
        stream_id = gap.span.stream_id
        refusal: bytes | None = _CHANGED
        while refusal == _CHANGED:
            forgotten = self._forgotten(stream_id)
            pieces = [
                gap.model_copy(update={"span": span}) for span in outside(gap.span, forgotten)
            ]
            placed = (part for piece in pieces for part in _placed(piece))
            refusal = self._redis.run(PUT_GAPS, stream_id, len(forgotten), *placed)
        _raise_refusal(refusal, gap.span)

    def gaps(self, within: Within = None) -> list[StreamGap]:
        return self._bodies(StreamGap, "gaps", within)

    def put_ended(self, ended: StreamEnded) -> None:
        self._set_of_stream("ended", ended.stream_id, ended.end_ns)

    def ended_ns(self, stream_id: str) -> int | None:
        ended_ns = self._redis.ask("HGET", self._redis.key("ended"), stream_id)
        return None if ended_ns is None else int(ended_ns)

    def begin_forgetting(self, span: Span) -> None:
        known = [one for name in ("clips", "segments", "gaps") for one in self._members(name, span)]
        end_ns = min(span.end_ns, max((one.end_ns for one in known), default=0))
        if end_ns > span.start_ns:
            forgotten = forgotten_of(span.model_copy(update={"end_ns": end_ns}))
            self._redis.run(BEGIN_FORGETTING, span.stream_id, forgotten)

    def unfinished_forgetting(self) -> list[Span]:
        spans = [
            span
            for spec in self.streams()
            for span, is_finished in self._forgotten(spec.stream_id).items()
            if not is_finished
        ]
        return sorted(spans, key=lambda span: (span.stream_id, span.start_ns, span.end_ns))

    def delete_span(self, span: Span) -> Deleted:
        deleted = self._delete_clips(span)
        while True:
            gaps, segments = self._members("gaps", span), self._members("segments", span)
            parts = [
                gap.model_copy(update={"span": rest})
                for gap in (parsed(StreamGap, one.rest) for one in gaps)
                for rest in outside(gap.span, [span])
            ]
            finished = [
                forgotten_of(one)
                for one in self._forgotten(span.stream_id)
                if not outside(one, [span])
            ]
            lists = (
                [one.member for one in gaps],
                [_member(part) for part in parts],
                [one.member for one in segments],
                finished,
            )
            counted = (part for one in lists for part in (len(one), *one))
            if self._redis.run_once(CUT, span.stream_id, *counted) != _CHANGED:
                return deleted._replace(gaps=len(gaps), segments=len(segments))

    def counts(self, stream_id: str | None = None) -> Counts:
        streams = [spec.stream_id for spec in self.streams()] if stream_id is None else [stream_id]
        names = ("clips", "events", "gaps", "segments")
        sizes = self._redis.ask_all(
            [("ZCARD", self._redis.key(name, one)) for one in streams for name in names]
        )
        return Counts(*(sum(sizes[at :: len(names)]) for at in range(len(names))))

    def cursor(self, name: str) -> int | None:
        value = self._redis.ask("HGET", self._redis.key("cursors"), name)
        return None if value is None else int(value)

    def cursors(self, names: Collection[str]) -> dict[str, int]:
        if not names:
            return {}
        values = self._redis.ask("HMGET", self._redis.key("cursors"), *names)
        found = zip(names, values, strict=True)
        return {name: int(value) for name, value in found if value is not None}

    def set_cursor(self, name: str, value: int) -> None:
        self._redis.ask("HSET", self._redis.key("cursors"), name, value)

    def check(self) -> None:
        """Read everything back, and compare the counts of what belongs together."""
        try:
            num_notes = len(self.clips())
        except CorruptNote as error:
            raise DamagedRecord(self._redis.where, detail=str(error)) from error
        num_vectors = sum(1 for _ in self.vectors())
        for read in (self.events, self.segments, self.gaps):
            read()
        names = ("notes", "vectors", "trails")
        sizes = self._redis.ask_all([("HLEN", self._redis.key(name)) for name in names])
        if len({num_notes, num_vectors, *sizes}) > 1:
            told = f"{num_notes} places, {num_vectors} revisions, {sizes} {names}"
            raise DamagedRecord(self._redis.where, detail=f"parts of clips are missing: {told}")

    def close(self) -> None:
        self._redis.close()

    def _spec(self, stream_id: str) -> bytes:
        spec = self._redis.ask("HGET", self._redis.key("streams"), stream_id)
        if spec is None:
            raise UnknownStream(stream_id)
        return spec

    def _set_of_stream(self, table: str, stream_id: str, value: str | int) -> None:
        if self._redis.run(SET_OF_STREAM, table, stream_id, value) is not None:
            raise UnknownStream(stream_id)

    def _members(self, name: str, span: Span) -> list[Member]:
        return members(self._redis, name, [span])

    def _bodies(self, kind: type[Body], name: str, within: Within) -> list[Body]:
        return [parsed(kind, one.rest) for one in members(self._redis, name, within)]

    def _forgotten(self, stream_id: str) -> dict[Span, bool]:
        """The spans that are refused, and whether their forgetting is finished."""
        spans = self._redis.ask("HGETALL", self._redis.key("forgotten", stream_id))
        return {
            span_of_forgotten(stream_id, field): is_finished == b"1"
            for field, is_finished in spans.items()
        }

    def _delete_clips(self, span: Span) -> Deleted:
        clips = self._members("clips", span)
        clips.sort(key=lambda clip: (clip.start_ns, clip.rest))
        deleted: list[tuple[bytes, int, int]] = []
        for at in range(0, len(clips), _DELETED_AT_ONCE):
            ids = [clip.rest for clip in clips[at : at + _DELETED_AT_ONCE]]
            deleted += self._redis.run_once(DELETE_CLIPS, *ids)
        return Deleted(
            clip_ids=tuple(clip_id.decode() for clip_id, _, _ in deleted),
            events=sum(events for _, events, _ in deleted),
            size_bytes=sum(size_bytes for _, _, size_bytes in deleted),
        )


def _placed(body: SegmentReady | StreamGap) -> tuple[bytes | str, ...]:
    """What a script needs to put a body in place of the one with the same start."""
    return (*at_start(body.span.start_ns), _member(body), digits(_length_ns(body.span)))


def _member(body: SegmentReady | StreamGap) -> bytes:
    return place_of(body.span) + body.model_dump_json().encode()


def _length_ns(span: Span) -> int:
    return span.end_ns - span.start_ns


def _raise_refusal(refusal: bytes | None, span: Span) -> None:
    if refusal == b"unknown":
        raise UnknownStream(span.stream_id)
    if refusal == b"forgotten":
        raise SpanForgotten(span.stream_id, start_ns=span.start_ns, end_ns=span.end_ns)
