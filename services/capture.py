"""Watch the registry, and run one capture thread for each stream in it.

A stream that is added while the service runs is captured within a second, one that is forgotten is
let go of. What a capture publishes goes into the record's catalogue first and on the bus second, so
that a kill in between leaves a message too few on the bus; the last messages of every stream are
therefore published again when the service starts (`Announcer`), and whoever follows the topic drops
what it has seen. A bus that is away just then keeps no camera from being captured. Statuses go to
the record, where `longwatch streams` reads them.
"""

import logging
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime

from memory.errors import SpanForgotten, StoreError, UnknownStream
from memory.record import Record
from memory.values import StreamSpec, StreamStatus
from services import tracing
from services.actions import Action, action_for
from services.errors import SecretUnreadable, WorkerCrashed
from services.logs import about
from services.metrics import Drop, Metrics
from services.progress import PAUSED, captured_until_ns, cursor_of, note_captured, position_of
from services.registry import Registry
from services.tracing import Tracer
from streaming.bus import Bus
from streaming.capture import Capture
from streaming.clock import WallClock
from streaming.errors import BusError, BusUnavailable
from streaming.footage import FootageStore
from streaming.messages import (
    NS_PER_S,
    TOPIC_SEGMENTS,
    CaptureMessage,
    SegmentReady,
    Span,
    StreamEnded,
    StreamGap,
)
from streaming.progress import CapturePlan, CaptureStatus, StreamState

LOOK_S = 0.25  # between two looks at the registry
STATUS_NS = NS_PER_S  # counters are written so often, a change of state at once
STOP_S = 3.0  # a capture that waits for a silent source is left behind after this
LET_GO = "being forgotten"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptureParts:
    """Where captures read from and write to."""

    record: Record
    registry: Registry
    bus: Bus
    footage: FootageStore
    clock: WallClock
    metrics: Metrics = field(default_factory=Metrics)


class Announcer:
    """Publishes the last messages of each stream once more: a kill may have come before.

    Nothing new of a stream may be published before that.
    """

    def __init__(self, record: Record, bus: Bus, tracer: Tracer) -> None:
        self._record = record
        self._bus = bus
        self._tracer = tracer
        self._left = {spec.stream_id: spec for spec in record.streams() if not spec.is_backfill}
        self._announcing = threading.Lock()

    def announce_all(self) -> None:
        for stream_id in list(self._left):
            self.announce(stream_id)

    def announce(self, stream_id: str) -> None:
        """Do so for one stream, unless it is done."""
        if stream_id not in self._left:
            return
        with self._announcing:
            if (spec := self._left.get(stream_id)) is not None:
                self._publish_last(spec)
                del self._left[stream_id]

    def _publish_last(self, spec: StreamSpec) -> None:
        record = self._record
        mark_ns = captured_until_ns(record, spec)
        last = [Span(stream_id=spec.stream_id, start_ns=max(0, mark_ns - 1), end_ns=mark_ns + 1)]
        for message in (*record.segments(last)[-1:], *record.gaps(last)[-1:]):
            with begun(self._tracer, message):
                publish(self._bus, message)
        ended_ns = record.ended_ns(spec.stream_id)
        if ended_ns is not None:
            publish(self._bus, StreamEnded(stream_id=spec.stream_id, end_ns=ended_ns))


class StreamCapture:
    """One stream: its capture, the thread it runs in, and its way into record and bus."""

    def __init__(
        self, spec: StreamSpec, parts: CaptureParts, announcer: Announcer | None = None
    ) -> None:
        url = parts.registry.url_of(spec)
        epoch_at = spec.epoch_at or parts.registry.begin(spec)
        self.spec = spec
        self.crash: Exception | None = None
        self._parts = parts
        self._announcer = announcer
        self._stop = threading.Event()
        self._written: tuple[StreamState, int] | None = None
        self._drops: dict[Drop, int] = {}
        self._capture = Capture(
            CapturePlan(
                stream_id=spec.stream_id,
                url=url,
                epoch_at=epoch_at,
                realtime=spec.realtime,
                options=parts.registry.options,
            ),
            store=parts.footage,
            publish=self._publish,
            clock=parts.clock,
            resume_from=position_of(parts.record, spec),
            on_status=self._show,
        )
        self._thread = threading.Thread(
            target=self._run, name=f"capture-{spec.stream_id}", daemon=True
        )
        self._thread.start()

    @property
    def status(self) -> CaptureStatus:
        return self._capture.status

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._capture.run(self._stop)
            self._write(self._capture.status)
        except Exception as error:  # noqa: BLE001 - the top of a thread; the supervisor decides
            self.crash = error

    def _publish(self, message: CaptureMessage) -> None:
        with begun(self._parts.metrics.tracer, message):
            self._publish_traced(message)

    def _publish_traced(self, message: CaptureMessage) -> None:
        try:
            if self._announcer is not None:
                self._announcer.announce(self.spec.stream_id)
            catalogue(self._parts.record, message)
        except (SpanForgotten, UnknownStream):
            if isinstance(message, SegmentReady):
                self._parts.footage.delete(message.uri)
            return
        except StoreError as error:
            if action_for(error) is Action.RETRY:
                raise BusUnavailable("record", reason=str(error)) from error
            raise
        publish(self._parts.bus, message)
        if isinstance(message, StreamGap):
            stream_id, reason = self.spec.stream_id, message.reason.value
            self._parts.metrics.gap(stream_id, reason)
            self._parts.metrics.lost(stream_id, reason, message.span.duration_s)

    def _show(self, status: CaptureStatus) -> None:
        self._count_drops(status)
        now_ns = self._parts.clock.monotonic_ns()
        if self._written is not None:
            state, written_ns = self._written
            if status.state is state and now_ns - written_ns < STATUS_NS:
                return
        if self._written is None or status.state is not self._written[0]:
            stream_id, detail = self.spec.stream_id, f": {status.detail}" if status.detail else ""
            said = about(stream_id=stream_id)
            log.info("%s is %s%s", stream_id, status.state.value, detail, extra=said)
        self._written = (status.state, now_ns)
        self._write(status)

    def _count_drops(self, status: CaptureStatus) -> None:
        now = {
            Drop.LOST_PACKET: status.dropped_packets,
            Drop.DAMAGED_PACKET: status.damaged_packets,
        }
        for reason, count in now.items():
            self._parts.metrics.dropped(
                self.spec.stream_id, reason.value, count - self._drops.get(reason, 0)
            )
        self._drops = now

    def _write(self, status: CaptureStatus) -> None:
        try:
            note_captured(self._parts.record, self.spec)
            self._parts.record.set_status(
                self.spec.stream_id, shown_status(status, self._parts.registry.now_at())
            )
        except StoreError as error:
            if action_for(error) is Action.CRASH:
                raise
            stream_id = self.spec.stream_id
            said = about(stream_id=stream_id)
            log.warning("%s: its status is not written: %s", stream_id, error, extra=said)


class Supervisor:
    """Runs the captures that the registry asks for."""

    def __init__(self, parts: CaptureParts) -> None:
        self._parts = parts
        self._announcer = Announcer(parts.record, parts.bus, parts.metrics.tracer)
        self._captures: dict[str, StreamCapture] = {}
        self._locked_out: dict[str, tuple[datetime, str]] = {}

    @property
    def captures(self) -> list[StreamCapture]:
        return list(self._captures.values())

    def run(self, stop: threading.Event) -> None:
        """Follow the registry until `stop` is set.

        Raises:
            WorkerCrashed: a capture failed in a way that concerns all of them.
        """
        try:
            while not stop.is_set():
                self._look()
                stop.wait(LOOK_S)
        except Exception as error:
            log.error("capture: %s", error, exc_info=error)
            raise WorkerCrashed("capture", reason=str(error) or repr(error)) from error
        finally:
            for capture in self.captures:
                capture.stop()
            for capture in self.captures:
                capture.join(STOP_S)

    def _look(self) -> None:
        """Do what can be done just now; what cannot waits for the next look."""
        for act in (self._announcer.announce_all, self._follow_registry):
            try:
                act()
            except (StoreError, BusError) as error:
                if action_for(error) is not Action.RETRY:
                    raise

    def _follow_registry(self) -> None:
        record = self._parts.record
        specs = {spec.stream_id: spec for spec in record.streams()}
        cursors = {name: cursor_of(PAUSED, spec) for name, spec in specs.items()}
        values = record.cursors(cursors.values())
        paused = {name for name, cursor in cursors.items() if values.get(cursor)}
        with suppress(UnknownStream):  # forgotten since it was read: the next look sees that
            self._follow(specs, paused)

    def _follow(self, specs: dict[str, StreamSpec], paused: set[str]) -> None:
        for name, capture in list(self._captures.items()):
            if capture.crash is not None:
                raise capture.crash
            spec = specs.get(name)
            if spec is None or name in paused or spec.added_at != capture.spec.added_at:
                capture.stop()
                if not capture.is_running:
                    del self._captures[name]
        for name in specs.keys() - self._captures.keys():
            if name not in paused and not specs[name].is_backfill:
                self._begin(specs[name])
            elif name in paused and not is_let_go(self._parts.record.status(name)):
                let_go = CaptureStatus(state=StreamState.PAUSED, detail=LET_GO)
                status = shown_status(let_go, self._parts.registry.now_at())
                self._parts.record.set_status(name, status)

    def _begin(self, spec: StreamSpec) -> None:
        """Capture a stream; where its credentials cannot be opened, the next look may do so."""
        name = spec.stream_id
        try:
            self._captures[name] = StreamCapture(spec, self._parts, self._announcer)
            self._locked_out.pop(name, None)
        except SecretUnreadable as error:
            told = (spec.added_at, str(error))
            if self._locked_out.get(name) != told:
                log.error("%s", error, extra=about(stream_id=name))
                failed = CaptureStatus(state=StreamState.FAILED, detail=str(error))
                status = shown_status(failed, self._parts.registry.now_at())
                self._parts.record.set_status(name, status)
                self._locked_out[name] = told


def catalogue(record: Record, message: CaptureMessage) -> None:
    match message:
        case SegmentReady():
            record.put_segment(message)
        case StreamGap():
            record.put_gap(message)
        case StreamEnded():
            record.put_ended(message)


def begun(tracer: Tracer, message: CaptureMessage) -> AbstractContextManager[None]:
    """The trace that begins with a segment."""
    if not isinstance(message, SegmentReady):
        return nullcontext()
    return tracer.span("capture.segment", about(stream_id=message.span.stream_id))


def publish(bus: Bus, message: CaptureMessage) -> None:
    stream_id = message.stream_id if isinstance(message, StreamEnded) else message.span.stream_id
    bus.publish(
        TOPIC_SEGMENTS,
        key=stream_id,
        value=message.model_dump_json().encode(),
        headers=tracing.headers(),
    )


def is_let_go(status: StreamStatus | None) -> bool:
    """Whether nothing of a stream is captured any more, because somebody wants to forget it."""
    return status is not None and (status.state, status.detail) == (StreamState.PAUSED, LET_GO)


def shown_status(status: CaptureStatus, now_at: datetime) -> StreamStatus:
    return StreamStatus(
        state=status.state.value,
        detail="; ".join(part for part in (status.detail, *status.warnings) if part),
        counters={
            name: getattr(status, name)
            for name in (
                *("segments", "frames", "size_bytes", "gaps", "reconnects", "clock_jumps"),
                *("dropped_packets", "damaged_packets", "waiting_messages", "last_media_ns"),
                *("width_px", "height_px"),
            )
        },
        updated_at=now_at,
    )
