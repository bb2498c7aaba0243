"""Data sets are read back as they were written, and forget what the record forgets."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory.datasets import (
    CARD,
    HELD_OUT,
    PAGE,
    TRAIN,
    Card,
    DataSets,
    Example,
    card_of,
    read_examples,
    turns_of,
    write_set,
)
from memory.errors import BadExample, ExamplesMissing
from memory.forgetting import Stores, forget
from memory.record import Record
from memory.tokens import TokenStore
from streaming.footage import FootageStore
from tests.memory.notes import note, put, span

MADE = Card(
    made_at=datetime(2025, 3, 1, tzinfo=UTC),
    model_id="some@1",
    layout_id="layout-1",
    hold_out=0.2,
    streams=(span(0, 100),),
    dropped={"a note without words": 3},
)


class NoVectors:
    def delete_clips(self, clip_ids: object) -> int:
        return 0


def example(number: int, start_s: float, end_s: float) -> Example:
    return Example(
        id=f"note-{number}",
        task="note",
        origin="label",
        span=span(start_s, end_s),
        clips=(f"clip-{number}",),
        conversations=turns_of(("<video>\nwhat?", "a boat\u2028leaves")),
    )


def written(folder: Path) -> None:
    write_set(
        folder,
        train=[example(1, 0, 10), example(2, 10, 20), example(3, 20, 30)],
        held_out=[example(4, 60, 70)],
        card=MADE,
    )


def test_a_line_is_in_the_format_that_llava_reads(tmp_path: Path) -> None:
    written(tmp_path)

    line = json.loads((tmp_path / TRAIN).read_text().split("\n")[0])
    assert line["conversations"] == [
        {"from": "human", "value": "<video>\nwhat?"},
        {"from": "gpt", "value": "a boat\u2028leaves"},
    ]
    assert line["id"] == "note-1"
    assert read_examples(tmp_path / TRAIN)[0] == example(1, 0, 10)


def test_a_line_of_llava_reads_as_it_stands(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "a boat"}]
    line = {"id": "000000033471", "image": "coco/000000033471.jpg", "conversations": said}
    (tmp_path / TRAIN).write_text(f"{json.dumps(line)}\n")

    (found,) = read_examples(tmp_path / TRAIN)

    assert (found.task, found.origin, found.shown) == ("answer", "given", "image")
    assert found.turns == [("<video>\nWhat is it?", "a boat")]
    write_set(tmp_path, train=[found], held_out=[], card=None)
    kept = json.loads((tmp_path / TRAIN).read_text())
    assert kept == {**line, "task": "answer", "origin": "given"}


@pytest.mark.parametrize(
    "shown",
    [
        {"image": "a.png", "video": "a.mp4"},
        {"image": "a.png", "clips": ["clip-1"]},
        {"image": "a.png", "at_s": 3},
        {"at_s": 3},
        {"at_s": 3, "clips": ["clip-1", "clip-2"]},
        {"at_s": 3, "clips": ["clip-1"], "video": "a.mp4"},
        {"at_s": -1, "video": "a.mp4"},
    ],
)
def test_a_line_that_shows_two_things_as_one_is_named(
    tmp_path: Path, shown: dict[str, object]
) -> None:
    line = {"id": "x", **shown, "conversations": []}
    (tmp_path / TRAIN).write_text(json.dumps(line))

    with pytest.raises(BadExample, match="line 1 is no example"):
        read_examples(tmp_path / TRAIN)


def test_the_card_counts_what_is_there(tmp_path: Path) -> None:
    written(tmp_path)

    card = card_of(tmp_path)
    assert card is not None
    assert (card.counts["train"]["examples"], card.counts["held-out"]["task note"]) == (3, 1)
    assert "| by label | 3 | 1 |" in (tmp_path / PAGE).read_text()
    assert "| a note without words | 3 |" in (tmp_path / PAGE).read_text()


def test_what_is_no_example_is_named_by_its_line(tmp_path: Path) -> None:
    written(tmp_path)
    with (tmp_path / TRAIN).open("a") as file:
        file.write('{"id": "x"}\n')

    with pytest.raises(BadExample, match=r"line 4 .*conversations"):
        read_examples(tmp_path / TRAIN)
    with pytest.raises(ExamplesMissing, match="dataset build"):
        read_examples(tmp_path / "none.jsonl")


def test_forgetting_a_span_deletes_its_examples(record: Record, tmp_path: Path) -> None:
    put(record, note(0), note(1), note(2))
    folder = tmp_path / "set"
    DataSets(record.documents).register(folder)
    DataSets(record.documents).register(tmp_path / "moved away")
    written(folder)
    stores = Stores(
        record,
        FootageStore(str(tmp_path / "footage")),
        TokenStore(str(tmp_path / "tokens")),
        NoVectors(),
    )

    gone = forget(span(12, 14), stores)

    assert gone.examples == 1
    assert [one.id for one in read_examples(folder / TRAIN)] == ["note-1", "note-3"]
    card = card_of(folder)
    assert card is not None and card.counts["train"]["examples"] == 2
    assert forget(span(12, 14), stores).examples == 0


def test_a_damaged_set_keeps_nobody_from_forgetting(record: Record, tmp_path: Path) -> None:
    DataSets(record.documents).register(tmp_path)
    written(tmp_path)
    (tmp_path / CARD).write_text("{")
    with (tmp_path / HELD_OUT).open("a") as file:
        file.write("not json\n")

    assert DataSets(record.documents).forget(span(12, 14)) == 2
    assert [one.id for one in read_examples(tmp_path / HELD_OUT)] == ["note-4"]
    assert len(read_examples(tmp_path / TRAIN)) == 2
