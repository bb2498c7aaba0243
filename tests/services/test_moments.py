"""A moment is read as people write it, and means one instant of a stream's media time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.errors import BadTime, ReversedRange
from services.moments import (
    AgoMoment,
    Bounds,
    MediaMoment,
    Moment,
    WallMoment,
    parse_bounds,
    parse_moment,
    show_ns,
)
from streaming.messages import NS_PER_S

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2025, 6, 15, 16, 30, tzinfo=ZONE)


def at(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2025, 6, day, hour, minute, second, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1:02:03", 3723),
        ("01:02:03.5", 3723.5),
        ("2:03", 123),
        ("90", 90),
        ("90.25", 90.25),
        ("120:00:00", 432_000),
        ("minute 10", 600),
        ("10 minutes in", 600),
    ],
)
def test_an_offset_counts_from_the_start_of_the_footage(text: str, seconds: float) -> None:
    moment = parse_moment(text, now_at=NOW)

    assert isinstance(moment, MediaMoment)
    assert moment.ns == seconds * NS_PER_S


def test_an_offset_is_exact_to_the_nanosecond() -> None:
    assert parse_moment("0:00:00.123456789", now_at=NOW) == MediaMoment(123_456_789)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-06-01", at(1, 0)),
        ("2025-06-01T08:30", at(1, 8, 30)),
        ("2025-06-01 08:30:10", at(1, 8, 30, 10)),
        ("2025-06-01T06:30:10Z", at(1, 8, 30, 10)),
        ("2025-06-01T09:30:10+03:00", at(1, 8, 30, 10)),
        ("yesterday at 14:00", at(14, 14)),
        ("14:00 yesterday", at(14, 14)),
        ("today", at(15, 0)),
        ("2 pm", at(15, 14)),
        ("2:15 pm yesterday", at(14, 14, 15)),
        ("12 am", at(15, 0)),
        ("11:30 pm", at(14, 23, 30)),
    ],
)
def test_a_wall_time_is_in_the_zone_of_whoever_asks(text: str, expected: datetime) -> None:
    moment = parse_moment(text, now_at=NOW)

    assert isinstance(moment, WallMoment)
    assert moment.at == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 minutes ago", 600),
        ("half an hour ago", 1800),
        ("an hour and a half ago", 5400),
        ("1 hour and 20 minutes ago", 4800),
        ("2h", 7200),
        ("10m", 600),
        ("1h30m", 5400),
        ("3 days ago", 259_200),
    ],
)
def test_a_duration_counts_back_from_now(text: str, seconds: int) -> None:
    moment = parse_moment(text, now_at=NOW)

    assert isinstance(moment, AgoMoment)
    assert moment.ns == seconds * NS_PER_S


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nonsense", "-5", "now", "1:2:3", "0:75:00", "0:00:75", "25:00 today", "13 pm"),
        *("0 pm", "2025-13-02", "2025-06-01T25:00", "0 minutes ago", "99999999 hours", "1e9"),
        "1:00 or so",
    ],
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        parse_moment(text, now_at=NOW)

    assert "1:02:03.5" in str(caught.value)


def test_a_long_text_that_is_no_time_is_not_repeated_whole() -> None:
    with pytest.raises(BadTime) as caught:
        parse_moment("x" * 100_000, now_at=NOW)

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("0:20:00", "0:10:00"),
        ("0:10:00", "0:10:00"),
        ("2025-06-02", "2025-06-01"),
        ("5m", "10m"),
    ],
)
def test_a_reversed_range_is_refused(since: str, until: str) -> None:
    with pytest.raises(ReversedRange):
        parse_bounds(since, until, now_at=NOW)


def test_a_reversed_range_of_mixed_moments_shows_once_the_stream_is_known() -> None:
    bounds = parse_bounds("0:20:00", "2025-06-15T10:05", now_at=NOW)

    with pytest.raises(ReversedRange):
        bounds.resolve(epoch_at=at(15, 10), now_ns=3600 * NS_PER_S)


@pytest.mark.parametrize(
    ("start", "end", "expected_s"),
    [
        (None, None, (0, 3600)),
        (MediaMoment(60 * NS_PER_S), None, (60, 3600)),
        (AgoMoment(60 * NS_PER_S), None, (3540, 3600)),
        (AgoMoment(9000 * NS_PER_S), None, (0, 3600)),
        (WallMoment(at(15, 10, 15)), WallMoment(at(15, 10, 20)), (900, 1200)),
        (WallMoment(at(15, 9, 0)), WallMoment(at(15, 9, 30)), (0, 0)),
        (None, MediaMoment(9000 * NS_PER_S), (0, 3600)),
    ],
)
def test_bounds_become_media_time_within_what_exists(
    start: Moment | None, end: Moment | None, expected_s: tuple[int, int]
) -> None:
    start_ns, end_ns = Bounds(start, end).resolve(
        epoch_at=at(15, 10).astimezone(UTC), now_ns=3600 * NS_PER_S
    )

    assert (start_ns, end_ns) == (expected_s[0] * NS_PER_S, expected_s[1] * NS_PER_S)


def test_open_ends_are_filled_from_outside() -> None:
    inner = Bounds(start=MediaMoment(5))

    assert inner.within(Bounds(MediaMoment(1), MediaMoment(9))) == Bounds(
        MediaMoment(5), MediaMoment(9)
    )


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (0, "0:00:00.000"),
        (3_723_999_999_999, "1:02:03.999"),
        (360_000 * NS_PER_S, "100:00:00.000"),
    ],
)
def test_a_time_is_shown_cut_to_the_millisecond(ns: int, shown: str) -> None:
    assert show_ns(ns) == shown
    assert show_ns(ns, decimals=0) == shown.partition(".")[0]
