"""95% intervals for what is measured: Wilson for shares, bootstrap for everything else.

Knows nothing of what was measured. Draws from a generator it is given, so that a report can be
repeated to the digit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and the interval that holds the true one in 95 of 100 such measurements."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(right: int, total: int) -> Estimate:
    """Estimate a share from `right` of `total` trials; honest near 0 and 1 and for few trials."""
    if not 0 <= right <= total or total == 0:
        raise ValueError(f"{right} of {total} is no share")
    share = right / total
    shrink = 1 + Z_95**2 / total
    centre = (share + Z_95**2 / (2 * total)) / shrink
    reach = Z_95 / shrink * math.sqrt(share * (1 - share) / total + (Z_95 / (2 * total)) ** 2)
    return Estimate(
        share,
        0.0 if right == 0 else centre - reach,  # the formula's own bounds, without its rounding
        1.0 if right == total else centre + reach,
    )


def bootstrap(
    values: Sequence[float] | NDArray[np.float64],
    *,
    rng: np.random.Generator,
    statistic: Callable[[NDArray[np.float64]], float] = lambda sample: float(sample.mean()),
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate a statistic of `values`, by the percentiles of what resamples of them give.

    Each may be a number or a row of numbers. Values that hang together (questions about one script)
    must be summed up to one first.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim not in (1, 2) or not sample.size:
        raise ValueError(f"need a list of numbers, got an array of shape {sample.shape}")
    drawn = [
        statistic(sample[rng.integers(len(sample), size=len(sample))]) for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(statistic(sample), float(low), float(high))
