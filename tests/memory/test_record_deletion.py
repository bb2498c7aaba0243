"""What every `Record` deletes, it deletes wholly, and what was forgotten stays away."""

import pytest

from memory.dict_record import DictRecord
from memory.errors import SpanForgotten
from memory.record import Record
from memory.spans import whole_stream
from memory.values import Counts
from streaming.messages import NS_PER_S, StreamEnded
from tests.memory.notes import WIDTH, gap, note, put, segment, span, spec


def test_deleting_a_span_takes_clips_and_segments_whole(record: Record) -> None:
    put(record, *(note(n, "a heron lands", ((1, 2, "a heron lands"),)) for n in range(4)))
    put(record, note(1, stream="hill"))
    for start_s in range(0, 40, 4):
        record.put_segment(segment(start_s, start_s + 4))

    deleted = record.delete_span(span(15, 21))

    assert deleted.clip_ids == (note(1).clip_id, note(2).clip_id)
    assert (deleted.events, deleted.segments) == (2, 3)
    assert deleted.size_bytes > 2 * 2 * WIDTH * 4
    assert [held.span for held in record.clips()] == [
        span(10, 20, stream="hill"),
        span(0, 10),
        span(30, 40),
    ]
    assert [held.span.start_ns // NS_PER_S for held in record.segments()] == [
        0,
        4,
        8,
        24,
        28,
        32,
        36,
    ]
    assert len(record.search_words("heron", limit=9)) == 2
    assert len(record.events()) == 2
    assert record.clip_ids() == {held.clip_id for held in record.clips()}


def test_a_note_that_no_word_finds_is_deleted_like_any_other(record: Record) -> None:
    put(record, note(0, "..."), note(1, "a heron lands"))

    assert record.delete_span(span(0, 10)).clip_ids == (note(0).clip_id,)
    assert len(record.search_words("heron", limit=9)) == 1


def test_every_engine_says_the_same_size(record: Record) -> None:
    exact = DictRecord()
    exact.add_stream(spec())
    for made in (record, exact):
        put(made, note(0, "ein Käfer fliegt"))

    deleted = exact.delete_span(span(0, 1))
    assert record.delete_span(span(0, 1)) == deleted


def test_of_a_gap_only_the_part_inside_is_deleted(record: Record) -> None:
    record.put_gap(gap(10, 40))

    assert record.delete_span(span(20, 30)).gaps == 1
    assert record.gaps() == [gap(10, 20), gap(30, 40)]


def test_deleting_twice_deletes_once(record: Record) -> None:
    put(record, note(0), note(1))

    assert len(record.delete_span(span(0, 10)).clip_ids) == 1
    revision = record.mark().revision
    assert record.delete_span(span(0, 10)).clip_ids == ()
    assert record.mark().revision == revision


def test_what_was_forgotten_does_not_come_back(record: Record) -> None:
    put(record, *(note(number) for number in range(4)))
    record.begin_forgetting(span(10, 20))
    assert record.unfinished_forgetting() == [span(10, 20)]
    record.delete_span(span(10, 20))
    assert record.unfinished_forgetting() == []

    with pytest.raises(SpanForgotten, match="forgotten on request"):
        put(record, note(1))
    with pytest.raises(SpanForgotten):
        record.put_segment(segment(18, 22))
    record.put_gap(gap(5, 25))
    put(record, note(2))
    assert [held.span for held in record.clips()] == [span(0, 10), span(20, 30), span(30, 40)]
    assert record.gaps() == [gap(5, 10), gap(20, 25)]


def test_forgetting_into_the_future_stops_at_what_is_known(record: Record) -> None:
    put(record, note(0))
    record.begin_forgetting(whole_stream("pond"))
    record.begin_forgetting(whole_stream("hill"))
    record.begin_forgetting(whole_stream("sea"))
    record.delete_span(whole_stream("pond"))

    put(record, note(1), note(0, stream="hill"))
    assert [held.span for held in record.clips()] == [span(0, 10, stream="hill"), span(10, 20)]


def test_removing_a_stream_takes_everything_of_it(record: Record) -> None:
    put(record, note(0, events=((1, 2, "a heron lands"),)), note(0, stream="hill"))
    record.put_gap(gap(10, 12))
    record.put_segment(segment(0, 4))
    record.put_ended(StreamEnded(stream_id="pond", end_ns=12 * NS_PER_S))
    record.begin_forgetting(span(0, 1))

    assert len(record.remove_stream("pond").clip_ids) == 1
    assert len(record.remove_stream("pond").clip_ids) == 0

    assert [held.stream_id for held in record.streams()] == ["hill"]
    assert record.counts() == Counts(clips=1, events=0, gaps=0, segments=0)
    record.add_stream(spec("pond"))
    assert record.ended_ns("pond") is None
    put(record, note(0))
    assert record.counts("pond").clips == 1
