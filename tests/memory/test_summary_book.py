"""Summaries are kept by stream, level and start, and none outlives what it was made of."""

from datetime import timedelta

import pytest

from memory.record import Record
from memory.spans import whole_stream
from memory.summaries import MINUTE_NS, Level, Summary, summary_of
from memory.summary_book import SummaryBook
from streaming.messages import Span
from tests.memory.notes import EPOCH_AT, span

HOUR = Level.HOUR.length_ns
NUMBER = 200  # minutes


@pytest.fixture
def book(record: Record) -> SummaryBook:
    return SummaryBook(record.documents)


def of(level: Level, start_ns: int) -> Summary:
    whole = Span(stream_id="pond", start_ns=start_ns, end_ns=start_ns + level.length_ns)
    return summary_of(whole, [], [])


def fill(book: SummaryBook) -> None:
    kept = {(Level.MINUTE, at * MINUTE_NS): of(Level.MINUTE, at * MINUTE_NS) for at in range(200)}
    kept |= {(Level.HOUR, at * HOUR): of(Level.HOUR, at * HOUR) for at in range(3)}
    assert book.put(book.begin("pond", EPOCH_AT), kept, until_ns=NUMBER * MINUTE_NS)


def kept(book: SummaryBook, level: Level) -> list[int]:
    starts_ns = range(0, NUMBER * MINUTE_NS, level.length_ns)
    return [
        start_ns // level.length_ns
        for start_ns in starts_ns
        if book.get("pond", level, start_ns) is not None
    ]


def test_what_was_put_comes_back(book: SummaryBook) -> None:
    fill(book)

    assert book.get("pond", Level.HOUR, HOUR) == of(Level.HOUR, HOUR)
    assert book.get("hill", Level.HOUR, HOUR) is None
    assert book.get("pond", Level.DAY, 0) is None
    assert kept(book, Level.MINUTE) == list(range(NUMBER))
    place = book.place("pond")
    assert place is not None
    assert place.reach.until_ns == NUMBER * MINUTE_NS
    assert book.place("hill") is None


def test_nothing_is_written_from_before_something_was_forgotten(book: SummaryBook) -> None:
    fill(book)
    place = book.begin("pond", EPOCH_AT)
    book.forget(span(0, 1))

    assert not book.put(place, {(Level.HOUR, 0): of(Level.HOUR, 0)}, until_ns=HOUR)
    assert kept(book, Level.HOUR) == [1, 2]


def test_a_span_that_is_forgotten_takes_what_it_touches_with_it(book: SummaryBook) -> None:
    fill(book)
    book.forget(span(65 * 60, 66 * 60))
    book.forget(span(65 * 60, 66 * 60))

    gone = set(range(NUMBER)) - set(kept(book, Level.MINUTE))
    assert gone == {63, 64, 65, 66, 67}
    assert kept(book, Level.HOUR) == [0, 2]
    book.forget(span(65 * 60, 66 * 60, stream="hill"))
    assert len(kept(book, Level.MINUTE)) == NUMBER - len(gone)


def test_a_stream_that_is_forgotten_leaves_nothing(book: SummaryBook, record: Record) -> None:
    fill(book)
    before = book.begin("pond", EPOCH_AT)
    book.forget(whole_stream("pond"))

    assert kept(book, Level.MINUTE) == kept(book, Level.HOUR) == []
    assert book.place("pond") is None
    assert record.documents.all("summarised") == {}
    again = book.begin("pond", EPOCH_AT + timedelta(days=1))
    assert again.reach.until_ns == 0
    assert not book.put(before, {(Level.HOUR, 0): of(Level.HOUR, 0)}, until_ns=HOUR)
