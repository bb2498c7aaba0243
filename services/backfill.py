"""Take in files of an archive: capture, analyse and remember each to its end, one by one.

Services may run beside it, and leave these streams alone (`StreamSpec.is_backfill`). A file's
messages stay in this process; what is remembered is announced like anything else. A kill costs
nothing: captured footage is not captured again, and what is remembered is remembered.
"""

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from memory.record import Record
from memory.spans import END_OF_TIME_NS
from memory.values import StreamSpec
from services.analyse import Analyst, Sampled
from services.archive import ArchiveFile, Taken, files_of, plan_of
from services.capture import CaptureParts, StreamCapture, publish
from services.errors import WorkerCrashed
from services.locks import Service
from services.metrics import Metrics
from services.parts import Parts, analysis
from services.progress import remembered_until_ns
from services.registry import NewStream
from services.threads import Threads
from services.weights import Weights
from services.wiring import (
    LoadEngine,
    Stores,
    now_ms,
    open_decoding,
    opened_bus,
    tracing_as,
    wall_clock,
)
from services.worker import Worker
from streaming import bus
from streaming.decode import Decoding
from streaming.errors import MediaError, SourceError
from streaming.messages import (
    TOPIC_SEGMENTS,
    CaptureMessage,
    SegmentReady,
    Span,
    StreamEnded,
    StreamGap,
)
from streaming.progress import StreamState
from streaming.sources import open_source

LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be taken in, and how many files were taken in earlier."""

    files: list[ArchiveFile]
    known: int


def planned(record: Record, sources: Iterable[str]) -> Plan:
    """The files that are meant, as far as they are not remembered to their end.

    Raises:
        NoSuchFiles
    """
    specs = {spec.url: spec for spec in record.streams()}
    meant = plan_of(files_of(sources), {url: spec.stream_id for url, spec in specs.items()})
    files = [file for file in meant if not is_known(record, specs.get(file.path))]
    return Plan(files, known=len(meant) - len(files))


def is_known(record: Record, spec: StreamSpec | None) -> bool:
    """Whether a file's stream has nothing new: it is remembered, or a service's to watch."""
    if spec is None:
        return False
    ended_ns = record.ended_ns(spec.stream_id)
    is_done = ended_ns is not None and remembered_until_ns(record, spec) >= ended_ns
    return is_done or not spec.is_backfill


def take_here(
    stores: Stores, load_engine: LoadEngine, files: Sequence[ArchiveFile], stop: threading.Event
) -> Iterator[Taken]:
    """Take in files in their order, until `stop` is set: the one in hand is taken up again.

    Raises:
        ModelUnavailable, StoreError, BusError
    """
    with opened_backfill(stores, load_engine) as backfill:
        for file in files:
            taken = backfill.take(file, stop)
            if stop.is_set():
                return
            yield taken


@contextmanager
def opened_backfill(stores: Stores, load_engine: LoadEngine) -> "Generator[Backfill]":
    """A back-fill into these stores, with its bus and its model.

    Raises:
        ModelUnavailable, BusError
    """
    metrics = Metrics("backfill")
    with tracing_as("backfill") as metrics.tracer, opened_bus(stores.settings) as bus:
        parts = Parts(stores, bus, wall_clock(), metrics)
        decoding = open_decoding(stores.settings)
        weights = Weights(
            stores.settings,
            load_engine,
            lambda engine: None,
            lambda turnout: metrics.model(turnout.engine),
        )
        yield Backfill(parts, weights, decoding)


class Backfill:
    """Takes in one file after the other, each with the weights that serve when it begins."""

    def __init__(self, parts: Parts, weights: Weights[None], decoding: Decoding) -> None:
        self._parts = parts
        self._weights = weights
        self._decoding = decoding

    def take(self, file: ArchiveFile, stop: threading.Event) -> Taken:
        """Take in one file, as far as it can be read. A bad one harms nothing else."""
        record = self._parts.stores.record
        self._weights.look()
        try:
            failure = self._remember(self._registered(file), stop)
        except (SourceError, MediaError, WorkerCrashed) as error:
            failure = str(error)
        return Taken(file.path, file.stream_id, record.counts(file.stream_id).clips, failure)

    def _registered(self, file: ArchiveFile) -> StreamSpec:
        registry = self._parts.stores.registry
        if registry.has(file.stream_id):
            return registry.stream(file.stream_id)
        with open_source(file.path, registry.options) as source:
            begins_at = file.begins_at or source.made_at
        new = NewStream(file.stream_id, file.path, starts_at=begins_at, is_backfill=True)
        return registry.add(new)

    def _remember(self, spec: StreamSpec, stop: threading.Event) -> str | None:
        """Capture and analyse; says why there is not all of it.

        Raises:
            WorkerCrashed
        """
        parts, stores = self._parts, self._parts.stores
        messages = bus.MemoryBus(now_ms=now_ms)
        for message in catalogued(stores.record, spec):
            publish(messages, message)
        capture = StreamCapture(
            spec,
            CaptureParts(
                *(stores.record, stores.registry, messages, stores.footage, parts.clock),
                metrics=parts.metrics,
            ),
        )
        while capture.is_running:
            capture.join(LOOK_S)
            if stop.is_set():
                capture.stop()
        if capture.crash is not None:
            raise WorkerCrashed("capture", reason=repr(capture.crash)) from capture.crash
        self._analyse(messages, stop)
        status = capture.status
        return None if status.state is StreamState.ENDED else status.detail or status.state.value

    def _analyse(self, messages: bus.Bus, stop: threading.Event) -> None:
        engine = self._weights.engine()
        analyst = analysis(self._parts, lambda: engine, self._decoding, kind=ToTheEnd)
        assert isinstance(analyst, ToTheEnd)
        worker = Worker(
            "backfill",
            bus=self._parts.bus,
            consumer=messages.consumer(TOPIC_SEGMENTS, group=Service.ANALYSE),
            handler=analyst,
            metrics=self._parts.metrics,
        )
        threads = Threads()
        analyst.has_ended = threads.stop
        thread = threads.start("backfill", worker.run)
        while thread.is_alive():
            thread.join(LOOK_S)
            if stop.is_set():
                threads.stop.set()
        if threads.failure is not None:
            raise threads.failure


class ToTheEnd(Analyst):
    """Ends when there is nothing left to analyse."""

    has_ended: threading.Event

    def handle(self, record: bus.Record, prepared: Sampled) -> None:
        super().handle(record, prepared)
        if isinstance(prepared.message, StreamEnded) and not self.is_waiting:
            self.has_ended.set()

    def idle(self) -> None:
        super().idle()
        if not self.is_waiting:
            self.has_ended.set()


def catalogued(record: Record, spec: StreamSpec) -> list[CaptureMessage]:
    """What capture published of a stream and analysis may not have seen, in order of time."""
    until_ns = remembered_until_ns(record, spec)
    rest = [Span(stream_id=spec.stream_id, start_ns=until_ns, end_ns=END_OF_TIME_NS)]
    stored: list[SegmentReady | StreamGap] = [*record.segments(rest), *record.gaps(rest)]
    stored.sort(key=lambda message: message.span.start_ns)
    messages: list[CaptureMessage] = [*stored]
    ended_ns = record.ended_ns(spec.stream_id)
    if ended_ns is not None:
        messages.append(StreamEnded(stream_id=spec.stream_id, end_ns=ended_ns))
    return messages
