"""What a question is about, and what of that was watched."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from memory.dict_record import DictRecord
from memory.values import StreamSpec
from services.coverage import asked_of, coverage_of
from services.errors import RangeInFuture
from services.moments import AgoMoment, Bounds, MediaMoment, WallMoment
from services.progress import note_remembered
from streaming.messages import NS_PER_S, GapReason, SegmentReady, Span, StreamEnded, StreamGap

EPOCH = datetime(2025, 6, 1, 12, tzinfo=UTC)
NOW = EPOCH + timedelta(hours=2)


def spec(name: str, url: str = "/films/a.mp4") -> StreamSpec:
    return StreamSpec(stream_id=name, url=url, realtime=False, added_at=EPOCH, epoch_at=EPOCH)


def span(start_s: float, end_s: float, name: str = "film") -> Span:
    return Span(stream_id=name, start_ns=round(start_s * NS_PER_S), end_ns=round(end_s * NS_PER_S))


def segment(piece: Span) -> SegmentReady:
    return SegmentReady(
        span=piece,
        epoch_at=EPOCH,
        sequence=0,
        uri="x",
        pts_origin=0,
        size_bytes=1,
        frame_count=1,
        codec="h264",
        width_px=1,
        height_px=1,
    )


def filled(*edges_s: float, name: str = "film", analysed_s: float | None = None) -> DictRecord:
    """A record whose stream was captured between the edges, and analysed to the end or less."""
    record = DictRecord()
    record.add_stream(spec(name))
    for start_s, end_s in pairwise(edges_s):
        record.put_segment(segment(span(start_s, end_s, name)))
    until_s = edges_s[-1] if analysed_s is None else analysed_s
    note_remembered(record, record.stream(name), round(until_s * NS_PER_S))
    return record


def gaps(record: DictRecord, bounds: Bounds) -> list[tuple[float, float, str]]:
    asked = asked_of(record, record.streams(), bounds, now_at=NOW)
    coverage = coverage_of(record, asked)
    missed_ns = sum(gap.span.end_ns - gap.span.start_ns for gap in coverage.gaps)
    assert coverage.watched_ns == coverage.asked_ns - missed_ns
    return [
        (gap.span.start_ns / NS_PER_S, gap.span.end_ns / NS_PER_S, gap.reason.value)
        for gap in coverage.gaps
    ]


def test_what_is_stored_and_analysed_was_watched() -> None:
    assert gaps(filled(0, 4, 8, 20), Bounds()) == []


def test_a_reported_gap_is_named() -> None:
    record = filled(0, 4, 8)
    record.put_gap(StreamGap(span=span(8, 20), reason=GapReason.STALLED))
    record.put_segment(segment(span(20, 30)))
    note_remembered(record, record.stream("film"), 30 * NS_PER_S)

    assert gaps(record, Bounds()) == [(8, 20, "stalled")]
    assert gaps(record, Bounds(MediaMoment(15 * NS_PER_S), MediaMoment(25 * NS_PER_S))) == [
        (15, 20, "stalled")
    ]


def test_a_hole_that_nobody_reported_is_named_too() -> None:
    record = filled(0, 4)
    record.put_segment(segment(span(6, 10)))
    note_remembered(record, record.stream("film"), 10 * NS_PER_S)

    assert gaps(record, Bounds()) == [(4, 6, "not running")]


def test_what_is_stored_but_unreadable_was_not_watched() -> None:
    record = filled(0, 4, 8, 12)
    record.put_gap(StreamGap(span=span(4, 8), reason=GapReason.CORRUPT))

    assert gaps(record, Bounds()) == [(4, 8, "corrupt")]


def test_what_is_not_analysed_yet_is_named_so() -> None:
    assert gaps(filled(0, 4, 8, 12, analysed_s=6), Bounds()) == [(6, 12, "not analysed yet")]


def test_now_is_the_end_of_a_recording() -> None:
    (asked,) = asked_of(
        record := filled(0, 100),
        record.streams(),
        Bounds(start=AgoMoment(30 * NS_PER_S)),
        now_at=NOW,
    )

    assert asked.span == span(70, 100)


def test_now_is_the_clock_of_a_camera() -> None:
    record = DictRecord()
    record.add_stream(spec("door", "rtsp://camera/1"))
    record.put_segment(segment(span(0, 100, "door")))
    note_remembered(record, record.stream("door"), 100 * NS_PER_S)

    assert gaps(record, Bounds(start=AgoMoment(60 * NS_PER_S))) == [(7140, 7200, "not running")]


def test_a_camera_that_ended_has_no_now() -> None:
    record = DictRecord()
    record.add_stream(spec("door", "rtsp://camera/1"))
    record.put_segment(segment(span(0, 100, "door")))
    record.put_ended(StreamEnded(stream_id="door", end_ns=100 * NS_PER_S))

    (asked,) = asked_of(record, record.streams(), Bounds(), now_at=NOW)

    assert asked.span == span(0, 100, "door")


def test_a_wall_time_is_resolved_by_the_epoch() -> None:
    bounds = Bounds(
        WallMoment(EPOCH + timedelta(seconds=10)), WallMoment(EPOCH + timedelta(seconds=20))
    )
    record = filled(0, 100)

    (asked,) = asked_of(record, record.streams(), bounds, now_at=NOW)

    assert asked.span == span(10, 20)


def test_a_range_before_the_beginning_is_empty() -> None:
    bounds = Bounds(
        WallMoment(EPOCH - timedelta(seconds=20)), WallMoment(EPOCH - timedelta(seconds=10))
    )
    record = filled(0, 100)

    (asked,) = asked_of(record, record.streams(), bounds, now_at=NOW)

    assert asked.span is None
    assert coverage_of(record, [asked]).asked_ns == 0


def test_a_range_in_the_future_is_refused() -> None:
    record = filled(0, 100)

    with pytest.raises(RangeInFuture, match=r"0:03:20\.000.*0:01:40\.000"):
        asked_of(record, record.streams(), Bounds(MediaMoment(200 * NS_PER_S)), now_at=NOW)


def test_the_end_of_a_range_is_cut_to_what_there_is() -> None:
    record = filled(0, 100)

    (asked,) = asked_of(
        record, record.streams(), Bounds(end=MediaMoment(900 * NS_PER_S)), now_at=NOW
    )

    assert asked.span == span(0, 100)


def test_a_stream_that_has_not_begun_is_left_out() -> None:
    record = DictRecord()
    record.add_stream(spec("film").model_copy(update={"epoch_at": None}))

    assert asked_of(record, record.streams(), Bounds(), now_at=NOW) == []
