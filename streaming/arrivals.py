"""When a live source's pictures were taken, told from when their packets came.

No packet comes before its picture was taken, so each arrival is a bound, and the least delayed of
many is the best one. Packets come late in heaps: what piled up while FFmpeg looked what a stream
is, or what a server kept for those who join. While such a heap is read the bound gets better with
every packet; once it stays, the source is *settled*: read as fast as it films. A source that never
settles is no camera, or was not heard for long enough.

Pure: knows ticks on the line of `streaming.clock`, and arrival times as they are given.
"""

from fractions import Fraction

from streaming.clock import to_ns
from streaming.messages import NS_PER_S

SETTLED_NS = 3 * NS_PER_S // 10  # so long without a better bound
JITTER_NS = NS_PER_S // 50  # a bound that is so little better is the same one


class Arrivals:
    """The arrivals of one connection's video packets."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._zero_ns: int | None = None  # when tick zero was taken, at the latest
        self._settling_ns = 0  # the bound when it last got better, and when that was
        self._better_at_ns = self._latest_at_ns = 0

    @property
    def is_settled(self) -> bool:
        """Whether the last packets came as they were filmed."""
        return self._latest_at_ns - self._better_at_ns >= SETTLED_NS

    def note(self, pts: int, at_ns: int) -> None:
        zero_ns = at_ns - to_ns(pts, self._time_base)
        if self._zero_ns is None or zero_ns < self._settling_ns - JITTER_NS:
            self._settling_ns, self._better_at_ns = zero_ns, at_ns
        self._zero_ns = zero_ns if self._zero_ns is None else min(self._zero_ns, zero_ns)
        self._latest_at_ns = at_ns

    def taken_ns(self, pts: int) -> int | None:
        """When the picture at `pts` was taken, at the latest; None before the first arrival."""
        return None if self._zero_ns is None else self._zero_ns + to_ns(pts, self._time_base)
