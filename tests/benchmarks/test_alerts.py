"""What the benchmark of alerts calls true, right, found and twice."""

import pytest

from benchmarks.alerts import ABSENT_S, OFTEN_S, Asked, Tally, absences, often


def test_alerts_are_counted_as_events() -> None:
    tally = Tally()
    tally.add(Asked("shown", "a", [(10, 14), (50, 54)]), [(8, 12), (15, 18), (80, 84)])

    assert (tally.right, tally.alerts, tally.found, tally.true) == (2, 3, 1, 2)
    assert tally.duplicates == 1
    assert tally.wrong == ["a: 1 missed, 1 invented"]


def test_an_alert_counts_to_one_true_time_and_to_none_that_is_too_short() -> None:
    tally = Tally()
    both = Asked("while", "a", [(10, 14), (16, 30)], brief_s=[(60, 60.5)])
    tally.add(both, [(11, 16), (17, 30), (61, 62), (90, 91)])

    assert (tally.right, tally.alerts, tally.found, tally.true) == (2, 3, 2, 2)
    assert tally.duplicates == 0
    assert tally.wrong == ["a: 0 missed, 1 invented"]


def test_what_notes_have_missed_no_rule_finds() -> None:
    tally = Tally()
    both = Asked("while", "a", [(10, 14), (50, 54), (90, 94)])
    tally.add(both, [(10, 14)], [[(9, 15), (51, 55), (90, 94)], [(10, 14), (91, 93)]])
    tally.add(Asked("absent", "a", [(10, 14)]), [])

    assert (tally.found, tally.true, tally.missed_by_notes) == (1, 4, 1)


def test_of_all_kinds_everything_is_added_up() -> None:
    shown, absent = Tally(watched_s=3600), Tally(watched_s=3600)
    shown.add(Asked("shown", "a", [(10, 14), (50, 54)]), [(11, 12)])
    absent.add(Asked("absent", "a", [(10, 14)]), [(11, 12), (80, 84)])
    told = Tally.of_all([shown, absent]).shown()

    assert (told["true"], told["alerts"], told["rules"]) == (3, 3, 2)
    assert told["recall"][0] == pytest.approx(2 / 3, abs=1e-3)
    assert told["false_alarms_a_day_of_a_rule"] == 12


def test_an_absence_is_true_from_when_it_has_lasted() -> None:
    times_s = [(100.0, 110.0), (110.0 + ABSENT_S + 50, 800.0)]

    assert absences(times_s, 900) == [(110.0 + ABSENT_S, 110.0 + ABSENT_S + 50)]


def test_often_is_true_while_enough_began() -> None:
    starts_s = [0.0, 100.0, 200.0, 300.0, 2000.0]

    assert often([(one, one + 4) for one in starts_s]) == [(200.0, 100.0 + OFTEN_S)]
