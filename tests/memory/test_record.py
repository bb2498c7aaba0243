"""Every `Record` keeps the same promises, whatever engine holds it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from memory.dict_record import DictRecord
from memory.errors import BadVector, StreamExists, UnknownStream
from memory.record import Record
from memory.values import Counts, StreamStatus
from streaming.messages import NS_PER_S, StreamEnded
from tests.memory.notes import (
    EPOCH_AT,
    WIDTH,
    gap,
    note,
    put,
    segment,
    span,
    spec,
    unit_vectors,
)


def test_streams_are_listed_by_name(record: Record) -> None:
    assert record.streams() == [spec("hill"), spec("pond")]
    assert record.stream("hill") == spec("hill")


def test_a_name_can_be_taken_once(record: Record) -> None:
    with pytest.raises(StreamExists, match="'pond' exists"):
        record.add_stream(spec("pond"))


def test_an_unknown_stream_is_named(record: Record) -> None:
    status = StreamStatus(state="running", updated_at=EPOCH_AT)
    with pytest.raises(UnknownStream, match="'sea'"):
        record.stream("sea")
    with pytest.raises(UnknownStream):
        put(record, note(0, stream="sea"))
    with pytest.raises(UnknownStream):
        record.put_segment(segment(0, 4, stream="sea"))
    with pytest.raises(UnknownStream):
        record.put_gap(gap(0, 4, stream="sea"))
    with pytest.raises(UnknownStream):
        record.put_ended(StreamEnded(stream_id="sea", end_ns=1))
    with pytest.raises(UnknownStream):
        record.set_status("sea", status)
    with pytest.raises(UnknownStream):
        record.set_epoch("sea", EPOCH_AT)
    assert record.clips() == []


def test_the_epoch_can_be_told_later(record: Record) -> None:
    record.set_epoch("pond", EPOCH_AT)

    assert record.stream("pond").epoch_at == EPOCH_AT
    assert record.stream("hill").epoch_at is None


def test_the_last_status_is_kept(record: Record) -> None:
    assert record.status("pond") is None
    for segments in (1, 2):
        status = StreamStatus(state="running", counters={"segments": segments}, updated_at=EPOCH_AT)
        record.set_status("pond", status)

    assert record.status("pond") == status


def test_a_clip_comes_back_as_it_was_put(record: Record) -> None:
    put(record, stored := note(3, "a heron lands", ((1.5, 4, "a heron lands"),)))

    assert record.clip(stored.clip_id) == stored
    assert record.clip("pond:1-2:other") is None


def test_the_same_clip_again_replaces(record: Record) -> None:
    put(record, note(3, "a heron lands", ((1, 4, "a heron lands"), (5, 6, "it calls"))))
    put(record, latest := note(3, "a goose lands", ((2, 3, "a goose lands"),)))

    assert record.clips() == [latest]
    assert [held.event.text for held in record.events()] == ["a goose lands"]
    assert record.search_words("heron", limit=5) == []
    assert [hit.clip_id for hit in record.search_words("goose", limit=5)] == [latest.clip_id]
    assert len(list(record.vectors())) == 1


def test_a_vector_that_is_none_is_refused_and_nothing_is_stored(record: Record) -> None:
    (good,) = unit_vectors(1, seed=0)
    with pytest.raises(BadVector, match="NaN"):
        record.put_clip(note(0), text_vector=good, visual_vector=good * np.float32("nan"))
    assert record.clips() == []


def test_clips_are_ordered_by_stream_and_time(record: Record) -> None:
    expected = [note(0, stream="hill"), note(7, stream="hill"), note(2), note(10)]
    put(record, expected[3], expected[1], expected[2], expected[0])

    assert record.clips() == expected


@pytest.mark.parametrize(
    ("start_s", "end_s", "numbers"),
    [
        (0, 10, [0]),
        (0, 10.1, [0, 1]),
        (9.9, 10, [0]),
        (10, 20, [1]),
        (15, 35, [1, 2]),
        (30, 40, []),
    ],
)
def test_a_range_is_half_open(
    record: Record, start_s: float, end_s: float, numbers: list[int]
) -> None:
    put(record, *(note(number) for number in range(3)), note(0, stream="hill"))

    assert record.clips([span(start_s, end_s)]) == [note(number) for number in numbers]


def test_each_stream_has_its_own_range(record: Record) -> None:
    for stream in ("pond", "hill"):
        put(record, *(note(number, stream=stream) for number in range(4)))

    found = record.clips([span(0, 15), span(5, 12), span(30, 90, stream="hill")])
    assert found == [note(3, stream="hill"), note(0), note(1)]


def test_no_range_at_all_finds_nothing(record: Record) -> None:
    put(record, note(0, "a heron lands", ((1, 2, "a heron lands"),)))

    assert record.clips([]) == []
    assert record.events([]) == []
    assert record.search_words("heron", limit=5, within=[]) == []


def test_a_thousand_ranges_are_no_burden(record: Record) -> None:
    put(record, *(note(number, "a heron lands") for number in range(4)))
    within = [span(second, second + 0.5) for second in range(1000)]

    assert len(record.clips(within)) == 4
    assert len(record.search_words("heron", limit=9, within=within)) == 4


def test_the_last_clips_before_a_moment_come_in_order(record: Record) -> None:
    put(record, *(note(number) for number in range(5)), note(1, stream="hill"))

    found = record.last_clips("pond", before_ns=40 * NS_PER_S, limit=2)
    assert found == [note(2), note(3)]
    assert record.last_clips("pond", before_ns=0, limit=2) == []


def test_events_know_their_clip(record: Record) -> None:
    first = note(0, events=((8, 10, "a heron wades"),))
    second = note(1, events=((0, 3, "a heron wades"), (4, 5, "a fish splashes")))
    put(record, second, first)

    found = record.events()
    assert [held.event.text for held in found] == [
        "a heron wades",
        "a heron wades",
        "a fish splashes",
    ]
    assert [held.clip_id for held in found] == [first.clip_id, second.clip_id, second.clip_id]
    assert found[2].clip_span == second.span
    assert found[2].epoch_at == EPOCH_AT
    assert [held.event.text for held in record.events([span(13, 20)])] == ["a fish splashes"]


def test_words_are_found_whatever_their_form(record: Record) -> None:
    put(
        record,
        heron := note(0, "The small heron lands.", ((1, 2, "the heron lands"),)),
        goose := note(1, "Two geese are swimming", ((1, 2, "a café closes"),)),
        note(2),
    )

    def found(query: str) -> list[str]:
        return [hit.clip_id for hit in record.search_words(query, limit=5)]

    assert found("HERON landing") == [heron.clip_id]
    assert found("swims") == [goose.clip_id]
    assert found("CAFE closed") == [goose.clip_id]
    assert found("the") == []
    assert found("") == []
    assert found('") OR NEAR(* -') == []
    assert found("heron " * 20_000) == [heron.clip_id]


def test_every_engine_ranks_words_alike(record: Record) -> None:
    words = ["heron", "goose", "reed", "wind", "lands", "calls", "swims", "grey", "old"]
    random = np.random.default_rng(5)
    exact = DictRecord()
    for stream in ("pond", "hill"):
        exact.add_stream(spec(stream))
    for number in range(60):
        text = " ".join(random.choice(words, size=random.integers(1, 7)))
        stream = "hill" if number % 7 == 0 else "pond"
        for made in (exact, record):
            put(made, note(number, text, stream=stream))

    for query in ("heron", "grey goose lands", "old wind", "heron swims reeds calling"):
        for within in (None, [span(100, 400)], [span(0, 90), span(95, 300, stream="hill")]):
            expected = exact.search_words(query, limit=20, within=within)
            found = record.search_words(query, limit=20, within=within)
            assert [hit.clip_id for hit in found] == [hit.clip_id for hit in expected]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected])


def test_vectors_come_in_the_order_of_storing(record: Record) -> None:
    put(record, note(0), note(1))
    seen = record.mark()
    put(record, note(5), note(0))

    assert [held.span for held in record.vectors()] == [span(10, 20), span(50, 60), span(0, 10)]
    later = list(record.vectors(after_revision=seen.revision))
    assert [held.span for held in later] == [span(50, 60), span(0, 10)]
    text_vector, visual_vector = unit_vectors(2, seed=50)
    assert np.array_equal(later[0].text_vector, text_vector)
    assert np.array_equal(later[0].visual_vector, visual_vector)
    assert later[0].text_vector.shape == (WIDTH,)


def test_more_vectors_than_a_page_are_all_given(record: Record) -> None:
    put(record, *(note(number) for number in range(1030)))

    assert len({held.clip_id for held in record.vectors()}) == 1030


def test_the_mark_tells_of_every_change_to_vectors(record: Record) -> None:
    marks = [record.mark()]
    put(record, note(0))
    marks.append(record.mark())
    put(record, note(0))
    marks.append(record.mark())
    record.delete_span(span(0, 10))
    marks.append(record.mark())

    assert [mark.revision for mark in marks] == [0, 1, 2, 3]
    assert [mark.last_deletion for mark in marks] == [0, 0, 0, 3]
    assert len({mark.record_id for mark in marks}) == 1


def test_segments_gaps_and_ends_are_catalogued(record: Record) -> None:
    for _ in range(2):
        record.put_segment(segment(4, 8))
        record.put_segment(segment(0, 4))
        record.put_gap(gap(8, 12))
        record.put_ended(StreamEnded(stream_id="pond", end_ns=12 * NS_PER_S))

    assert record.segments() == [segment(0, 4), segment(4, 8)]
    assert record.segments([span(3, 4)]) == [segment(0, 4)]
    assert record.gaps() == [gap(8, 12)]
    assert record.ended_ns("pond") == 12 * NS_PER_S
    assert record.ended_ns("hill") is None


def test_a_gap_that_grew_is_one_gap(record: Record) -> None:
    record.put_gap(gap(8, 12))
    record.put_gap(gap(8, 30))

    assert record.gaps() == [gap(8, 30)]


def test_cursors_are_kept(record: Record) -> None:
    assert record.cursor("index") is None
    record.set_cursor("index", 7)
    record.set_cursor("index", 8)

    assert record.cursor("index") == 8


def test_many_cursors_are_read_together(record: Record) -> None:
    names = [f"analysed:camera-{number}" for number in range(3000)]
    for number in (0, 7, 2999):
        record.set_cursor(names[number], number)

    assert record.cursors(names) == {names[0]: 0, names[7]: 7, names[2999]: 2999}
    assert record.cursors([]) == {}


def test_counts_are_of_one_stream_or_of_all(record: Record) -> None:
    put(record, note(0, events=((1, 2, "x"), (3, 4, "y"))), note(0, stream="hill"))
    record.put_gap(gap(8, 12))
    record.put_segment(segment(0, 4))

    assert record.counts() == Counts(clips=2, events=2, gaps=1, segments=1)
    assert record.counts("hill") == Counts(clips=1, events=0, gaps=0, segments=0)


def test_epochs_may_differ_between_clips(record: Record) -> None:
    later = EPOCH_AT + timedelta(microseconds=1)
    put(record, note(0, events=((1, 2, "x"),)), note(1, events=((1, 2, "x"),), epoch_at=later))

    assert [held.epoch_at for held in record.events()] == [EPOCH_AT, later]


def test_a_record_in_order_passes_its_check(record: Record) -> None:
    put(record, note(0))
    record.check()


def test_several_threads_may_share_it(record: Record) -> None:
    def work(thread: int) -> None:
        for number in range(thread * 20, thread * 20 + 20):
            put(record, note(number, "a heron lands"))
            assert record.clip(note(number).clip_id) is not None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert record.counts("pond").clips == record.mark().revision == 80
