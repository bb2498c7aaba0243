"""When pictures were taken, told from when their packets came."""

from fractions import Fraction
from random import Random

import pytest

from streaming.arrivals import Arrivals
from streaming.messages import NS_PER_S

MS = NS_PER_S // 1000
TS = Fraction(1, 90_000)
STEP = 6000  # a picture every 66 ms and two thirds
BEGUN_NS = 1_000 * NS_PER_S


def taken(number: int) -> int:
    return BEGUN_NS + number * NS_PER_S * STEP // 90_000


def test_what_piled_up_is_older_than_it_came() -> None:
    arrivals = Arrivals(TS)
    read_ns = taken(45)

    for number in range(45):  # three seconds, read at once
        arrivals.note(number * STEP, read_ns + number * 10_000)
        assert not arrivals.is_settled
    for number in range(45, 60):
        arrivals.note(number * STEP, taken(number) + 5 * MS)

    assert arrivals.is_settled
    assert arrivals.taken_ns(0) == pytest.approx(BEGUN_NS + 5 * MS, abs=1000)


def test_delays_that_vary_do_no_harm() -> None:
    arrivals, rng = Arrivals(TS), Random(1)

    for number in range(60):
        arrivals.note(number * STEP, taken(number) + int(rng.expovariate(1 / 30) * MS))

    found_ns = arrivals.taken_ns(59 * STEP)
    assert found_ns is not None
    assert 0 <= found_ns - taken(59) < 5 * MS


def test_a_slow_camera_settles_with_its_second_picture() -> None:
    arrivals = Arrivals(TS)

    arrivals.note(0, BEGUN_NS)
    assert not arrivals.is_settled
    arrivals.note(90_000, BEGUN_NS + NS_PER_S)
    assert arrivals.is_settled


def test_what_comes_faster_than_it_was_filmed_never_settles() -> None:
    arrivals = Arrivals(TS)

    for number in range(2000):
        arrivals.note(number * STEP, BEGUN_NS + number * 20 * MS)

    assert not arrivals.is_settled


def test_nothing_is_known_before_the_first_arrival() -> None:
    assert Arrivals(TS).taken_ns(0) is None
