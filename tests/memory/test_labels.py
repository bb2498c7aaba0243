"""What people say of footage is kept alike in every record, and goes with the footage."""

from datetime import UTC, datetime

from memory.labels import Label, LabelBook
from memory.record import Record
from tests.memory.notes import span

AT = datetime(2025, 3, 1, tzinfo=UTC)


def label(start_s: float, text: str, *, end_s: float | None = None, question: str = "") -> Label:
    where = span(start_s, start_s + 2 if end_s is None else end_s)
    return Label(span=where, text=text, question=question, labelled_at=AT)


def test_labels_come_back_in_order_and_once(record: Record) -> None:
    book = LabelBook(record.documents)
    late, early = label(100, "a boat leaves"), label(5, "ein Boot fährt 'ab'")
    book.put([late, early])
    book.put([late.model_copy(update={"labelled_at": AT.replace(year=2026)})])

    assert [one.text for one in book.of("pond")] == [early.text, late.text]
    assert book.of("hill") == []


def test_another_answer_about_the_same_time_is_another_label(record: Record) -> None:
    book = LabelBook(record.documents)
    book.put([label(5, "red", question="what colour?"), label(5, "red"), label(5, "blue")])

    assert len(book.of("pond")) == 3


def test_a_label_is_taken_back_once(record: Record) -> None:
    book = LabelBook(record.documents)
    book.put([label(5, "a boat leaves")])

    assert book.remove(label(5, "a boat leaves"))
    assert not book.remove(label(5, "a boat leaves"))
    assert book.of("pond") == []


def test_labels_of_a_span_are_forgotten_and_their_neighbours_are_not(record: Record) -> None:
    book = LabelBook(record.documents)
    book.put([label(0, "before"), label(10, "inside"), label(19, "partly"), label(20, "after")])

    assert book.forget(span(5, 20)) == 2
    assert [one.text for one in book.of("pond")] == ["before", "after"]
    assert book.forget(span(5, 20)) == 0
