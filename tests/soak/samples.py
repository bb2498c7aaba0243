"""What processes hold over time, and whether they hold ever more. Pure, but for `sample_of`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import psutil

S_PER_H = 3600
MIB = 2**20
HELD = ("files", "threads", "rss_mib")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process held at one time."""

    at_s: float
    files: int
    threads: int
    rss_mib: float


def sample_of(pid: int, *, at_s: float) -> Sample:
    process = psutil.Process(pid)
    with process.oneshot():
        rss_mib = round(process.memory_info().rss / MIB, 1)
        return Sample(round(at_s, 1), process.num_fds(), process.num_threads(), rss_mib)


def slope_per_h(samples: Sequence[Sample], what: str) -> float:
    """The median of the slopes between any two samples (Theil-Sen): outliers do not move it."""
    slopes = [
        (getattr(two, what) - getattr(one, what)) / (two.at_s - one.at_s) * S_PER_H
        for one, two in combinations(samples, 2)
        if two.at_s > one.at_s
    ]
    return round(median(slopes), 2) if slopes else 0.0


def has_grown(samples: Sequence[Sample], what: str) -> bool:
    """Whether at the end there is clearly more of it than there ever was in the beginning.

    What comes and goes with connections does not count, nor that a pool of connections takes in
    one or two more; what every second cycle leaves behind does.
    """
    quarter = max(1, len(samples) // 4)
    first, last = samples[:quarter], samples[-quarter:]
    more = min(getattr(one, what) for one in last) - max(getattr(one, what) for one in first)
    return more > quarter


def summary_of(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Of each thing that is held: at first, in the end, the most, and the slope."""
    return {
        what: {
            "first": getattr(samples[0], what),
            "last": getattr(samples[-1], what),
            "most": max(getattr(one, what) for one in samples),
            "per_hour": slope_per_h(samples, what),
        }
        for what in HELD
    }
