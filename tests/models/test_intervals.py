"""The intervals that benchmarks report hold what they promise."""

import numpy as np
import pytest

from models.intervals import bootstrap, wilson


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (8, 10, 0.4902, 0.9433),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_wilson_gives_the_textbook_intervals(
    right: int, total: int, low: float, high: float
) -> None:
    estimate = wilson(right, total)

    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)
    assert estimate.value == right / total


@pytest.mark.parametrize(("right", "total"), [(1, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_is_refused(right: int, total: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(right, total)


def test_wilson_holds_the_truth_95_times_in_100() -> None:
    rng, truth = np.random.default_rng(0), 0.9
    drawn = [wilson(int(rng.binomial(60, truth)), 60) for _ in range(2000)]

    assert 0.93 < np.mean([one.low <= truth <= one.high for one in drawn]) < 0.98


def test_bootstrap_agrees_with_theory_on_a_mean() -> None:
    rng = np.random.default_rng(1)
    sample = rng.normal(5.0, 2.0, size=400)
    estimate = bootstrap(list(sample), rng=rng)

    assert estimate.value == pytest.approx(sample.mean())
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 2.0 / 20, rel=0.15)


def test_bootstrap_takes_any_statistic_and_a_seed_repeats_it() -> None:
    def middle(sample: np.ndarray) -> float:
        return float(np.median(sample))

    first, second = (
        bootstrap([1, 2, 3, 4, 100], rng=np.random.default_rng(2), statistic=middle)
        for _ in range(2)
    )

    assert first == second
    assert first.value == 3


def test_bootstrap_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="need a list of numbers"):
        bootstrap([], rng=np.random.default_rng(0))


def test_an_estimate_is_shown_with_its_interval() -> None:
    assert str(wilson(50, 100)) == "0.500 [0.404, 0.596]"
