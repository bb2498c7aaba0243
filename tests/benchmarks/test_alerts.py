"""What the benchmark of alerts calls true, right, found and twice."""

import pytest

from benchmarks.alerts import (
    ABSENT_S,
    OFTEN_S,
    Asked,
    Raised,
    Tally,
    absences,
    asked_of,
    going_on,
    often,
)


def raised(*times_s: tuple[float, float]) -> list[Raised]:
    return [Raised(start_s, start_s, end_s) for start_s, end_s in times_s]


def test_alerts_are_counted_as_events() -> None:
    tally = Tally()
    tally.add(Asked("shown", "a", [(10, 14), (50, 54)]), raised((9, 12), (13, 18), (80, 84)))

    assert (tally.right, tally.alerts, tally.true) == (1, 3, 2)
    assert tally.duplicates == 1
    assert tally.wrong == ["a: 1 missed, 2 invented"]


def test_onsets_are_compared_and_not_what_overlaps() -> None:
    tally = Tally()
    tally.add(Asked("shown", "a", [(10, 40), (50, 54)]), raised((8.9, 30), (60.1, 61)))
    tally.add(Asked("shown", "b", [(10, 40), (50, 54)]), raised((9, 30), (60, 61)))
    tally.add(Asked("shown", "c", [(10, 40)]), [Raised(0, 9, 9), Raised(60, 70, 70)])

    assert tally.wrong == ["a: 2 missed, 2 invented", "c: 0 missed, 1 invented"]


def test_an_alert_counts_to_one_true_time_and_to_none_that_is_too_short() -> None:
    tally = Tally()
    both = Asked("while", "a", [(10, 14), (16, 30)], brief_s=[(60, 60.5)])
    tally.add(both, raised((11, 16), (17, 30), (61, 62), (90, 91)))

    assert (tally.right, tally.alerts, tally.true) == (2, 3, 2)
    assert tally.duplicates == 0
    assert tally.wrong == ["a: 0 missed, 1 invented"]


def test_what_notes_have_missed_no_rule_finds() -> None:
    tally = Tally()
    both = Asked("while", "a", [(10, 14), (50, 54), (90, 94)])
    tally.add(both, raised((10, 14)), [[(9, 15), (51, 55), (90, 94)], [(10, 14), (91, 93)]])
    tally.add(Asked("absent", "a", [(10, 14)]), [])

    assert (tally.right, tally.true, tally.missed_by_notes) == (1, 4, 1)


def test_of_all_kinds_everything_is_added_up() -> None:
    shown, absent = Tally(watched_s=3600), Tally(watched_s=3600)
    shown.add(Asked("shown", "a", [(10, 14), (50, 54)]), raised((11, 12)))
    absent.add(Asked("absent", "a", [(10, 14)]), raised((11, 12), (80, 84)))
    told = Tally.of_all([shown, absent]).shown()

    assert (told["true"], told["alerts"], told["rules"]) == (3, 3, 2)
    assert told["recall"][0] == pytest.approx(2 / 3, abs=1e-3)
    assert told["false_alarms_a_day_of_a_rule"] == 12


def test_an_absence_is_true_where_it_has_lasted() -> None:
    times_s = [(100.0, 110.0), (110.0 + ABSENT_S + 50, 800.0)]

    assert absences(times_s, 900) == [(110.0, 110.0 + ABSENT_S + 50)]


def test_often_is_true_until_less_than_half_as_many_began() -> None:
    starts_s = [0.0, 100.0, 200.0, 300.0, 850.0, 2000.0, 2100.0, 2200.0]

    assert often([(one, one + 4) for one in starts_s]) == [
        (200.0, 200.0 + OFTEN_S),
        (2200.0, 2100.0 + OFTEN_S),
    ]


def test_what_is_true_again_within_a_clip_goes_on() -> None:
    assert going_on([(30, 34), (0, 9), (4, 6), (44.5, 50)]) == [(0, 9), (30, 34), (44.5, 50)]
    assert going_on([(0, 4), (13, 17)]) == [(0, 17)]


def test_what_the_footage_shows_too_briefly_is_not_asked_for() -> None:
    asked = asked_of("shown", "a", [(0.0, 0.4), (20.0, 24.0)])

    assert (asked.true_s, asked.brief_s) == ([(20.0, 24.0)], [(0.0, 0.4)])


def test_what_came_again_is_no_duplicate_where_it_is_told_of() -> None:
    asked = asked_of("shown", "a", [(10.0, 14.0), (23.5, 27.0)])
    assert (asked.true_s, asked.again_s) == ([(10.0, 27.0)], [(23.5, 27.0)])

    once, twice = Tally(), Tally()
    once.add(asked, raised((10, 14), (24, 27)))
    twice.add(asked, raised((10, 14), (12, 16)))

    assert (once.right, once.alerts, once.duplicates) == (1, 2, 0)
    assert (twice.right, twice.alerts, twice.duplicates) == (1, 2, 1)
