"""A saved index comes back, or is rebuilt: whatever befell its files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memory.dict_record import DictRecord
from memory.errors import DamagedIndex
from memory.faiss_index import FaissIndex, open_index
from memory.index import VectorKind
from memory.record import Record
from memory.values import DAY_NS
from streaming.messages import NS_PER_S
from tests.memory.notes import CLIP_S, MODEL, WIDTH, note, put, span, spec, unit_vectors

CLIPS_A_DAY = DAY_NS // NS_PER_S // CLIP_S


@pytest.fixture
def record() -> Record:
    made = DictRecord()
    for stream in ("pond", "hill"):
        made.add_stream(spec(stream))
        put(made, *(note(number, stream=stream) for number in range(5)))
    put(made, *(note(CLIPS_A_DAY + number) for number in range(5)))
    return made


@pytest.fixture
def saved(record: Record, tmp_path: Path) -> Path:
    index = open_index(tmp_path / "index", record, width=WIDTH, embedder_id=MODEL).index
    index.save(tmp_path / "index")
    return tmp_path / "index"


def everything(index: FaissIndex) -> list[tuple[str, float]]:
    (query,) = unit_vectors(1, seed=99)
    return [
        (hit.clip_id, hit.score)
        for kind in VectorKind
        for hit in index.search(query, kind=kind, limit=100)
    ]


def test_a_saved_index_comes_back_as_it_was(record: Record, saved: Path) -> None:
    opened = open_index(saved, record, width=WIDTH, embedder_id=MODEL)
    fresh = open_index(saved / "none", record, width=WIDTH, embedder_id=MODEL)

    assert opened.rebuilt_because is None
    assert opened.caught_up.put == 0
    assert len(opened.index) == 15
    assert everything(opened.index) == everything(fresh.index)


def test_there_is_one_file_for_each_stream_and_day(saved: Path) -> None:
    names = sorted(path.name.rsplit(".", 2)[0] for path in saved.glob("*.vectors"))
    assert names == ["hill.000000", "pond.000000", "pond.000001"]


def test_saving_writes_only_what_changed(record: Record, saved: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in saved.glob("*.vectors")}
    put(record, note(CLIPS_A_DAY + 5))
    index = open_index(saved, record, width=WIDTH, embedder_id=MODEL).index
    index.save(saved)

    after = {path.name: path.stat().st_mtime_ns for path in saved.glob("*.vectors")}
    assert len(after) == 3
    assert len(before.items() & after.items()) == 2


def test_the_same_content_gives_the_same_files(record: Record, saved: Path) -> None:
    again = saved.parent / "again"
    open_index(again, record, width=WIDTH, embedder_id=MODEL).index.save(again)

    assert {p.name: p.read_bytes() for p in saved.iterdir()} == {
        p.name: p.read_bytes() for p in again.iterdir()
    }


def test_an_index_behind_its_record_catches_up(record: Record, saved: Path) -> None:
    put(record, note(20))
    record.delete_span(span(0, 20))
    opened = open_index(saved, record, width=WIDTH, embedder_id=MODEL)

    assert opened.rebuilt_because is None
    assert (opened.caught_up.put, opened.caught_up.removed) == (1, 2)
    assert opened.index.clip_ids() == record.clip_ids()


def test_deleted_vectors_leave_the_files(record: Record, saved: Path) -> None:
    record.delete_span(span(0, 99))
    index = open_index(saved, record, width=WIDTH, embedder_id=MODEL).index
    index.save(saved)

    assert sorted(path.name[:11] for path in saved.glob("*.vectors")) == [
        "hill.000000",
        "pond.000001",
    ]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_text(path: Path) -> None:
    path.write_text("not an index")


@pytest.mark.parametrize("damage", [Path.unlink, flip, cut, empty, replace_by_text])
@pytest.mark.parametrize("pattern", ["manifest.json", "hill.*", "pond.000001.*"])
def test_a_damaged_index_is_rebuilt(
    record: Record, saved: Path, damage: Callable[[Path], None], pattern: str
) -> None:
    whole = everything(open_index(saved, record, width=WIDTH, embedder_id=MODEL).index)
    (path,) = saved.glob(pattern)
    damage(path)

    with pytest.raises(DamagedIndex):
        FaissIndex.load(saved, width=WIDTH, embedder_id=MODEL)
    opened = open_index(saved, record, width=WIDTH, embedder_id=MODEL)
    assert opened.rebuilt_because is not None
    assert opened.caught_up.put == 15
    assert everything(opened.index) == whole
    opened.index.save(saved)
    assert open_index(saved, record, width=WIDTH, embedder_id=MODEL).rebuilt_because is None


def test_another_good_file_under_the_name_is_noticed(record: Record, saved: Path) -> None:
    one, other = saved.glob("pond.*")
    one.write_bytes(other.read_bytes())

    with pytest.raises(DamagedIndex, match="not the file that the manifest names"):
        FaissIndex.load(saved, width=WIDTH, embedder_id=MODEL)


def test_a_manifest_that_does_not_add_up_is_noticed(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps(manifest | {"clips": 14}))

    with pytest.raises(DamagedIndex, match="do not add up"):
        FaissIndex.load(saved, width=WIDTH, embedder_id=MODEL)


def test_the_index_of_another_embedder_is_rebuilt(record: Record, saved: Path) -> None:
    opened = open_index(saved, record, width=WIDTH, embedder_id="another@2")
    assert opened.rebuilt_because is not None
    assert MODEL in opened.rebuilt_because
    assert len(opened.index) == 0
    assert opened.caught_up.foreign == 15


def test_an_index_that_knows_no_record_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="catch up"):
        FaissIndex(width=WIDTH, embedder_id=MODEL).save(tmp_path)


def test_twelve_hours_are_small_on_disk(tmp_path: Path) -> None:
    index = FaissIndex(width=128, embedder_id=MODEL)
    (same,) = unit_vectors(1, seed=0, width=128)
    for number in range(4320):
        clip = note(number)
        index.put(clip.clip_id, clip.span, same, same)
    index.mark = DictRecord().mark()
    index.save(tmp_path)

    size_bytes = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size_bytes < 4320 * (2 * 128 * 4 + 100)
    assert np.allclose(index.search(same, kind=VectorKind.TEXT, limit=1)[0].score, 1.0)
