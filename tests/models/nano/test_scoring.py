"""The ruler: parsed values, strictly."""

import pytest

from models.nano.scoring import Reply, Truth, Value, iou, score

CAR, GATE, DOG = "the red car crosses", "the gate opens", "the blue dog enters"


@pytest.mark.parametrize(
    ("wanted", "given", "is_right"),
    [
        (3, 3, True),
        (3, 4, False),
        (3, "3", False),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, None, False),
        (False, True, False),
        (CAR, CAR, True),
        (CAR, "the car crosses", False),
        (CAR, CAR + " twice", False),
        (CAR, (CAR,), False),
        ((CAR, GATE), (GATE, CAR), True),
        ((CAR, GATE), (CAR, GATE, CAR), True),
        ((CAR, GATE), (CAR,), False),
        ((CAR,), (CAR, GATE), False),
        ((CAR,), CAR, False),
        ((), (), True),
        ((), None, False),
    ],
)
def test_only_the_very_value_is_right(wanted: Value, given: Value, is_right: bool) -> None:
    assert score(Truth(value=wanted), Reply(given)).is_right is is_right


def test_what_touches_the_edge_may_be_listed_or_not() -> None:
    truth = Truth(value=(CAR,), either_way=frozenset({GATE}))

    assert score(truth, Reply((CAR,))).is_right
    assert score(truth, Reply((CAR, GATE))).is_right
    assert not score(truth, Reply((GATE,))).is_right
    assert not score(truth, Reply((CAR, DOG))).is_right


@pytest.mark.parametrize(("given", "is_near"), [(3, True), (2, True), (4, True), (5, False)])
def test_off_by_one_is_told_beside(given: int, is_near: bool) -> None:
    assert score(Truth(value=3), Reply(given)).is_near is is_near


def test_a_moment_is_right_from_half_an_overlap_on() -> None:
    truth = Truth(interval_s=(10.0, 14.0))

    assert score(truth, Reply(intervals_s=[(10.0, 12.0)])).is_right
    assert not score(truth, Reply(intervals_s=[(10.0, 11.9)])).is_right
    assert not score(truth, Reply(intervals_s=[])).is_right


def test_naming_many_moments_does_not_pay() -> None:
    given = score(Truth(interval_s=(10.0, 14.0)), Reply(intervals_s=[(0.0, 4.0), (10.0, 14.0)]))

    assert not given.is_right
    assert (given.iou, given.best_iou) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0.0, 4.0), 1.0), ((2.0, 6.0), 1 / 3), ((4.0, 8.0), 0.0), ((3.0, 3.0), 0.0)],
)
def test_intervals_overlap_by_their_share_of_the_union(
    other: tuple[float, float], expected: float
) -> None:
    assert iou((0.0, 4.0), other) == pytest.approx(expected)


def test_a_truth_is_an_interval_or_a_value() -> None:
    with pytest.raises(ValueError, match="an interval or a value"):
        Truth()
