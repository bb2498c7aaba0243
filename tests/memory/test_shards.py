"""A memory in shards: each stream in one of them, everywhere the same, and together all."""

import subprocess
import sys
from pathlib import Path

import pytest

from memory.dict_record import DictRecord
from memory.faiss_index import FaissIndex, OpenedIndex, open_index
from memory.follow import CaughtUp, catch_up
from memory.index import ExactIndex
from memory.shards import ALL, shards
from tests.conftest import ROOT
from tests.memory.notes import MODEL, WIDTH, note, put, span, spec

STREAMS = [f"camera-{number}" for number in range(12)]


@pytest.fixture
def record() -> DictRecord:
    record = DictRecord()
    for stream in STREAMS:
        record.add_stream(spec(stream))
        put(record, *(note(number, stream=stream) for number in range(3)))
    return record


def test_each_stream_is_in_one_shard_in_every_process() -> None:
    held = [[shard.number for shard in shards(3) if shard.holds(name)] for name in STREAMS]
    elsewhere = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from memory.shards import shards; print([[shard.number for shard in shards(3)"
            f" if shard.holds(name)] for name in {STREAMS}])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert all(len(numbers) == 1 for numbers in held)
    assert {number for [number] in held} == {0, 1, 2}
    assert elsewhere.stdout.strip() == str(held)
    assert all(ALL.holds(name) for name in STREAMS)


def test_following_in_shards_holds_everything_once(record: DictRecord) -> None:
    followed = [ExactIndex(width=WIDTH, embedder_id=MODEL) for _ in range(3)]
    for index, shard in zip(followed, shards(3), strict=True):
        catch_up(index, record, shard)
        assert catch_up(index, record, shard) == CaughtUp()
    assert sum(len(index) for index in followed) == len(record.clip_ids())
    assert set[str]().union(*(index.clip_ids() for index in followed)) == record.clip_ids()

    record.delete_span(span(0, 10, stream=STREAMS[5]))
    put(record, note(7, stream=STREAMS[5]))
    changes = [
        catch_up(index, record, shard) for index, shard in zip(followed, shards(3), strict=True)
    ]
    assert sorted(changes) == [CaughtUp(), CaughtUp(), CaughtUp(put=1, removed=1)]


def test_a_shard_of_what_was_saved_is_read_and_no_more(record: DictRecord, tmp_path: Path) -> None:
    open_index(tmp_path, record, width=WIDTH, embedder_id=MODEL).save()
    whole = FaissIndex.load(tmp_path, width=WIDTH, embedder_id=MODEL)

    def opened(number: int) -> OpenedIndex:
        shard = shards(3)[number]
        return open_index(tmp_path, record, width=WIDTH, embedder_id=MODEL, shard=shard)

    parts = [opened(number) for number in range(3)]
    assert [(part.rebuilt_because, part.caught_up) for part in parts] == [(None, CaughtUp())] * 3
    assert sum(len(part.index) for part in parts) == len(whole)
    assert set[str]().union(*(part.index.clip_ids() for part in parts)) == whole.clip_ids()

    for path in tmp_path.glob(f"{STREAMS[0]}.*"):
        path.unlink()
    is_damaged = [opened(number).rebuilt_because is not None for number in range(3)]
    assert is_damaged == [shard.holds(STREAMS[0]) for shard in shards(3)]
    assert sum(len(opened(number).index) for number in range(3)) == len(whole)
