"""Run a capture to its end inside a test, and look at what came of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

from streaming.capture import Capture
from streaming.clock import WallClock
from streaming.cutter import CutPolicy
from streaming.footage import FootageStore
from streaming.messages import CaptureMessage, SegmentReady, StreamEnded, StreamGap
from streaming.progress import CapturePlan, CapturePosition, CaptureStatus
from streaming.sources import SourceOptions
from tests.streaming.media import frames_of

EPOCH_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH_NS = int(EPOCH_AT.timestamp()) * 1_000_000_000
SHORT = CutPolicy(min_s=1.0, open_gop_max_s=3.0)
QUICK = SourceOptions(open_timeout_s=2, read_timeout_s=2)


@dataclass
class TurnedClock:
    """A clock that moves when somebody sleeps, and notes for how long."""

    now: int = EPOCH_NS
    slept_s: list[float] = field(default_factory=list[float])
    due: list[tuple[float, Callable[[], object]]] = field(
        default_factory=list[tuple[float, Callable[[], object]]]
    )

    @property
    def clock(self) -> WallClock:
        return WallClock(now_ns=self.read, monotonic_ns=self.read, sleep=self.sleep)

    @property
    def elapsed_s(self) -> float:
        return (self.now - EPOCH_NS) / 1_000_000_000

    def at(self, elapsed_s: float, action: Callable[[], object]) -> None:
        """Have something happen once so much has been slept; in order of time."""
        self.due.append((elapsed_s, action))

    def read(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now += int(seconds * 1_000_000_000)
        while self.due and self.elapsed_s >= self.due[0][0]:
            self.due.pop(0)[1]()


@dataclass
class Outcome:
    messages: list[CaptureMessage]
    status: CaptureStatus
    store: FootageStore
    statuses: list[CaptureStatus]

    @property
    def segments(self) -> list[SegmentReady]:
        return [message for message in self.messages if isinstance(message, SegmentReady)]

    @property
    def gaps(self) -> list[StreamGap]:
        return [message for message in self.messages if isinstance(message, StreamGap)]

    @property
    def has_ended(self) -> bool:
        return isinstance(self.messages[-1], StreamEnded) if self.messages else False

    def frames(self) -> list[tuple[int, int]]:
        """Every frame that decodes: its number and its media time, in order of segments."""
        return [frame for segment in self.segments for frame in shown(self.store, segment)]


def shown(store: FootageStore, segment: SegmentReady) -> list[tuple[int, int]]:
    """Number and media time of each frame of a segment, worked out as `SegmentReady` says."""
    with store.open_local(segment.uri) as path:
        found: list[tuple[int, int]] = []
        for frame in frames_of(path):
            assert frame.pts is not None
            since_start = (frame.pts - segment.pts_origin) * frame.time_base * 1_000_000_000
            if since_start >= 0:  # what lies before belongs to the segment before
                found.append((frame.number, segment.span.start_ns + -(-since_start // Fraction(1))))
        return found


def capture(
    url: Path | str,
    store: Path | FootageStore,
    *,
    resume_from: CapturePosition | None = None,
    publish: Callable[[CaptureMessage], None] | None = None,
    clock: TurnedClock | None = None,
    stop: Event | None = None,
    **plan: Any,
) -> Outcome:
    """Capture a source until it ends."""
    footage = store if isinstance(store, FootageStore) else FootageStore(str(store))
    messages: list[CaptureMessage] = []
    statuses: list[CaptureStatus] = []

    def note(message: CaptureMessage) -> None:
        if publish is not None:
            publish(message)
        messages.append(message)

    plan = {"stream_id": "yard", "epoch_at": EPOCH_AT, "policy": SHORT} | plan
    process = Capture(
        CapturePlan(url=str(url), **plan),
        store=footage,
        publish=note,
        clock=(clock or TurnedClock()).clock,
        resume_from=resume_from,
        on_status=statuses.append,
    )
    process.run(stop or Event())
    return Outcome(messages, process.status, footage, statuses)


def watch(
    url: str, store: Path | FootageStore, clock: TurnedClock, stop: Event, **more: Any
) -> Outcome:
    """Capture a camera until `stop`."""
    more = {"options": QUICK} | more
    return capture(url, store, clock=clock, stop=stop, **more)


def spans(messages: Iterable[CaptureMessage]) -> list[tuple[str, int, int]]:
    """Kind and span of each message that has one."""
    return [
        (message.kind, message.span.start_ns, message.span.end_ns)
        for message in messages
        if not isinstance(message, StreamEnded)
    ]


def leaves_no_instant_out(found: Outcome) -> bool:
    """Whether segments and gaps touch each other from zero to the end."""
    ends = [0, *(end for _, _, end in spans(found.messages))]
    return [start for _, start, _ in spans(found.messages)] == ends[:-1]
