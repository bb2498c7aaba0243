"""What only a record in a file can suffer: other processes, kills, damage, full disks."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from memory.dict_record import DictRecord
from memory.dump import dump
from memory.errors import (
    CorruptNote,
    DamagedRecord,
    DiskFull,
    StoreReadOnly,
    StoreUnavailable,
    WrongSchema,
)
from memory.sqlite_record import SqliteRecord
from memory.values import StreamStatus
from tests.memory.notes import EPOCH_AT, note, put, segment, span, spec

WRITER = """
import sys
from pathlib import Path
from memory.sqlite_record import SqliteRecord
from tests.memory.notes import note, put

record = SqliteRecord(Path(sys.argv[1]))
first, last, stream = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
for number in range(first, last):
    events = tuple((second, second + 0.5, f"heron {second} lands") for second in range(9))
    put(record, note(number, f"clip {number} shows herons", events, stream=stream))
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "record.sqlite"


@pytest.fixture
def record(path: Path) -> Iterator[SqliteRecord]:
    made = SqliteRecord(path)
    made.add_stream(spec())
    yield made
    made.close()


def writer(path: Path, first: int, last: int, stream: str = "pond") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(last), stream],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def told(process: subprocess.Popen[str], lines: int) -> int:
    """Wait for so many lines of a writer and return the last number that it stored."""
    assert process.stdout is not None
    return int([process.stdout.readline() for _ in range(lines)][-1])


def test_what_was_stored_is_there_after_opening_again(path: Path) -> None:
    first = SqliteRecord(path)
    first.add_stream(spec())
    put(first, note(0, "a heron lands"))
    before = first.mark()
    first.close()
    again = SqliteRecord(path)

    assert again.clips() == [note(0, "a heron lands")]
    assert again.mark() == before
    again.close()


def test_two_records_are_told_apart(tmp_path: Path) -> None:
    records = [SqliteRecord(tmp_path / name) for name in ("one", "other")]

    assert records[0].mark() != records[1].mark()
    for made in records:
        made.close()


def test_a_reader_sees_whole_clips_while_another_process_writes(
    record: SqliteRecord, path: Path
) -> None:
    process = writer(path, 0, 400)
    seen = 0
    while process.poll() is None:
        clips, events = record.counts("pond")[:2]
        assert events == 9 * clips
        assert clips >= seen
        seen = clips
        assert len(record.search_words("heron", limit=500)) >= seen
    process.communicate()
    assert process.returncode == 0
    assert record.counts("pond").clips == 400


def test_several_processes_may_write_at_once(record: SqliteRecord, path: Path) -> None:
    record.add_stream(spec("hill"))
    processes = [writer(path, 0, 60), writer(path, 40, 100), writer(path, 0, 60, "hill")]
    for number in range(200, 260):
        put(record, note(number))

    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert record.counts("pond").clips == 160
    assert record.counts("hill").clips == 60
    assert record.mark().revision == 60 + 60 + 60 + 60


def test_several_processes_may_create_the_record_at_once(path: Path) -> None:
    command = (
        "import sys; from pathlib import Path; from memory.sqlite_record import SqliteRecord;"
        "print(SqliteRecord(Path(sys.argv[1])).mark().record_id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", command, str(path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    ids = {process.communicate()[0] for process in processes}

    assert [process.returncode for process in processes] == [0] * 4
    assert len(ids) == 1


def test_many_may_begin_to_write_ahead_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def open_anew(path: Path) -> None:
        together.wait()
        SqliteRecord(path).close()

    for number in range(20):
        path = tmp_path / f"{number}.sqlite"
        SqliteRecord(path).close()
        with closing(sqlite3.connect(path)) as file:
            file.execute("pragma journal_mode = delete").fetchall()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(open_anew, [path] * 6))


@pytest.mark.parametrize("lines", [1, 7, 40])
def test_a_killed_writer_loses_nothing_that_it_had_stored(
    record: SqliteRecord, path: Path, lines: int
) -> None:
    record.close()
    process = writer(path, 0, 100_000)
    stored = told(process, lines)
    stop(process)

    again = SqliteRecord(path)
    again.check()
    clips, events = again.counts("pond")[:2]
    assert clips > stored
    assert events == 9 * clips
    assert len(again.search_words("heron", limit=clips + 1)) == clips
    assert again.mark().revision == clips
    again.close()


def test_work_done_again_after_a_kill_gives_the_same_memory(path: Path) -> None:
    record = SqliteRecord(path)
    record.add_stream(spec())
    for _ in range(3):
        process = writer(path, 0, 40)
        told(process, 12)
        stop(process)
    writer(path, 0, 40).communicate()
    undisturbed = SqliteRecord(path.with_name("undisturbed"))
    undisturbed.add_stream(spec())
    writer(path.with_name("undisturbed"), 0, 40).communicate()

    assert dump(record) == dump(undisturbed)
    for made in (record, undisturbed):
        made.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to be read" * 99, b"short"])
def test_a_file_that_is_no_record_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(DamagedRecord, match="not a database"):
        SqliteRecord(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("create table theirs (x)")
    other.close()
    content = path.read_bytes()

    with pytest.raises(DamagedRecord, match="another program"):
        SqliteRecord(path)
    assert path.read_bytes() == content


def test_the_record_of_another_version_is_refused(record: SqliteRecord, path: Path) -> None:
    record.close()
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()

    with pytest.raises(WrongSchema, match="has schema 99, this version reads 1"):
        SqliteRecord(path)


def test_damaged_pages_are_found(record: SqliteRecord, path: Path) -> None:
    put(record, *(note(number, "a heron lands " * 20) for number in range(200)))
    record.close()
    data = bytearray(path.read_bytes())
    data[8192 : len(data) - 4096] = b"\x5a" * (len(data) - 4096 - 8192)
    path.write_bytes(data)

    with pytest.raises(DamagedRecord, match="is damaged"):
        SqliteRecord(path).check()


def test_a_note_that_no_longer_parses_is_named(record: SqliteRecord, path: Path) -> None:
    put(record, note(0), note(1))
    with sqlite3.connect(path) as connection:
        connection.execute("update clips set note = '{}' where start_ns = 0")
    connection.close()

    with pytest.raises(CorruptNote, match="pond:0-"):
        record.clip(note(0).clip_id)
    assert record.clip(note(1).clip_id) == note(1)
    assert record.delete_span(span(0, 10)).clip_ids == (note(0).clip_id,)


def test_a_full_disk_is_named_and_nothing_is_stored_by_half(
    record: SqliteRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = record._file  # pyright: ignore[reportPrivateUsage]
    (pages,) = file.rows("pragma page_count")[0]
    file.rows(f"pragma max_page_count = {pages + 8}")
    stored = 0
    with pytest.raises(DiskFull, match="free some disk space"):
        for number in range(1000):
            put(record, note(number, "words " * 300, ((1, 2, "a heron lands"),)))
            stored += 1

    counts = record.counts()
    assert (counts.clips, counts.events) == (stored, stored)
    file.rows("pragma max_page_count = 100000")
    put(record, note(2000))
    record.check()


def test_a_record_that_may_not_be_written_is_named(record: SqliteRecord) -> None:
    record._file.rows("pragma query_only = 1")  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(StoreReadOnly, match="write access"):
        put(record, note(0))
    assert record.clips() == []


def test_a_place_where_no_record_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreReadOnly):
        SqliteRecord(tmp_path / "directory")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        SqliteRecord(tmp_path / "file" / "record.sqlite")


def test_a_lock_that_is_held_too_long_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    record = SqliteRecord(path)
    record.add_stream(spec())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")

    with pytest.raises(StoreUnavailable, match="is busy"):
        put(record, note(0))
    assert record.clips() == []
    holder.execute("rollback")
    put(record, note(0))
    holder.close()
    record.close()


def test_deleted_words_are_nowhere_in_the_files(record: SqliteRecord, path: Path) -> None:
    secret = "zanzibarian"
    put(record, *(note(n, f"{secret} {n}", ((1, 2, f"{secret} lands"),)) for n in range(30)))
    put(record, note(50, "a heron lands"))
    assert any(secret.encode() in file.read_bytes() for file in path.parent.iterdir())

    record.delete_span(span(0, 300))

    assert not any(secret.encode() in file.read_bytes() for file in path.parent.iterdir())
    assert [hit.clip_id for hit in record.search_words("heron", limit=5)] == [note(50).clip_id]


def test_a_dump_does_not_depend_on_engine_order_place_or_wall_time(tmp_path: Path) -> None:
    notes = [note(n, f"clip {n}", ((1, 2, "a heron lands"),)) for n in range(4)]
    one, other = DictRecord(), SqliteRecord(tmp_path / "record")
    later_at = EPOCH_AT.replace(year=2031)
    one.add_stream(spec())
    other.add_stream(spec().model_copy(update={"added_at": later_at, "url": "elsewhere"}))
    put(one, *notes)
    put(other, *(n.model_copy(update={"epoch_at": later_at}) for n in reversed(notes)))
    put(other, notes[2].model_copy(update={"epoch_at": later_at}))
    one.put_segment(segment(0, 4))
    other.put_segment(
        segment(0, 4).model_copy(update={"uri": "s3://elsewhere", "epoch_at": later_at})
    )
    other.set_status("pond", StreamStatus(state="ended", updated_at=later_at))
    other.set_cursor("index", 9)

    assert dump(one) == dump(other)
    put(other, note(1, "clip 1", ((1, 2, "a heron calls"),), epoch_at=later_at))
    assert dump(one) != dump(other)
    other.close()


def test_an_epoch_that_drifts_shows_in_the_dump() -> None:
    steady, drifted = DictRecord(), DictRecord()
    for made, epoch_at in ((steady, EPOCH_AT), (drifted, EPOCH_AT.replace(microsecond=1))):
        made.add_stream(spec())
        put(made, note(0), note(1, epoch_at=epoch_at))

    assert dump(steady) != dump(drifted)


def test_the_record_keeps_to_few_files(record: SqliteRecord, path: Path) -> None:
    put(record, note(0))
    assert {file.name for file in path.parent.iterdir()} <= {
        "record.sqlite",
        "record.sqlite-wal",
        "record.sqlite-shm",
    }
    assert os.access(path, os.R_OK)
