"""The index in processes of their own: kept without a model, and followed by whoever only reads."""

from pathlib import Path

import pytest

from memory.dict_record import DictRecord
from memory.faiss_index import FaissIndex, open_index
from memory.record import Record
from memory.values import StreamSpec
from services.index import RECENT, FollowedIndex, IndexKeeper, newest_vectors
from tests.memory.notes import EPOCH_AT, MODEL, WIDTH, note, span, unit_vectors

OTHER = "other-model@2"


@pytest.fixture
def record() -> Record:
    record = DictRecord()
    record.add_stream(StreamSpec(stream_id="pond", url="x", realtime=False, added_at=EPOCH_AT))
    return record


def remember(record: Record, number: int, *, model_id: str = MODEL, width: int = WIDTH) -> None:
    vector = unit_vectors(1, seed=number, width=width)[0]
    record.put_clip(note(number, model_id=model_id), text_vector=vector, visual_vector=vector)


def keeper_of(record: Record, directory: Path) -> IndexKeeper:
    return IndexKeeper(None, record, directory, monotonic_ns=lambda: 0)


def test_an_index_is_kept_of_whatever_model_writes(record: Record, tmp_path: Path) -> None:
    keeper = keeper_of(record, tmp_path)
    keeper.idle()
    keeper.save()
    assert not list(tmp_path.iterdir()), "nothing is remembered yet"

    remember(record, 0)
    keeper.idle()
    remember(record, 1)
    keeper.idle()
    keeper.save()
    assert len(FaissIndex.load(tmp_path, width=WIDTH, embedder_id=MODEL)) == 2

    remember(record, 2, model_id=OTHER, width=2 * WIDTH)
    keeper.idle()
    keeper.save()
    assert len(FaissIndex.load(tmp_path, width=2 * WIDTH, embedder_id=OTHER)) == 1


def test_the_newest_vectors_are_found_behind_many_deletions(record: Record) -> None:
    assert newest_vectors(record) is None
    remember(record, 0)
    remember(record, 1, model_id=OTHER)
    for number in range(10, 10 + RECENT):
        remember(record, number)
        record.delete_span(span(number * 10, number * 10 + 10))

    newest = newest_vectors(record)
    assert newest is not None
    assert newest.model_id == OTHER


def test_a_copy_holds_what_the_record_holds_whenever_it_is_asked_for(
    record: Record, tmp_path: Path
) -> None:
    remember(record, 0)
    keeper = keeper_of(record, tmp_path)
    keeper.idle()
    keeper.save()
    followed = FollowedIndex(open_index(tmp_path, record, width=WIDTH, embedder_id=MODEL), record)

    remember(record, 1)
    assert len(followed.up_to_date()) == 2
    record.delete_span(span(0, 10))
    assert followed.up_to_date().clip_ids() == {note(1).clip_id}
