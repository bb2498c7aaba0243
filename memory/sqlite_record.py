"""The record in one SQLite file: the engine that needs nothing installed.

A clip is one transaction: its note, events, words (FTS5) and both vectors appear together or
not at all, and replace what was stored under the same id. Several processes may share the
file; one writes at a time. `DictRecord` says what is right.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from memory.bodies import Body, note_of, parsed
from memory.errors import (
    DamagedRecord,
    SpanForgotten,
    StoreUnavailable,
    StreamExists,
    UnknownStream,
)
from memory.index import best_first
from memory.record import Within
from memory.spans import END_OF_TIME_NS, outside, whole_stream
from memory.sqlite_documents import SqliteDocuments
from memory.sqlite_file import SqliteFile
from memory.sqlite_rows import (
    VECTOR_COLUMNS,
    batches,
    bounds,
    clip_event_of,
    clip_vectors_of,
    overlap_condition,
    select,
    span_of,
)
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
from streaming.messages import (
    ClipNote,
    SegmentReady,
    Span,
    StreamEnded,
    StreamGap,
)

_PAGE_ROWS = 512


class SqliteRecord:
    """A `Record` in a file, made where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = SqliteFile(path)
        self.documents = SqliteDocuments(self._file)

    def add_stream(self, spec: StreamSpec) -> None:
        with self._file.transaction():
            if self._spec(spec.stream_id) is not None:
                raise StreamExists(spec.stream_id)
            self._file.rows(
                "insert into streams (stream_id, spec) values (?, ?)",
                (spec.stream_id, spec.model_dump_json()),
            )

    def streams(self) -> list[StreamSpec]:
        rows = self._file.rows("select spec from streams order by stream_id")
        return [parsed(StreamSpec, spec) for (spec,) in rows]

    def stream(self, stream_id: str) -> StreamSpec:
        if (spec := self._spec(stream_id)) is None:
            raise UnknownStream(stream_id)
        return spec

    def set_epoch(self, stream_id: str, epoch_at: datetime) -> None:
        with self._file.transaction():
            spec = self.stream(stream_id).model_copy(update={"epoch_at": epoch_at})
            self._set_of_stream(stream_id, "spec", spec.model_dump_json())

    def remove_stream(self, stream_id: str) -> Deleted:
        with self._file.transaction():
            deleted = self._delete(whole_stream(stream_id))
            self._file.rows("delete from forgotten where stream_id = ?", (stream_id,))
            self._file.rows("delete from streams where stream_id = ?", (stream_id,))
        self._fold_log()
        return deleted

    def set_status(self, stream_id: str, status: StreamStatus) -> None:
        with self._file.transaction():
            self._set_of_stream(stream_id, "status", status.model_dump_json())

    def status(self, stream_id: str) -> StreamStatus | None:
        status = self._of_stream(stream_id, "status")
        return None if status is None else parsed(StreamStatus, status)

    def put_clip(self, note: ClipNote, *, text_vector: Vector, visual_vector: Vector) -> None:
        blobs = checked_vector(text_vector).tobytes(), checked_vector(visual_vector).tobytes()
        with self._file.transaction():
            self._refuse_forgotten(note.told)
            known = self._file.row("select number from clips where clip_id = ?", (note.clip_id,))
            stored = self._file.rows(
                "insert or replace into clips values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " returning number",
                (
                    known[0] if known else None,
                    note.clip_id,
                    *bounds(note.span),
                    self._next_revision(),
                    note.model_id,
                    note.epoch_at.isoformat(),
                    note.model_dump_json(),
                    *blobs,
                ),
            )
            self._put_events(stored[0][0], note)

    def clip(self, clip_id: str) -> ClipNote | None:
        row = self._file.row("select note from clips where clip_id = ?", (clip_id,))
        return None if row is None else note_of(clip_id, row[0])

    def clips(self, within: Within = None) -> list[ClipNote]:
        rows = select(self._file, "clip_id, note, stream_id, start_ns", "clips", within)
        rows.sort(key=lambda row: (row[2], row[3], row[0]))
        return [note_of(clip_id, note) for clip_id, note, *_ in rows]

    def last_clips(self, stream_id: str, *, before_ns: int, limit: int) -> list[ClipNote]:
        rows = self._file.rows(
            "select clip_id, note from clips where stream_id = ? and end_ns <= ?"
            " order by start_ns desc, clip_id desc limit ?",
            (stream_id, min(before_ns, END_OF_TIME_NS), limit),
        )
        return [note_of(clip_id, note) for clip_id, note in reversed(rows)]

    def events(self, within: Within = None) -> list[ClipEvent]:
        rows = select(
            self._file,
            "e.stream_id, e.start_ns, e.clip_id, e.position, e.end_ns, e.text,"
            " e.clip_start_ns, e.clip_end_ns, e.epoch_at",
            "(select events.*, clips.clip_id, clips.start_ns as clip_start_ns,"
            " clips.end_ns as clip_end_ns, clips.epoch_at"
            " from events join clips on clips.number = events.clip_number) as e",
            within,
        )
        return [clip_event_of(row) for row in sorted(rows)]

    def search_words(self, query: str, *, limit: int, within: Within = None) -> list[Hit]:
        wanted = " OR ".join(f'"{word}"' for word in searched_words(query))
        if not wanted:
            return []
        hits: dict[str, Hit] = {}
        for some in batches(within):
            condition, parameters = overlap_condition(some)
            rows = self._file.rows(
                "select clip_id, stream_id, start_ns, end_ns, -bm25(words) from words"
                " join clips on clips.number = words.rowid where words match ?"
                f" and {condition} order by round(bm25(words), 6), stream_id, start_ns, clip_id"
                " limit ?",
                (wanted, *parameters, limit),
            )
            for clip_id, stream_id, start_ns, end_ns, score in rows:
                hits[clip_id] = Hit(clip_id, span_of(stream_id, start_ns, end_ns), score)
        return best_first(hits.values())[:limit]

    def vectors(self, *, after_revision: int = 0) -> Iterator[ClipVectors]:
        while rows := self._file.rows(
            f"select {VECTOR_COLUMNS} from clips where revision > ? order by revision limit ?",
            (after_revision, _PAGE_ROWS),
        ):
            yield from map(clip_vectors_of, rows)
            after_revision = rows[-1][-1]

    def vectors_of(self, clip_id: str) -> ClipVectors | None:
        row = self._file.row(f"select {VECTOR_COLUMNS} from clips where clip_id = ?", (clip_id,))
        return None if row is None else clip_vectors_of(row)

    def clip_ids(self, within: Within = None) -> set[str]:
        return {clip_id for (clip_id,) in select(self._file, "clip_id", "clips", within)}

    def mark(self) -> Mark:
        row = self._file.row("select record_id, revision, last_deletion from meta")
        if row is None:
            raise DamagedRecord(str(self._path), detail="its first table is empty")
        return Mark(*row)

    def put_segment(self, segment: SegmentReady) -> None:
        with self._file.transaction():
            self._refuse_forgotten(segment.span)
            self._put_body("segments", segment.span, segment)

    def segments(self, within: Within = None) -> list[SegmentReady]:
        return self._bodies(SegmentReady, "segments", within)

    def put_gap(self, gap: StreamGap) -> None:
        with self._file.transaction():
            self._require(gap.span.stream_id)
            for span in outside(gap.span, self._forgotten(gap.span)):
                self._put_body("gaps", span, gap.model_copy(update={"span": span}))

    def gaps(self, within: Within = None) -> list[StreamGap]:
        return self._bodies(StreamGap, "gaps", within)

    def put_ended(self, ended: StreamEnded) -> None:
        with self._file.transaction():
            self._set_of_stream(ended.stream_id, "ended_ns", ended.end_ns)

    def ended_ns(self, stream_id: str) -> int | None:
        return self._of_stream(stream_id, "ended_ns")

    def begin_forgetting(self, span: Span) -> None:
        with self._file.transaction():
            if self._spec(span.stream_id) is None:
                return
            condition, parameters = overlap_condition([span])
            known = " union all ".join(
                f"select end_ns from {table} where {condition}"
                for table in ("clips", "segments", "gaps")
            )
            ((known_ns,),) = self._file.rows(f"select max(end_ns) from ({known})", parameters * 3)
            end_ns = min(span.end_ns, known_ns or 0)
            if end_ns > span.start_ns:
                self._file.rows(
                    "insert or replace into forgotten values (?, ?, ?, 0)",
                    (span.stream_id, span.start_ns, end_ns),
                )

    def unfinished_forgetting(self) -> list[Span]:
        rows = self._file.rows(
            "select stream_id, start_ns, end_ns from forgotten where not finished"
            " order by stream_id, start_ns, end_ns"
        )
        return [span_of(*row) for row in rows]

    def delete_span(self, span: Span) -> Deleted:
        with self._file.transaction():
            deleted = self._delete(span)
            self._file.rows(
                "update forgotten set finished = 1"
                " where stream_id = ? and start_ns >= ? and end_ns <= ?",
                bounds(span),
            )
        self._fold_log()
        return deleted

    def counts(self, stream_id: str | None = None) -> Counts:
        condition, parameters = overlap_condition(
            None if stream_id is None else [whole_stream(stream_id)]
        )
        (row,) = self._file.rows(
            "select "
            + ", ".join(
                f"(select count(*) from {table} where {condition})"
                for table in ("clips", "events", "gaps", "segments")
            ),
            parameters * 4,
        )
        return Counts(*row)

    def cursor(self, name: str) -> int | None:
        row = self._file.row("select value from cursors where name = ?", (name,))
        return None if row is None else row[0]

    def cursors(self, names: Collection[str]) -> dict[str, int]:
        named = "select name, value from cursors where name in (select value from json_each(?))"
        return dict(self._file.rows(named, (json.dumps(list(names)),)))

    def set_cursor(self, name: str, value: int) -> None:
        with self._file.transaction():
            self._file.rows("insert or replace into cursors values (?, ?)", (name, value))

    def check(self) -> None:
        self._file.check()

    def close(self) -> None:
        self._file.close()

    def _put_events(self, number: int, note: ClipNote) -> None:
        self._file.rows("delete from events where clip_number = ?", (number,))
        self._file.write_many(
            "insert into events values (?, ?, ?, ?, ?, ?)",
            [
                (number, position, *bounds(event.span), event.text)
                for position, event in enumerate(note.events)
            ],
        )
        stems = searchable_words([note.text, *(event.text for event in note.events)])
        self._file.rows(
            "insert or replace into words (rowid, stems) values (?, ?)", (number, " ".join(stems))
        )

    def _delete(self, span: Span) -> Deleted:
        condition, parameters = overlap_condition([span])
        clips = self._file.rows(
            "select clip_id, number, length(cast(note as blob)) + length(text_vector)"
            f" + length(visual_vector) from clips where {condition}"
            " order by start_ns, clip_id",
            parameters,
        )
        events = 0
        for _, number, _ in clips:
            events += len(
                self._file.rows(
                    "delete from events where clip_number = ? returning position", (number,)
                )
            )
            self._file.rows("delete from words where rowid = ?", (number,))
            self._file.rows("delete from clips where number = ?", (number,))
        if clips:
            self._file.rows("insert into words (words) values ('optimize')")
            revision = self._next_revision()
            self._file.rows("update meta set last_deletion = ?", (revision,))
        gaps = self.gaps([span])
        deleted_gaps = self._file.rows(
            f"delete from gaps where {condition} returning start_ns", parameters
        )
        for gap in gaps:
            for rest in outside(gap.span, [span]):
                self._put_body("gaps", rest, gap.model_copy(update={"span": rest}))
        segments = self._file.rows(
            f"delete from segments where {condition} returning start_ns", parameters
        )
        return Deleted(
            clip_ids=tuple(clip_id for clip_id, _, _ in clips),
            events=events,
            gaps=len(deleted_gaps),
            segments=len(segments),
            size_bytes=sum(size_bytes for _, _, size_bytes in clips),
        )

    def _refuse_forgotten(self, span: Span) -> None:
        self._require(span.stream_id)
        if self._forgotten(span):
            raise SpanForgotten(span.stream_id, start_ns=span.start_ns, end_ns=span.end_ns)

    def _require(self, stream_id: str) -> None:
        if self._of_stream(stream_id, "1") is None:
            raise UnknownStream(stream_id)

    def _forgotten(self, span: Span) -> list[Span]:
        rows = select(self._file, "stream_id, start_ns, end_ns", "forgotten", [span])
        return [span_of(*row) for row in rows]

    def _next_revision(self) -> int:
        (row,) = self._file.rows("update meta set revision = revision + 1 returning revision")
        return row[0]

    def _spec(self, stream_id: str) -> StreamSpec | None:
        spec = self._of_stream(stream_id, "spec")
        return None if spec is None else parsed(StreamSpec, spec)

    def _of_stream(self, stream_id: str, column: str) -> Any:  # noqa: ANN401 - any column
        row = self._file.row(f"select {column} from streams where stream_id = ?", (stream_id,))
        return None if row is None else row[0]

    def _set_of_stream(self, stream_id: str, column: str, value: str | int) -> None:
        changed = self._file.rows(
            f"update streams set {column} = ? where stream_id = ? returning 1", (value, stream_id)
        )
        if not changed:
            raise UnknownStream(stream_id)

    def _put_body(self, table: str, span: Span, body: BaseModel) -> None:
        self._file.rows(
            f"insert or replace into {table} values (?, ?, ?, ?)",
            (*bounds(span), body.model_dump_json()),
        )

    def _bodies(self, kind: type[Body], table: str, within: Within) -> list[Body]:
        rows = select(self._file, "stream_id, start_ns, body", table, within)
        return [parsed(kind, body) for _, _, body in sorted(rows)]

    def _fold_log(self) -> None:
        """Deleted text is overwritten in the file; until the log is folded it is in there too."""
        with suppress(StoreUnavailable):  # someone is reading: the next folding takes it along
            self._file.fold_log()
