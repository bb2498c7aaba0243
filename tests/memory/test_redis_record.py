"""What a record in Redis owes beyond what every `Record` promises: other processes and programs."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from memory.dict_record import DictRecord
from memory.dump import dump
from memory.errors import CorruptNote, DamagedRecord, EvictingStore, WrongSchema
from memory.faiss_index import FaissIndex, open_index
from memory.follow import catch_up
from memory.index import VectorKind
from memory.record import Record
from memory.redis_client import address_of
from memory.redis_record import RedisRecord
from memory.redis_scripts import LEAP
from memory.sqlite_record import SqliteRecord
from streaming.messages import NS_PER_S, Span, StreamEnded
from tests.memory.notes import (
    EPOCH_AT,
    MODEL,
    WIDTH,
    gap,
    note,
    put,
    segment,
    span,
    spec,
    unit_vectors,
)
from tests.memory.redis_server import RedisServer
from tests.memory.redis_writer import outcome, writer

YEAR_NS = 365 * 86_400 * NS_PER_S


@pytest.fixture
def record(redis_url: str) -> Iterator[RedisRecord]:
    with closing(RedisRecord(redis_url)) as made:
        made.add_stream(spec())
        yield made


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """The client of another program."""
    with redis.Redis.from_url(address_of(redis_url).url) as client:
        yield client


def prefix_of(url: str) -> str:
    return address_of(url).prefix


def test_what_was_stored_is_there_after_opening_again(record: RedisRecord, redis_url: str) -> None:
    put(record, note(0, "a heron lands"))

    with closing(RedisRecord(redis_url)) as again:
        assert again.clips() == [note(0, "a heron lands")]
        assert again.mark() == record.mark()


def test_records_under_two_prefixes_do_not_meet(record: RedisRecord, redis_url: str) -> None:
    put(record, note(0))

    with closing(RedisRecord(f"{redis_url}other:")) as other:
        assert other.streams() == []
        assert other.mark().record_id != record.mark().record_id


def test_its_dump_equals_that_of_a_file_filled_alike(record: RedisRecord, tmp_path: Path) -> None:
    with closing(SqliteRecord(tmp_path / "record.sqlite")) as other:
        other.add_stream(spec())
        for made in (record, other):
            made.add_stream(spec("hill"))
            for stream in ("pond", "hill"):
                fill(made, stream)
            made.begin_forgetting(span(31, 52))
            made.delete_span(span(31, 52))
            made.put_gap(gap(30, 60))

        assert dump(record) == dump(other)
        assert record.counts() == other.counts()
        assert record.mark()[1:] == other.mark()[1:]


def fill(record: Record, stream: str) -> None:
    for number in (3, 1, 4, 1, 5, 9, 2, 6):
        events = ((-3, 2, "a heron calls"), (4, 5, f"event {number}"))
        put(record, note(number, f"clip {number}", events, stream=stream))
        record.put_segment(segment(number * 10, number * 10 + 10, stream=stream))
    record.put_gap(gap(70, 90, stream=stream))
    record.put_ended(StreamEnded(stream_id=stream, end_ns=100 * NS_PER_S))


def test_instants_are_exact_after_a_century(record: RedisRecord) -> None:
    first = Span(stream_id="pond", start_ns=99 * YEAR_NS, end_ns=99 * YEAR_NS + 3)
    second = first.model_copy(update={"start_ns": first.end_ns, "end_ns": first.end_ns + 2})
    for number, one in enumerate((first, second)):
        update = {"clip_id": f"clip {number}", "span": one}
        put(record, note(number, "a heron").model_copy(update=update))

    assert [clip.span for clip in record.clips([first])] == [first]
    assert [clip.span for clip in record.clips([second])] == [second]
    assert [hit.span for hit in record.search_words("heron", limit=9, within=[second])] == [second]
    last = record.last_clips("pond", before_ns=second.end_ns - 1, limit=9)
    assert [clip.span for clip in last] == [first]


def test_ties_are_ordered_by_stream_time_and_id(record: RedisRecord) -> None:
    exact = DictRecord()
    exact.add_stream(spec())
    for made in (record, exact):
        made.add_stream(spec("hill"))
        for number in (5, 2, 9, 4):
            for stream in ("pond", "hill"):
                put(made, note(number, "a heron", stream=stream))
        for name in ("zz", "aa", "mm"):
            put(made, note(2, "a heron").model_copy(update={"clip_id": name}))

    for limit in range(1, 13):
        expected = exact.search_words("heron", limit=limit)
        found = record.search_words("heron", limit=limit)
        assert [hit.clip_id for hit in found] == [hit.clip_id for hit in expected]
        assert record.last_clips("pond", before_ns=60 * NS_PER_S, limit=limit) == exact.last_clips(
            "pond", before_ns=60 * NS_PER_S, limit=limit
        )


def test_a_long_deletion_is_done_in_parts_and_wholly(
    record: RedisRecord, monkeypatch: pytest.MonkeyPatch, server: Any, redis_url: str
) -> None:
    monkeypatch.setattr("memory.redis_record._DELETED_AT_ONCE", 4)
    put(record, *(note(n, "a zanzibarian", ((1, 2, "it lands"),)) for n in range(30)))

    deleted = record.delete_span(span(0, 200))

    assert len(deleted.clip_ids) == deleted.events == 20
    assert record.mark().last_deletion == record.mark().revision == 30 + 5
    assert len(record.search_words("zanzibarian", limit=99)) == 10
    record.check()
    record.remove_stream("pond")
    names = {key.decode() for key in server.scan_iter(match=f"{prefix_of(redis_url)}*")}
    assert {name.removeprefix(prefix_of(redis_url)) for name in names} == {"meta"}


def test_processes_may_write_at_once_and_no_revision_repeats(
    record: RedisRecord, redis_url: str
) -> None:
    record.add_stream(spec("hill"))
    processes = [
        writer(redis_url, 0, 60),
        writer(redis_url, 40, 100),
        writer(redis_url, 0, 60, stream="hill"),
    ]
    for number in range(200, 260):
        put(record, note(number))

    assert [outcome(process) for process in processes] == [0, 0, 0]
    assert record.counts("pond").clips == 160
    assert record.counts("hill").clips == 60
    assert record.mark().revision == 60 + 60 + 60 + 60
    revisions = [held.revision for held in record.vectors()]
    assert len(set(revisions)) == len(revisions) == 220
    record.check()


def test_a_reader_sees_whole_clips_while_another_process_writes(
    record: RedisRecord, redis_url: str
) -> None:
    process = writer(redis_url, 0, 300)
    seen = 0
    while process.poll() is None:
        clips, events = record.counts("pond")[:2]
        assert seen <= clips
        assert 9 * seen <= events
        seen = clips
        assert all(len(clip.events) == 9 for clip in record.clips())
        assert len(record.search_words("heron", limit=500)) >= seen
    assert outcome(process) == 0
    assert record.counts("pond")[:2] == (300, 9 * 300)


def test_an_index_is_rebuilt_from_it(record: RedisRecord, tmp_path: Path) -> None:
    put(record, *(note(number) for number in range(40)))
    index = FaissIndex(width=WIDTH, embedder_id=MODEL)
    assert catch_up(index, record).put == 40
    record.delete_span(span(0, 50))
    put(record, note(50))
    assert catch_up(index, record)[:2] == (1, 5)

    opened = open_index(tmp_path / "index", record, width=WIDTH, embedder_id=MODEL).index

    (query,) = unit_vectors(1, seed=77)
    for kind in VectorKind:
        expected = index.search(query, kind=kind, limit=99)
        found = opened.search(query, kind=kind, limit=99)
        assert [hit.clip_id for hit in found] == [hit.clip_id for hit in expected]
    assert opened.clip_ids() == record.clip_ids()


def test_after_a_restart_of_the_server_an_index_drops_what_was_lost(
    own_redis: RedisServer,
) -> None:
    """As after a power cut: revisions that were lost are never given to other clips."""
    index = FaissIndex(width=WIDTH, embedder_id=MODEL)
    with closing(RedisRecord(own_redis.url())) as record:
        record.add_stream(spec())
        put(record, note(0), note(1))
        saved = {path: path.read_bytes() for path in aof_files(own_redis)}
        put(record, note(2))
        before = record.mark()
        catch_up(index, record)
        own_redis.kill()
        for path in aof_files(own_redis):
            path.unlink()
        for path, content in saved.items():
            path.write_bytes(content)
        own_redis.start()

        put(record, note(3))

        assert record.clip_ids() == {note(number).clip_id for number in (0, 1, 3)}
        assert record.mark().revision >= LEAP > before.revision
        assert record.mark().record_id == before.record_id
        catch_up(index, record)
        assert index.clip_ids() == record.clip_ids()


def aof_files(server: RedisServer) -> list[Path]:
    """Where it wrote: in a directory, before Redis 7 in one file."""
    found = [*server.directory.glob("appendonlydir/*"), *server.directory.glob("*.aof")]
    assert found
    return found


def test_scripts_that_the_server_lost_are_sent_again(record: RedisRecord, server: Any) -> None:
    put(record, note(0))
    server.script_flush()
    put(record, note(1))

    assert record.counts().clips == 2


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_may_drop_memories_is_refused(own_redis: RedisServer, policy: str) -> None:
    own_redis.command("CONFIG", "SET", "maxmemory-policy", policy)

    with pytest.raises(EvictingStore, match=f"{policy}.*set its maxmemory-policy to noeviction"):
        RedisRecord(own_redis.url())


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("maxmemory-policy", "volatile-ttl", "set noeviction"),
        ("appendonly", "no", "set appendonly yes"),
        ("appendfsync", "no", "set everysec"),
    ],
)
def test_a_server_that_keeps_less_than_it_could_is_named(
    own_redis: RedisServer,
    caplog: pytest.LogCaptureFixture,
    setting: str,
    value: str,
    said: str,
) -> None:
    own_redis.command("CONFIG", "SET", setting, value)

    with caplog.at_level(logging.WARNING), closing(RedisRecord(own_redis.url())):
        assert said in caplog.text


def test_the_record_of_another_version_is_refused(
    record: RedisRecord, server: Any, redis_url: str
) -> None:
    server.hset(f"{prefix_of(redis_url)}meta", "schema", 99)

    with pytest.raises(WrongSchema, match="has schema 99, this version reads 1"):
        RedisRecord(redis_url)


@pytest.mark.parametrize(
    ("key", "fill", "said"),
    [
        ("meta", "set", "holds something else"),
        ("meta", "hset", "belongs to another program"),
        ("notes", "hset", "its key meta is missing"),
    ],
)
def test_keys_of_another_program_are_refused_and_left_alone(
    redis_url: str, server: Any, key: str, fill: str, said: str
) -> None:
    name = prefix_of(redis_url) + key
    getattr(server, fill)(name, *(("theirs",) if fill == "set" else ("theirs", "theirs")))
    content = server.dump(name)

    with pytest.raises(DamagedRecord, match=said):
        RedisRecord(redis_url)
    assert server.dump(name) == content
    assert server.keys(f"{prefix_of(redis_url)}*") == [name.encode()]


def test_a_note_that_no_longer_parses_is_named(
    record: RedisRecord, server: Any, redis_url: str
) -> None:
    put(record, note(0, "a heron"), note(1))
    server.hset(f"{prefix_of(redis_url)}notes", note(0).clip_id, "{}")

    with pytest.raises(CorruptNote, match="pond:0-"):
        record.clip(note(0).clip_id)
    with pytest.raises(DamagedRecord, match="pond:0-"):
        record.check()
    assert record.clip(note(1).clip_id) == note(1)
    assert record.delete_span(span(0, 10)).clip_ids == (note(0).clip_id,)
    assert record.search_words("heron", limit=9) == []
    record.check()


@pytest.mark.parametrize("table", ["notes", "vectors", "trails"])
def test_a_part_that_is_missing_is_found(
    record: RedisRecord, server: Any, redis_url: str, table: str
) -> None:
    put(record, note(0), note(1))
    server.hdel(f"{prefix_of(redis_url)}{table}", note(0).clip_id)

    with pytest.raises(DamagedRecord, match="missing"):
        record.check()


def test_an_epoch_set_by_two_is_the_later(record: RedisRecord, redis_url: str) -> None:
    record.set_epoch("pond", EPOCH_AT)
    with closing(RedisRecord(redis_url)) as other:
        other.set_epoch("pond", EPOCH_AT.replace(year=2030))

    assert record.stream("pond").epoch_at == EPOCH_AT.replace(year=2030)
