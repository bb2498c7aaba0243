"""What is done when analysis cannot keep up with a camera: one of three policies, by name.

    wait         the backlog waits on the disk and in the log; nothing is lost
    drop-oldest  segments too far behind are not analysed: their time is a gap, their footage stays
    thin         segments too far behind are looked at half as often, and their clips say so

How far a segment lies behind is wall time now less the wall time of its end. The policy sets in
above a limit and lets go below half of it, so that what it leaves out is in few, long pieces.

What has an end in sight is never behind: a file, or a camera whose stream is over. What the record
holds as skipped stays skipped, whatever is set later.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from memory.record import Record
from memory.spans import outside
from memory.values import StreamSpec, WhenBehind
from services.logs import about
from services.progress import is_recording
from streaming.clock import WallClock
from streaming.messages import NS_PER_S, GapReason, SegmentReady, Span, StreamGap
from streaming.sampling import SamplingPolicy
from streaming.take import media_now_ns

LET_GO = 0.5  # of the limit: where a policy that has set in ends

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """How far analysis may fall behind, and what is done of a stream that says nothing itself."""

    when_behind: WhenBehind
    behind_s: float


class BackPressure:
    """Says of each segment, in order, how it is to be treated. For one thread."""

    def __init__(self, record: Record, limit: Limit, clock: WallClock) -> None:
        self._record = record
        self._limit = limit
        self._clock = clock
        self._shedding: set[str] = set()

    def treatment(self, spec: StreamSpec, segment: SegmentReady) -> WhenBehind:
        """`WAIT` where the segment is to be analysed as any other."""
        if skipped_in(self._record, segment.span):
            return WhenBehind.DROP_OLDEST
        policy = spec.when_behind or self._limit.when_behind
        if policy is WhenBehind.WAIT or is_recording(spec):
            return WhenBehind.WAIT
        if self._record.ended_ns(spec.stream_id) is not None:
            return WhenBehind.WAIT
        live_ns = media_now_ns(self._clock, segment.epoch_at)
        behind_s = (live_ns - segment.span.end_ns) / NS_PER_S
        return policy if self._sheds(spec.stream_id, behind_s, policy) else WhenBehind.WAIT

    def forget(self, stream_ids: Iterable[str]) -> None:
        """Others look after these now."""
        self._shedding.difference_update(stream_ids)

    def _sheds(self, stream_id: str, behind_s: float, policy: WhenBehind) -> bool:
        did = stream_id in self._shedding
        does = behind_s > self._limit.behind_s * (LET_GO if did else 1.0)
        if does != did:
            self._shedding ^= {stream_id}
            how = f"from now on: {policy.value}" if does else "all of it is analysed again"
            said = about(stream_id=stream_id)
            log.warning("%s: %.0f s behind, %s", stream_id, behind_s, how, extra=said)
        return does


def thinned(policy: SamplingPolicy) -> SamplingPolicy:
    """Half as often, to the same instants where they remain."""
    return replace(policy, fps=policy.rate / 2)


def skipped_in(record: Record, span: Span) -> list[StreamGap]:
    """The gaps in a span that are there because analysis was behind."""
    return [gap for gap in record.gaps([span]) if gap.reason is GapReason.SKIPPED]


def put_skipped(record: Record, span: Span) -> int:
    """Name a span as skipped, unless it is; returns how many gaps that are new.

    Stretches that touch become one gap.
    """
    begun = 0
    for part in outside(span, [gap.span for gap in skipped_in(record, span)]):
        start_ns = part.start_ns
        if start_ns:
            just_before = part.model_copy(update={"start_ns": start_ns - 1, "end_ns": start_ns})
            start_ns = min([start_ns, *(g.span.start_ns for g in skipped_in(record, just_before))])
        begun += start_ns == part.start_ns
        whole = part.model_copy(update={"start_ns": start_ns})
        record.put_gap(StreamGap(span=whole, reason=GapReason.SKIPPED))
    return begun


def skipped_ns(record: Record, span: Span) -> int:
    """How much of a span was skipped."""
    return sum(gap.span.end_ns - gap.span.start_ns for gap in skipped_in(record, span))
