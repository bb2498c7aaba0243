"""A record in Redis outlives its server: killed, stopped, full, away. Nothing is there by half."""

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from memory.errors import ServerAway, StoreFull, StoreReadOnly, StoreUnavailable
from memory.redis_record import RedisRecord
from tests.memory.notes import gap, note, put, segment, span, spec
from tests.memory.redis_server import RedisServer
from tests.memory.redis_writer import writer

EVERYSEC_LOSS_S = 2.5  # Redis delays writing by at most two seconds, while the disk is slow
KILLS = 4


class Put(NamedTuple):
    number: int
    at_s: float


@pytest.fixture
def record(own_redis: RedisServer) -> Iterator[RedisRecord]:
    with closing(RedisRecord(own_redis.url(), patience_s=0.3)) as made:
        made.add_stream(spec())
        yield made


def acknowledged(process: subprocess.Popen[str]) -> list[Put]:
    """What a writer put from now on, until its end."""
    assert process.stdout is not None
    lines = process.stdout.readlines()  # not of `communicate`, which passes over what was read
    process.communicate()
    return [Put(int(line.split()[0]), float(line.split()[1])) for line in lines]


def after(seconds: float, act: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        time.sleep(seconds)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture(params=["always", "everysec"])
def killed(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with closing(RedisServer("--appendfsync", request.param)) as made:
        yield made


def test_a_killed_server_keeps_what_it_acknowledged_and_nothing_by_half(
    killed: RedisServer,
) -> None:
    record = RedisRecord(killed.url())
    record.add_stream(spec())
    fsync = killed.command("CONFIG", "GET", "appendfsync").split()[-1]
    chance = random.Random(fsync)
    whole: set[str] = set()
    for round_number in range(KILLS):
        first = 100_000 * round_number
        process = writer(killed.url(), first, first + 100_000, patience_s=0)
        assert process.stdout is not None
        early = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.4))
        killed.kill()
        killed_s = time.monotonic()
        puts = acknowledged(process)
        assert early
        assert process.returncode == 1
        killed.start_supervised()

        record.check()
        whole = {note.clip_id for note in record.clips() if len(note.events) == 9}
        assert whole == record.clip_ids()
        lost = [one for one in puts if note(one.number).clip_id not in whole]
        assert fsync == "everysec" or not lost
        assert all(killed_s - one.at_s < EVERYSEC_LOSS_S for one in lost)
        assert record.counts().events == 9 * len(whole)
        assert len(record.search_words("heron", limit=100_000)) == len(whole)
    revisions = [held.revision for held in record.vectors()]
    assert len(set(revisions)) == len(whole)
    record.close()


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("rewriting", ["done", "killed"])
def test_a_write_that_was_torn_is_left_out_for_good(kept: float, rewriting: str) -> None:
    """A crash in the middle of a write leaves a part of a clip, behind which others are put."""
    events = tuple((second, second + 0.5, "a heron lands") for second in range(9))
    slow = ("--rdb-key-save-delay", "1000000") if rewriting == "killed" else ()
    with (
        closing(RedisServer("--appendfsync", "always", *slow)) as server,
        closing(RedisRecord(server.url())) as record,
    ):
        record.add_stream(spec())
        put(record, note(0, "clip 0", events))
        (appended,) = server.directory.rglob("*.incr.aof")
        whole_bytes = appended.stat().st_size
        put(record, note(1, "clip 1", events))
        server.kill()
        written_bytes = appended.stat().st_size - whole_bytes
        os.truncate(appended, whole_bytes + round(kept * written_bytes))
        server.start()

        put(record, note(2, "clip 2", events))
        if rewriting == "done":
            server.wait_for("persistence", "aof_rewrite_in_progress:0")
        server.kill()
        server.start_supervised()

        record.check()
        assert record.clips() == [note(0, "clip 0", events), note(2, "clip 2", events)]
        assert record.counts().events == 18
        assert len(record.search_words("heron", limit=9)) == 2


def test_a_writer_goes_on_by_itself_when_the_server_is_back(
    own_redis: RedisServer, record: RedisRecord
) -> None:
    process = writer(own_redis.url(), 0, 300)
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(3):
        time.sleep(0.1)
        own_redis.kill()
        time.sleep(0.1)
        own_redis.start()

    puts = acknowledged(process)

    assert process.returncode == 0
    assert [one.number for one in puts] == list(range(1, 300))
    assert record.counts()[:2] == (300, 2700)
    record.check()


def test_a_server_that_is_away_is_named_and_found_again(
    own_redis: RedisServer, record: RedisRecord
) -> None:
    put(record, note(0))
    own_redis.kill()

    for act in (
        lambda: put(record, note(1)),
        record.clips,
        record.mark,
        lambda: record.add_stream(spec("hill")),
        lambda: record.delete_span(span(0, 10)),
        lambda: record.search_words("heron", limit=1),
        lambda: list(record.vectors()),
    ):
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"does not answer.*start it"):
            act()
        assert time.monotonic() - began_s < 2
    with pytest.raises(ServerAway):
        RedisRecord(own_redis.url(), patience_s=0)

    own_redis.start()
    put(record, note(1))
    assert record.counts().clips == 2


def test_a_stopped_server_is_waited_for(own_redis: RedisServer) -> None:
    with closing(RedisRecord(own_redis.url())) as record:
        record.add_stream(spec())
        own_redis.pause()
        thread = after(2.0, own_redis.resume)
        put(record, note(0))
        thread.join()
        assert record.counts().clips == record.mark().revision == 1


def test_a_server_that_is_stopped_for_long_is_named_and_found_again(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memory.redis_client.ANSWER_TIMEOUT_S", 0.2)
    with closing(RedisRecord(own_redis.url(), patience_s=0.5)) as record:
        record.add_stream(spec())
        own_redis.pause()
        began_s = time.monotonic()
        with pytest.raises(ServerAway):
            put(record, note(0))
        assert time.monotonic() - began_s < 5
        own_redis.resume()
        put(record, note(0), note(1))
        assert record.clips() == [note(0), note(1)]
        record.check()


@pytest.fixture
def full(own_redis: RedisServer, record: RedisRecord) -> RedisRecord:
    """A record in a server without memory for more."""
    put(record, *(note(n, "a heron lands " * 20, ((1, 2, "it calls"),)) for n in range(50)))
    record.put_segment(segment(0, 4))
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    return record


def test_a_full_server_is_named_and_nothing_is_stored_by_half(full: RedisRecord) -> None:
    before = full.counts(), full.mark()
    for act in (
        lambda: put(full, note(2000, "words", ((1, 2, "a heron lands"),))),
        lambda: put(full, note(3, "other words")),
        lambda: full.put_segment(segment(4, 8)),
        lambda: full.put_gap(gap(8, 12)),
        lambda: full.add_stream(spec("hill")),
        lambda: full.set_cursor("index", 1),
    ):
        with pytest.raises(StoreFull, match="raise its maxmemory or forget old footage"):
            act()

    assert (full.counts(), full.mark()) == before
    assert full.clip(note(3).clip_id) == note(3, "a heron lands " * 20, ((1, 2, "it calls"),))
    full.check()


def test_a_full_server_can_still_forget(full: RedisRecord, own_redis: RedisServer) -> None:
    full.begin_forgetting(span(0, 200))
    assert full.unfinished_forgetting() == [span(0, 200)]
    assert len(full.delete_span(span(0, 200)).clip_ids) == 20
    assert full.unfinished_forgetting() == []
    assert len(full.remove_stream("pond").clip_ids) == 30

    own_redis.command("CONFIG", "SET", "maxmemory", "0")
    full.add_stream(spec())
    put(full, note(0))
    full.check()


def test_memory_that_fills_up_while_clips_come_keeps_them_whole(
    own_redis: RedisServer, record: RedisRecord
) -> None:
    used = next(
        int(line.split(":")[1])
        for line in own_redis.command("INFO", "memory").splitlines()
        if line.startswith("used_memory:")
    )
    own_redis.command("CONFIG", "SET", "maxmemory", str(used + 2**20))
    stored = 0
    with pytest.raises(StoreFull):
        for number in range(100_000):
            put(record, note(number, f"words {number} " * 99, ((1, 2, "a heron lands"),)))
            stored += 1

    assert stored
    assert record.counts()[:2] == (stored, stored)
    record.check()
    record.delete_span(span(0, 10 * stored / 2))
    put(record, note(200_000))
    record.check()


def test_a_replica_is_no_place_to_write(own_redis: RedisServer, record: RedisRecord) -> None:
    with closing(RedisServer()) as other:
        own_redis.command("CONFIG", "SET", "replica-read-only", "yes")
        own_redis.command("REPLICAOF", str(other.socket), "0")
        with pytest.raises(StoreReadOnly, match="write access"):
            put(record, note(0))


def test_a_crash_while_forgetting_leaves_the_rest_to_be_done(
    own_redis: RedisServer, record: RedisRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memory.redis_record._DELETED_AT_ONCE", 1)
    put(record, *(note(number) for number in range(200)))
    record.begin_forgetting(span(0, 1500))
    killing = after(0.01, own_redis.kill)
    with pytest.raises(ServerAway):
        while True:
            record.delete_span(span(0, 1500))
            put(record, note(199))
    killing.join()
    own_redis.start()

    with closing(RedisRecord(own_redis.url())) as again:
        again.check()
        again.delete_span(span(0, 1500))
        assert again.unfinished_forgetting() == []
        assert again.clip_ids() == {note(number).clip_id for number in range(150, 200)}
        again.check()
