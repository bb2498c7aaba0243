"""Follow one open source until it ends: place its pieces in media time and hand them on.

Knows one connection; `streaming.capture` decides what comes before and after it.

Where media time begins for a connection:
    recording          its first frame is at zero. What lies before the position is read past.
    live               the first keyframe is where the wall clock stood when it was taken, counted
                       from the epoch. `streaming.arrivals` tells when that was, a moment later:
                       until then pieces are held back. Of a source that is not settled in time,
                       or contradicts the position by much, it is where the clock stood when the
                       connection was begun, or later, and never before the position.
    live, begun anew   stamps that start again, within one connection, are placed like the first.
    live, seen before  a keyframe that the connection before gave too keeps its time, and what
                       lies before the position is left out.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streaming.arrivals import Arrivals
from streaming.clock import MediaClock, WallClock, to_ns
from streaming.cutter import LIVE, RECORDING, Piece
from streaming.delivery import Delivery
from streaming.errors import DamagedVideo, SourceStalled, StreamingError
from streaming.messages import NS_PER_S, GapReason, SegmentReady, Span
from streaming.progress import CapturePlan
from streaming.reel import Fingerprint, Reel
from streaming.segments import Label
from streaming.sources import Source
from streaming.tracks import AnyPacket

NAP_S = 0.2  # how long a wait may sleep before it looks whether to stop
PACE_MAX_WAIT_S = 10.0  # a hole in a recording is not waited for
HELD_MAX_NS = 30 * NS_PER_S  # of footage, until it is known when it was taken
PAST_MAX_NS = 60 * NS_PER_S  # servers give some of the past to those who join, and not more
TRUNCATED_NS = NS_PER_S  # a recording that ends so much before its declared end was cut short


def media_now_ns(clock: WallClock, epoch_at: datetime) -> int:
    """Where media time of a live stream stands now."""
    epoch_ns = (epoch_at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
    return max(0, clock.now_ns() - epoch_ns)


@dataclass(frozen=True, slots=True)
class Before:
    """What came before a connection."""

    begun_ns: int
    """Where media time of a live stream stood when connecting began."""
    outage: GapReason | None
    """Why nothing was captured since the position, of a live source."""
    known: Mapping[Fingerprint, int]
    """Media times of keyframes that the connection before gave."""


class Take:
    """One connection, from its first packet to its last."""

    def __init__(
        self,
        source: Source,
        plan: CapturePlan,
        clock: WallClock,
        delivery: Delivery,
        before: Before,
    ) -> None:
        self._source = source
        self._plan = plan
        self._clock = clock
        self._delivery = delivery
        self._before = before
        self._outage = before.outage
        self._media: MediaClock | None = None
        self._held: deque[tuple[Piece, Arrivals]] = deque()
        self._pace = _Pace(clock)
        self._silent_since_ns = clock.monotonic_ns()
        unpaced = source.is_finite and not plan.realtime
        self.reel = Reel(source, plan.policy or (RECORDING if unpaced else LIVE))
        self._arrivals = self.reel.arrivals  # those that `_media` was told by
        self.kept = 0

    def follow(self, *, stop: Callable[[], bool], on_kept: Callable[[SegmentReady], None]) -> bool:
        """Hand on all pieces; returns whether the source ended, rather than was told to stop.

        Of a live source what is left at the end is a piece too. A recording's is not, unless it
        really ended: the next start cuts it where it is always cut.

        Raises:
            SourceError, MediaError: the connection broke.
            Stopped
        """
        is_live = not self._source.is_finite
        stopped = False
        try:
            for packet in self._source.packets():
                if stopped := stop():
                    break
                at_ns = media_now_ns(self._clock, self._plan.epoch_at) if is_live else None
                for piece in self.reel.add(packet, at_ns=at_ns):
                    self._held.append((piece, self.reel.arrivals))
                if self._held:
                    self._hand_on(on_kept)
                if is_live:
                    self._watch(packet)
                elif self._plan.realtime:
                    self._pace.keep(self._read_ns(), self._delivery.position.end_ns, stop)
        except StreamingError:
            if is_live:
                self._finish(on_kept)
            raise
        if is_live or not stopped:
            self._finish(on_kept)
        return not stopped

    def close_recording(self) -> str:
        """Account for the part of a recording that could not be read; returns a warning or ''.

        Raises:
            DamagedVideo: there was not one piece in it.
        """
        if self._media is None:
            raise DamagedVideo(self._source.shown, reason="it holds no keyframe")
        declared_pts = self._source.declared_end_pts
        if declared_pts is None or self.reel.timeline.shift_ticks:
            return ""
        declared_ns = self._media.media_ns_of(declared_pts)
        if declared_ns < self._delivery.position.end_ns + TRUNCATED_NS:
            return ""
        self._delivery.gap_until(declared_ns, GapReason.CORRUPT)
        return "the recording is cut short or damaged at its end"

    def keyframe_times(self) -> dict[Fingerprint, int]:
        """Media times of the latest keyframes, by which the next connection may know its place."""
        if self._media is None:
            return dict(self._before.known)
        return {mark: self._media.media_ns_of(pts) for mark, pts in self.reel.keyframes}

    def _finish(self, on_kept: Callable[[SegmentReady], None]) -> None:
        for piece in self.reel.finish():
            self._held.append((piece, self.reel.arrivals))
        self._hand_on(on_kept, is_last=True)

    def _hand_on(self, on_kept: Callable[[SegmentReady], None], *, is_last: bool = False) -> None:
        """Keep the pieces that are held, unless it will soon be known better when they were."""
        while self._held:
            piece, arrivals = self._held[0]
            if arrivals is not self._arrivals:  # the source started its stamps anew
                self._media, self._arrivals = None, arrivals
            self._media = self._media or self._anchor(is_last=is_last)
            if self._media is None:
                return
            self._held.popleft()
            self._keep(piece, self._media, on_kept)

    def _keep(
        self, piece: Piece, media: MediaClock, on_kept: Callable[[SegmentReady], None]
    ) -> None:
        position_ns = self._delivery.position.end_ns
        start_ns, end_ns = media.media_ns_of(piece.start_pts), media.media_ns_of(piece.end_pts)
        if end_ns <= position_ns:
            return
        start_pts = piece.start_pts
        if start_ns < position_ns:  # part of it is published: only the rest is shown
            start_ns, start_pts = position_ns, media.first_pts_at(position_ns)
        reason = self._delivery.why_lost(self._outage or piece.why_after_hole)
        label = Label(
            span=Span(stream_id=self._plan.stream_id, start_ns=start_ns, end_ns=end_ns),
            epoch_at=self._plan.epoch_at,
            sequence=self._delivery.position.next_sequence,
            after_gap=reason if start_ns > position_ns else None,
        )
        file = self.reel.write(piece, label=label, start_pts=start_pts)
        ready = self._delivery.segment(file, suffix=self.reel.packaging.suffix)
        self.kept += 1
        self._outage = None
        on_kept(ready)

    def _anchor(self, *, is_last: bool) -> MediaClock | None:
        """Where the pieces that are held lie; None if that shall be asked again."""
        base, arrivals, first_pts = (
            self._source.time_base,
            self._arrivals,
            self._held[0][0].start_pts,
        )
        if self._source.is_finite:
            return MediaClock(base, first_pts, 0)
        for mark, pts in self.reel.keyframes:
            if (known_ns := self._before.known.get(mark)) is not None:
                return MediaClock(base, pts, known_ns)
        position_ns = self._delivery.position.end_ns
        taken_ns = self.reel.taken_ns(first_pts, arrivals)
        if taken_ns is None:
            return MediaClock(base, first_pts, max(self._before.begun_ns, position_ns))
        if arrivals.is_settled and taken_ns >= position_ns - PAST_MAX_NS:
            return MediaClock(base, first_pts, taken_ns)
        held_ns = to_ns(self._held[-1][0].end_pts - first_pts, base)
        is_last = is_last or arrivals is not self.reel.arrivals
        if not (is_last or arrivals.is_settled or held_ns > HELD_MAX_NS):
            return None
        return MediaClock(base, first_pts, max(taken_ns, self._before.begun_ns, position_ns))

    def _read_ns(self) -> int:
        """How far into a recording the packets have come, counted from its first."""
        first = self.reel.first_dts
        return 0 if first is None else to_ns(self.reel.latest_dts - first, self._source.time_base)

    def _watch(self, packet: AnyPacket) -> None:
        """Sound alone is silence: a camera may send on without pictures."""
        now_ns = self._clock.monotonic_ns()
        if packet.stream is self._source.video:
            self._silent_since_ns = now_ns
        elif now_ns - self._silent_since_ns > self._source.silent_s * NS_PER_S:
            raise SourceStalled(self._source.shown, after_s=self._source.silent_s)


class _Pace:
    """Waits so that a recording goes by as fast as it was filmed."""

    def __init__(self, clock: WallClock) -> None:
        self._clock = clock
        self._start: tuple[int, int] | None = None  # (monotonic, media)

    def keep(self, media_ns: int, from_ns: int, stop: Callable[[], bool]) -> None:
        """Wait until `media_ns` is due; what lies before `from_ns` was handed out earlier."""
        now_ns = self._clock.monotonic_ns()
        if self._start is None:
            if media_ns < from_ns:
                return
            self._start = (now_ns, media_ns)
        due_ns = self._start[0] + media_ns - self._start[1]
        if due_ns - now_ns > PACE_MAX_WAIT_S * NS_PER_S:
            self._start = (now_ns, media_ns)
            return
        while due_ns > now_ns and not stop():
            self._clock.sleep(min(NAP_S, (due_ns - now_ns) / NS_PER_S))
            now_ns = self._clock.monotonic_ns()
