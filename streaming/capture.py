"""Capture one stream: connect, cut, store, publish, and connect again for ever.

    recording   ends with StreamEnded. Started again, it is read from its beginning without storing
                until the position is reached, so its cuts and times come out the same.
    camera      reconnects for ever, at growing, spread intervals. Every outage is a StreamGap.


A capture is used once: `run` blocks until the stream ended, failed for good, or was told to stop.
What goes wrong with the source shows in the status; `run` itself raises only for bugs.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from streaming.clock import WallClock
from streaming.delivery import Delivery, Stopped
from streaming.errors import (
    BusError,
    FootageError,
    FootageFull,
    MediaError,
    SourceMissing,
    SourceStalled,
    SourceUnauthorised,
    SourceUnreachable,
    StreamingError,
    UnreadableMedia,
)
from streaming.footage import FootageStore
from streaming.messages import NS_PER_S, CaptureMessage, GapReason, SegmentReady
from streaming.progress import CapturePlan, CapturePosition, CaptureStatus, StreamState
from streaming.reel import Fingerprint
from streaming.sources import ALWAYS_LIVE, Source, open_source, parse_source
from streaming.take import NAP_S, Before, Take, media_now_ns

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0
REFUSED_RETRY_S = 60.0  # cameras lock accounts after too many wrong passwords
OUTAGE_REPORT_NS = 60 * NS_PER_S  # a long outage is published in parts: nobody waits for its end

MAY_COME = (SourceUnreachable, SourceStalled, SourceMissing, UnreadableMedia)
"""What a network source that never worked may still recover from."""


class Capture:
    """One stream's capture."""

    def __init__(
        self,
        plan: CapturePlan,
        *,
        store: FootageStore,
        publish: Callable[[CaptureMessage], None],
        clock: WallClock,
        resume_from: CapturePosition | None = None,
        on_status: Callable[[CaptureStatus], None] | None = None,
    ) -> None:
        """
        Args:
            publish: raises `BusError` when it cannot; it is asked again.
            resume_from: what follows from the messages published so far.
        """
        self.status = CaptureStatus()
        """The latest; replaced whole, so any thread may read it."""
        self._plan = plan
        self._clock = clock
        self._on_status = on_status
        self._rng = random.Random(plan.stream_id)  # streams that fail together retry apart
        self._stop = Event()
        self._has_worked = resume_from is not None
        self._is_live: bool | None = None
        self._outage: GapReason | None = GapReason.NOT_RUNNING
        self._known: dict[Fingerprint, int] = {}
        self._failures = 0
        self._earlier = Tally()
        self._delivery = Delivery(
            stream_id=plan.stream_id,
            epoch_at=plan.epoch_at,
            store=store,
            publish=publish,
            position=resume_from or CapturePosition(),
            pause=self._pause,
        )

    def run(self, stop: Event) -> None:
        """Capture until the stream has ended, has failed for good, or `stop` is set.

        `stop` is seen between two packets; a source that is silent just then delays it by its
        read time-out at most.
        """
        self._stop = stop
        if self._delivery.position.has_ended:
            self._show(state=StreamState.ENDED, detail="captured to its end earlier")
            return
        started_ns = media_now_ns(self._clock, self._plan.epoch_at)
        try:
            self._is_live = parse_source(self._plan.url).scheme in ALWAYS_LIVE or None
            self._delivery.adopt()
            while not stop.is_set():
                error = self._connect()
                if error is None:
                    return
                self._note_outage(error, started_ns)
                self._wait_to_reconnect(error)
        except Stopped:
            return
        except StreamingError as error:
            self._show(state=StreamState.FAILED, detail=str(error), error=error)
        finally:
            self._delivery.flush()
            self._show(waiting_messages=self._delivery.waiting_messages)

    def _connect(self) -> StreamingError | None:
        """Follow one connection; returns why there shall be another, None if there shall not.

        Raises:
            StreamingError: there never will be a connection.
            Stopped
        """
        begun_ns = media_now_ns(self._clock, self._plan.epoch_at)
        try:
            with open_source(self._plan.url, self._plan.options) as source:
                if source.is_finite and self._is_live:  # its playlist was closed in the meantime
                    return self._end()
                self._is_live = not source.is_finite
                return self._follow(source, begun_ns)
        except StreamingError as error:
            if self._is_hopeless(error):
                raise
            return error

    def _follow(self, source: Source, begun_ns: int) -> StreamingError | None:
        before = Before(begun_ns, self._outage if self._is_live else None, self._known)
        take = Take(source, self._plan, self._clock, self._delivery, before)
        self._show(
            state=StreamState.RUNNING,
            detail="",
            error=None,
            codec=source.video.codec.canonical_name,
            width_px=source.video.codec_context.width,
            height_px=source.video.codec_context.height,
        )
        if take.reel.has_to_decode:
            self._warn(
                "its container keeps no times for B-frames: they are had by decoding, slowly"
            )
        if take.reel.sound_left_out:
            self._warn(f"sound is left out: {take.reel.sound_left_out} does not fit the segments")
        try:
            is_over = take.follow(
                stop=self._stop.is_set, on_kept=lambda ready: self._count(ready, take)
            )
        finally:
            self._known = take.keyframe_times()
            self._earlier = self._earlier.with_take(take)
        if not is_over:
            return None
        if self._is_live:
            return SourceUnreachable(source.shown, reason="it closed the connection")
        self._warn(take.close_recording())
        return self._end()

    def _end(self) -> None:
        self._delivery.ended()
        self._show(state=StreamState.ENDED, detail="")

    def _count(self, ready: SegmentReady, take: Take) -> None:
        """A segment was delivered."""
        self._has_worked, self._failures, self._outage = True, 0, None
        if not take.reel.has_sure_times:
            self._warn("frames come without times: theirs are reckoned from the frame rate")
        tally = self._earlier.with_take(take)
        self._show(
            state=StreamState.RUNNING,
            detail="",
            codec=ready.codec,
            width_px=ready.width_px,
            height_px=ready.height_px,
            segments=self.status.segments + 1,
            frames=self.status.frames + ready.frame_count,
            size_bytes=self.status.size_bytes + ready.size_bytes,
            clock_jumps=tally.clock_jumps,
            dropped_packets=tally.dropped_packets,
            damaged_packets=tally.damaged_packets,
        )

    def _note_outage(self, error: StreamingError, started_ns: int) -> None:
        """From now on a live source's time is lost; long outages are published in parts."""
        if not self._is_live:
            return
        if self._outage is GapReason.NOT_RUNNING:
            self._delivery.gap_until(started_ns, GapReason.NOT_RUNNING)
        if self._outage in (None, GapReason.NOT_RUNNING):
            self._outage = _gap_reason(error)

    def _report_outage(self) -> None:
        now_ns = media_now_ns(self._clock, self._plan.epoch_at)
        if self._is_live and now_ns - self._delivery.position.end_ns > OUTAGE_REPORT_NS:
            reason = self._delivery.why_lost(self._outage or GapReason.UNREACHABLE)
            self._delivery.gap_until(now_ns, reason)

    def _wait_to_reconnect(self, error: StreamingError) -> None:
        self._failures += 1
        self._show(
            state=StreamState.RECONNECTING,
            detail=str(error),
            error=error,
            reconnects=self.status.reconnects + 1,
        )
        refused = isinstance(error, SourceUnauthorised)
        self._sleep(REFUSED_RETRY_S if refused else self._delay_s(self._failures))
        self._report_outage()

    def _pause(self, error: FootageError | BusError, attempt: int) -> bool:
        """The store or the bus cannot take more: wait, and go on unless told to stop."""
        self._show(state=StreamState.PAUSED, detail=str(error), error=error)
        if isinstance(error, FootageFull):
            self._outage = GapReason.DISK_FULL
        self._sleep(self._delay_s(attempt))
        if isinstance(error, FootageFull) and self._is_live:
            now_ns = media_now_ns(self._clock, self._plan.epoch_at)
            self._delivery.no_room_until_ns = now_ns
        return not self._stop.is_set()

    def _delay_s(self, attempt: int) -> float:
        """Twice as long each time, up to a bound, and spread."""
        longest_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(attempt - 1, 16))
        return longest_s * self._rng.uniform(0.5, 1.0)

    def _sleep(self, seconds: float) -> None:
        clock = self._clock
        until_ns = clock.monotonic_ns() + int(seconds * NS_PER_S)
        while (left_ns := until_ns - clock.monotonic_ns()) > 0 and not self._stop.is_set():
            clock.sleep(min(NAP_S, left_ns / NS_PER_S))

    def _is_hopeless(self, error: StreamingError) -> bool:
        """Whether no later attempt can do better: files stay what they are, cameras come back."""
        if parse_source(self._plan.url).scheme == "file":
            return True
        return not self._has_worked and not isinstance(error, MAY_COME)

    def _warn(self, warning: str) -> None:
        if warning and warning not in self.status.warnings:
            self._show(warnings=(*self.status.warnings, warning))

    def _show(self, **changes: Any) -> None:
        position = self._delivery.position
        changes.setdefault("waiting_messages", self._delivery.waiting_messages)
        self.status = replace(
            self.status, gaps=self._delivery.gaps, last_media_ns=position.end_ns, **changes
        )
        if self._on_status is not None:
            self._on_status(self.status)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of the packets of all connections so far."""

    clock_jumps: int = 0
    dropped_packets: int = 0
    damaged_packets: int = 0

    def with_take(self, take: Take) -> "Tally":
        return Tally(
            self.clock_jumps + take.reel.timeline.jumps,
            self.dropped_packets + take.reel.dropped_packets,
            self.damaged_packets + take.reel.damaged_packets,
        )


def _gap_reason(error: StreamingError) -> GapReason:
    if isinstance(error, SourceStalled):
        return GapReason.STALLED
    return GapReason.CORRUPT if isinstance(error, MediaError) else GapReason.UNREACHABLE
