"""Every record keeps documents in the same way, whatever engine holds it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from memory.documents import Key
from memory.record import Record
from memory.sqlite_record import SqliteRecord
from tests.memory.notes import note, put, span, unit_vectors

ONE, TWO, OTHER = Key("list", "one"), Key("list", "two"), Key("other", "one")


def test_documents_come_back_by_kind_in_order_of_their_names(record: Record) -> None:
    documents = record.documents
    assert documents.all("list") == {}
    assert documents.swap({}, {TWO: "ä [2]", ONE: "", OTHER: "3"})

    assert list(documents.all("list").items()) == [("one", ""), ("two", "ä [2]")]
    assert documents.all("list", last=1) == {"two": "ä [2]"}
    assert documents.all("list", first=1) == {"one": ""}
    assert documents.all("list", last=0) == documents.all("list", first=0) == {}
    assert documents.get(ONE) == ""
    assert documents.get(Key("list", "three")) is None


@pytest.mark.parametrize(
    ("bounds", "names"),
    [
        ({"after": "b"}, ["c", "é"]),
        ({"before": "b"}, ["a"]),
        ({"after": "a", "before": "é"}, ["b", "c"]),
        ({"after": "aa", "before": "c", "last": 1}, ["b"]),
        ({"before": "é", "last": 2}, ["b", "c"]),
        ({"after": "a", "first": 2}, ["b", "c"]),
        ({"after": "a", "before": "c", "first": 2}, ["b"]),
        ({"after": "", "before": "b"}, ["a"]),
        ({"after": "é"}, []),
        ({"after": "c", "before": "a"}, []),
    ],
)
def test_documents_between_two_names(
    record: Record, bounds: dict[str, Any], names: list[str]
) -> None:
    assert record.documents.swap({}, {Key("list", name): name for name in ("c", "a", "é", "b")})

    assert list(record.documents.all("list", **bounds).items()) == [(name, name) for name in names]


def test_a_swap_writes_all_or_nothing(record: Record) -> None:
    documents = record.documents
    assert documents.swap({ONE: None}, {ONE: "a", TWO: "b"})
    assert not documents.swap({ONE: None}, {ONE: "x", OTHER: "y"})
    assert not documents.swap({ONE: "a", TWO: "z"}, {ONE: None, OTHER: "y"})
    assert not documents.swap({OTHER: ""}, {ONE: None})
    assert documents.all("list") == {"one": "a", "two": "b"}
    assert documents.all("other") == {}

    assert documents.swap({ONE: "a", TWO: "b", OTHER: None}, {ONE: None, TWO: "c"})
    assert documents.all("list") == {"two": "c"}
    assert documents.swap({}, {ONE: None})


def test_of_many_who_swap_at_once_each_counts_once(record: Record) -> None:
    documents = record.documents
    assert documents.swap({}, {ONE: "0"})

    def count_up(_: int) -> None:
        while True:
            held = documents.get(ONE)
            assert held is not None
            if documents.swap({ONE: held}, {ONE: str(int(held) + 1)}):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(24)))

    assert documents.get(ONE) == "24"


def test_the_vectors_of_one_clip(record: Record) -> None:
    put(record, note(3), note(4))
    held = record.vectors_of(note(4).clip_id)
    assert held is not None

    assert held.span == span(40, 50)
    assert held.text_vector.tolist() == unit_vectors(2, seed=40)[0].tolist()
    assert [held.revision] == [one.revision for one in record.vectors() if one.span == held.span]
    assert record.vectors_of("pond:1-2:other") is None


def test_a_file_of_before_there_were_documents_gets_a_place_for_them(tmp_path: Path) -> None:
    before = SqliteRecord(tmp_path / "record.sqlite")
    before._file.rows("drop table documents")
    before.close()

    after = SqliteRecord(tmp_path / "record.sqlite")
    assert after.documents.swap({}, {ONE: "a"})
    after.close()
