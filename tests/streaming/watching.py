"""Follow a real camera by the real clock, in a thread, and look at what comes of it."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streaming.capture import Capture
from streaming.clock import WallClock
from streaming.cutter import CutPolicy
from streaming.footage import FootageStore
from streaming.messages import NS_PER_S, CaptureMessage, SegmentReady, StreamEnded, StreamGap
from streaming.progress import CapturePlan, CaptureStatus, StreamState
from streaming.sources import SourceOptions
from tests.streaming.capturing import shown
from tests.streaming.live_server import Clock

SHORT = CutPolicy(min_s=0.9, open_gop_max_s=3.0)
QUICK = SourceOptions(open_timeout_s=8, read_timeout_s=1.5)


def wall_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


@dataclass
class Watch:
    """One stream that is being captured."""

    store: FootageStore
    epoch_at: datetime
    capture: Capture | None = None
    messages: list[CaptureMessage] = field(default_factory=list[CaptureMessage])
    published_ns: list[int] = field(default_factory=list[int])
    statuses: list[CaptureStatus] = field(default_factory=list[CaptureStatus])

    @property
    def status(self) -> CaptureStatus:
        assert self.capture is not None
        return self.capture.status

    @property
    def segments(self) -> list[SegmentReady]:
        return [one for one in self.messages if isinstance(one, SegmentReady)]

    @property
    def gaps(self) -> list[StreamGap]:
        return [one for one in self.messages if isinstance(one, StreamGap)]

    @property
    def states(self) -> list[StreamState]:
        """The states it went through, each as often as it was entered."""
        states: list[StreamState] = []
        for status in list(self.statuses):
            if states[-1:] != [status.state]:
                states.append(status.state)
        return states

    def publish(self, message: CaptureMessage) -> None:
        self.published_ns.append(wall_ns())
        self.messages.append(message)

    def wall_ns(self, media_ns: int) -> int:
        return int(self.epoch_at.timestamp()) * NS_PER_S + media_ns

    def until(self, is_so: Callable[[], bool], *, within_s: float = 20.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline_s:
                pytest.fail(f"not within {within_s:g} s: {self.status}")
            time.sleep(0.02)

    def until_segments(self, count: int, *, within_s: float = 20.0) -> None:
        """Wait for so many segments from now."""
        goal = len(self.segments) + count
        self.until(lambda: len(self.segments) >= goal, within_s=within_s)

    def errors_ns(self, clock: Clock, segments: list[SegmentReady] | None = None) -> list[int]:
        """By how much the time of each picture differs from when it was taken."""
        found: list[int] = []
        for segment in self.segments if segments is None else segments:
            for number, media_ns in shown(self.store, segment):
                told_ns = self.wall_ns(media_ns)
                found.append(told_ns - clock.filmed_ns(number, near_ns=told_ns))
        return found

    def leaves_no_instant_out(self) -> bool:
        """Whether segments and gaps touch each other from the first to the end."""
        spans = [one.span for one in self.messages if not isinstance(one, StreamEnded)]
        return all(one.end_ns == two.start_ns for one, two in pairwise(spans))


@contextmanager
def watching(url: str, folder: Path, **plan: Any) -> Generator[Watch]:
    """Capture a camera until the end of the test."""
    epoch_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    watch = Watch(FootageStore(str(folder)), epoch_at)
    plan = {"stream_id": "yard", "policy": SHORT, "options": QUICK} | plan
    watch.capture = Capture(
        CapturePlan(url=url, epoch_at=epoch_at, **plan),
        store=watch.store,
        publish=watch.publish,
        clock=WallClock(now_ns=wall_ns),
        on_status=watch.statuses.append,
    )
    stop = threading.Event()
    thread = threading.Thread(target=watch.capture.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
