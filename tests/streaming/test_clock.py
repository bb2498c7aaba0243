"""Stamps of every kind of source come out on one line that only goes forward."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest

from streaming.clock import MediaClock, Stamped, Timeline, to_ns, to_ticks
from streaming.messages import NS_PER_S

TS = Fraction(1, 90_000)
FRAME = 6000  # 15 frames a second
Stamp = tuple[int | None, int | None]  # pts, dts


def placed(stamps: Sequence[Stamp], *, reorder: int = 0, live: bool = False) -> list[Stamped[int]]:
    """Place packets that are known by their numbers; live ones come as they are filmed."""
    line: Timeline[int] = Timeline(time_base=TS, interval_ticks=FRAME, reorder=reorder)
    found: list[Stamped[int]] = []
    for number, (pts, dts) in enumerate(stamps):
        at_ns = number * NS_PER_S // 15 if live else None
        found += line.place(number, pts=pts, dts=dts, at_ns=at_ns)
    return [*found, *line.flush()]


def steady(first: int, count: int) -> list[Stamp]:
    return [(first + index * FRAME, first + index * FRAME) for index in range(count)]


def test_steady_stamps_stay_as_they_are() -> None:
    found = placed(steady(126_000, 20))

    assert [stamped.pts for stamped in found] == list(range(126_000, 126_000 + 20 * FRAME, FRAME))
    assert [stamped.item for stamped in found] == list(range(20))


@pytest.mark.parametrize("size", [2**33, 2**32])
def test_a_counter_that_wraps_goes_on(size: int) -> None:
    stamps = [((pts or 0) % size, (dts or 0) % size) for pts, dts in steady(size - 30_000, 20)]

    found = placed(stamps)

    assert [stamped.dts for stamped in found] == [size - 30_000 + FRAME * k for k in range(20)]


def test_showing_wraps_before_decoding_does() -> None:
    dts = [2**33 - 2 * FRAME + FRAME * k for k in range(5)]
    stamps: list[Stamp] = [((at + 2 * FRAME) % 2**33, at % 2**33) for at in dts]

    found = placed(stamps)

    assert [stamped.pts for stamped in found] == [at + 2 * FRAME for at in dts]


def test_a_wrap_goes_on_for_years() -> None:
    day = 24 * 3600 * 90_000
    first = 2**33 - day
    line: Timeline[int] = Timeline(time_base=TS, interval_ticks=9 * 90_000)
    step = 9 * 90_000  # a frame each nine seconds

    found = [
        stamped.dts
        for number in range(40_000)  # over four days: three wraps
        for stamped in line.place(
            number, pts=(first + number * step) % 2**33, dts=(first + number * step) % 2**33
        )
    ]

    assert found == [first + number * step for number in range(40_000)]


def test_a_jump_back_costs_no_time() -> None:
    found = placed([*steady(900_000, 5), *steady(0, 5)])

    assert [stamped.dts for stamped in found] == [900_000 + FRAME * k for k in range(10)]
    assert [stamped.item for stamped in found] == list(range(10))


def test_a_jump_ahead_in_a_recording_is_time_left_out() -> None:
    found = placed([*steady(0, 5), *steady(9_000_000, 5)])

    assert [stamped.dts for stamped in found][4:6] == [4 * FRAME, 9_000_000]
    assert [stamped.item for stamped in found if stamped.after_jump] == [5]


def test_a_jump_of_days_is_damage() -> None:
    found = placed([*steady(0, 5), *steady(5 * 24 * 3600 * 90_000, 5)])

    assert [stamped.dts for stamped in found] == [FRAME * k for k in range(10)]


def test_a_live_source_cannot_jump_ahead_of_the_wall() -> None:
    hour = 3600 * 90_000

    found = placed([*steady(0, 5), *steady(hour, 5)], live=True)

    assert [stamped.dts for stamped in found] == [FRAME * k for k in range(10)]
    assert [stamped.item for stamped in found if stamped.after_restart] == [5]


def test_a_live_source_that_starts_anew_says_so() -> None:
    found = placed([*steady(900_000, 5), *steady(0, 5)], live=True)

    assert [stamped.item for stamped in found if stamped.after_restart] == [5]
    assert [stamped.item for stamped in found if stamped.after_jump] == [5]


def test_the_first_stamp_over_rtsp_is_a_guess() -> None:
    found = placed([(126_000, 126_000), *steady(0, 5)], live=True)

    assert [stamped.dts for stamped in found] == [126_000 + FRAME * k for k in range(6)]
    assert not any(stamped.after_jump for stamped in found)


@pytest.mark.parametrize("odd", [7_000_000, -7_000_000, 2**32 + 12_345])
def test_one_damaged_stamp_moves_nothing_else(odd: int) -> None:
    stamps = steady(10_000_000, 10)
    stamps[5] = (10_000_000 + odd, 10_000_000 + odd)

    found = placed(stamps)

    assert [stamped.item for stamped in found] == list(range(10))
    others = [stamped.dts for stamped in found if stamped.item != 5]
    assert others == [dts for index, (_, dts) in enumerate(steady(10_000_000, 10)) if index != 5]
    assert found[4].dts < found[5].dts < found[6].dts


def test_missing_stamps_are_reckoned() -> None:
    stamps = steady(0, 10)
    stamps[3] = (None, None)
    stamps[7] = (None, 7 * FRAME)

    found = placed(stamps)

    assert [stamped.pts for stamped in found] == [FRAME * k for k in range(10)]


def test_no_stamps_at_all_follow_the_frame_rate() -> None:
    found = placed([(None, None)] * 5)

    assert [stamped.pts for stamped in found] == [FRAME * k for k in range(5)]


def test_decoding_times_that_come_late_are_reckoned_back() -> None:
    stamps: list[Stamp] = [(0, None), (3 * FRAME, None), (FRAME, 0), (2 * FRAME, FRAME)]

    found = placed(stamps, reorder=2)

    assert [stamped.dts for stamped in found] == [-2 * FRAME, -FRAME, 0, FRAME]
    assert [stamped.pts for stamped in found] == [0, 3 * FRAME, FRAME, 2 * FRAME]


def test_garbage_still_only_goes_forward() -> None:
    stamps: list[Stamp] = [
        (noise, noise) for noise in (n * 7_919_999_999 % 2**33 for n in range(200))
    ]

    found = placed(stamps)

    assert [stamped.item for stamped in found] == list(range(200))
    assert all(one.dts < next_one.dts for one, next_one in pairwise(found))
    assert all(stamped.pts >= stamped.dts for stamped in found)


def test_a_steady_frame_a_minute_is_no_jump() -> None:
    minute = 60 * 90_000
    line: Timeline[int] = Timeline(time_base=TS, interval_ticks=minute)

    found = [s for k in range(5) for s in line.place(k, pts=k * minute, dts=k * minute)]

    assert [stamped.dts for stamped in found] == [minute * k for k in range(5)]
    assert not any(stamped.after_jump for stamped in found)


@pytest.mark.parametrize(
    ("late_s", "may_end_hole", "is_jump"),
    [
        (0.8, True, False),
        (1.5, True, True),
        (1.5, False, False),
        (9.0, False, False),
    ],
)
@pytest.mark.parametrize("wraps", [False, True])
def test_a_short_hole_ends_only_where_a_source_can_go_on(
    late_s: float, may_end_hole: bool, is_jump: bool, wraps: bool
) -> None:
    first = 2**33 - 10 * FRAME if wraps else 126_000
    late = round(late_s * 90_000)
    dts = [first + at * FRAME + (late if at >= 10 else 0) for at in range(20)]
    line: Timeline[int] = Timeline(time_base=TS, interval_ticks=FRAME, hole_s=0.9)

    found = [
        stamped
        for number, at in enumerate(dts)
        for stamped in line.place(
            number,
            pts=at % 2**33,
            dts=at % 2**33,
            may_end_hole=number == 10 and may_end_hole,
        )
    ]

    assert [stamped.dts for stamped in found] == dts
    assert [one.item for one in found if one.after_jump] == [10] * is_jump


def test_a_grid_point_is_never_missed_by_rounding() -> None:
    base = Fraction(1001, 30_000)
    clock = MediaClock(base, 0, 0)

    for start in range(0, 3000, 97):
        start_ns = clock.media_ns_of(start)
        for pts in range(start, start + 300):
            true_ns = pts * base * NS_PER_S
            assert start_ns + (pts - start) * base * NS_PER_S // 1 >= true_ns // 1
            if true_ns.denominator == 1:
                assert start_ns + ((pts - start) * base * NS_PER_S) // 1 >= true_ns


def test_ticks_and_nanoseconds_turn_into_each_other() -> None:
    assert to_ns(1, Fraction(1, 3)) == 333_333_334
    assert to_ticks(333_333_334, Fraction(1, 3)) == 2
    assert to_ticks(to_ns(77, TS), TS) in (77, 78)
    assert to_ns(-1, Fraction(1, 3)) == -333_333_333


def test_media_time_starts_where_it_is_told() -> None:
    clock = MediaClock(TS, pts=180_000, media_ns=5 * NS_PER_S)

    assert clock.media_ns_of(270_000) == 6 * NS_PER_S
    assert clock.first_pts_at(6 * NS_PER_S) == 270_000
    assert clock.first_pts_at(6 * NS_PER_S + 1) == 270_001
