"""The whole service in one process: capture, analysis, index, answers, alerts and summaries, each
in its threads.

Any of them may fail: what heals by waiting waits inside its worker, and what does not ends the
service with its reason, because half a service that looks alive is worse than none. Everything is
where it was when it starts again.
"""

import logging
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from memory.errors import StoreError
from services.actions import Action, action_for
from services.capture import Supervisor
from services.following import FOLLOWED
from services.health import Face
from services.index import IndexKeeper
from services.locks import Service, alone
from services.metrics import Metrics
from services.observing import LOOK_EVERY_S, Observer
from services.parts import (
    Index,
    Parts,
    analyst_of,
    indexer_of,
    keep_rules,
    keepers_of,
    resident_of,
    summariser_of,
    supervisor_of,
    trim,
)
from services.progress import StreamProgress, is_recording, progress_of
from services.readiness import Readiness
from services.run import told
from services.serving import url_of
from services.settings import Settings
from services.starting import Starting, Stopped
from services.threads import Threads, repeated
from services.told_weights import Telling, WeightsBook, looked_after
from services.turns import turn_at
from services.weights import Held, Weights
from services.wiring import (
    LoadEngine,
    now_at,
    open_decoding,
    open_index,
    opened,
    opened_bus,
    tracing_as,
    wall_clock,
)
from streaming.bus import lag
from streaming.clock import WallClock
from streaming.decode import Decoding
from streaming.errors import BusError
from streaming.messages import NS_PER_S

TICK_S = 0.2
TELL_EVERY_NS = NS_PER_S // 2
TRIM_EVERY_NS = 600 * NS_PER_S

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """How a service is to run. `until_idle`: until every recording has ended and is remembered."""

    settings: Settings
    load_engine: LoadEngine
    until_idle: bool = False
    on_ready: Callable[[], None] = lambda: None
    on_progress: Callable[[list[StreamProgress]], None] = lambda progress: None


def run_service(running: Running, stop: threading.Event) -> None:
    """Run until `stop` is set, or until there is nothing left to do if that is wanted.

    Raises:
        DataDirectoryError, AddressUnusable, AccessError, ModelUnavailable, StoreError,
        WorkerCrashed
    """
    settings, clock, metrics = running.settings, wall_clock(), Metrics("up")
    readiness = Readiness(metrics, monotonic_ns=clock.monotonic_ns)
    face = Face("up", metrics, readiness)
    with (
        alone(settings),
        tracing_as("up") as metrics.tracer,
        told(settings, face),
        listening_for_api(settings) as listening,
        suppress(Stopped),
        ExitStack() as stack,
    ):
        starting = Starting(stop, readiness)
        stores = starting.until_there(
            "record", lambda: stack.enter_context(opened(settings, make=True))
        )
        bus = starting.until_there("bus", lambda: stack.enter_context(opened_bus(settings)))
        parts = Parts(stores, bus, clock, metrics)
        observer = Observer(parts, readiness, tuple(Service), now_at=now_at)
        if settings.health_address is not None:
            stack.enter_context(repeated("observe", observer.look, every_s=LOOK_EVERY_S))
        supervisor = starting.until_there(
            "record", lambda: supervisor_of(parts, stood_in={Service.INDEX})
        )
        beside = None if listening is None else _Api(settings, face, clock, listening).run
        _Whole(running, parts, readiness, supervisor, beside).run(stop)


@contextmanager
def listening_for_api(settings: Settings) -> Generator[socket.socket | None]:
    """A socket for the API, where it is wanted."""
    if settings.listen_address is None:
        yield None
        return
    from services.api.server import taken

    with taken(settings.listen_address, settings) as listening:
        log.info("the API: %s", url_of(listening))
        yield listening


@dataclass(frozen=True, slots=True)
class _Api:
    """The API, which reads as another process would, so that it keeps no writer waiting."""

    settings: Settings
    face: Face
    clock: WallClock
    listening: socket.socket

    def run(self, stop: threading.Event) -> None:
        from services.api.server import given_to_routes, serve

        with opened(self.settings) as reading:
            given = given_to_routes(reading, self.face, self.clock, self.listening, stop)
            serve(given, self.listening)


class _Whole:
    """`beside` is what else runs in a thread of its own, if something does."""

    def __init__(
        self,
        running: Running,
        parts: Parts,
        readiness: Readiness,
        supervisor: Supervisor,
        beside: Callable[[threading.Event], None] | None,
    ) -> None:
        self._running = running
        self._parts = parts
        self._readiness = readiness
        self._beside = beside
        self._threads = Threads()
        self._supervisor = supervisor
        self._told_ns = 0
        self._trimmed_ns = parts.clock.monotonic_ns()

    def run(self, stop: threading.Event) -> None:
        threads = self._threads
        capture = threads.start("capture", self._supervisor.run)
        watch = threads.start("watch", self._watch)
        started = [capture, watch]
        if self._beside is not None:
            started.append(threads.start(Service.API, self._beside))
        try:
            while not stop.is_set() and threads.failure is None:
                if self._look():
                    break
                stop.wait(TICK_S)
        finally:
            threads.stop.set()
            for thread in started:
                thread.join()
        self._running.on_progress(progress_of(self._parts.stores.record))
        if threads.failure is not None:
            raise threads.failure

    def _watch(self, stop: threading.Event) -> None:
        """Load the model, then analyse, index, answer, alert and summarise until told to stop."""
        decoding = open_decoding(self._running.settings)
        with suppress(Stopped):
            self._watch_with(decoding, Starting(stop, self._readiness), stop)

    def _watch_with(self, decoding: Decoding, starting: Starting, stop: threading.Event) -> None:
        parts, stores = self._parts, self._parts.stores
        turn = turn_at(stores.settings)
        book = WeightsBook(stores.record.documents, now_at=now_at)
        telling = Telling("up", book, metrics=parts.metrics, readiness=self._readiness)
        weights = Weights(
            *(self._running.settings, self._running.load_engine),
            lambda engine: open_index(stores, engine),
            telling.tell,
            patiently=lambda make: starting.until_there("record", make),
        )
        keeper = IndexKeeper(
            lambda: weights.now.other,
            stores.record,
            stores.settings.index_path,
            monotonic_ns=parts.clock.monotonic_ns,
            tracer=parts.metrics.tracer,
        )
        analyst = starting.until_there(
            "bus", lambda: analyst_of(parts, weights.engine, decoding, turn=turn)
        )
        keeping = starting.until_there("bus", lambda: keepers_of(parts, weights.engine, turn=turn))
        indexer = starting.until_there("bus", lambda: indexer_of(parts, keeper))
        summariser = starting.until_there("bus", lambda: summariser_of(parts))
        self._running.on_ready()
        self._readiness.has("service")

        def serving() -> Held[Index]:
            held = weights.now
            return Held(held.engine, lambda: held.other.index)

        def answer(stop: threading.Event) -> None:
            """Read as another process would, so that reading keeps no writer waiting."""
            with opened(stores.settings) as reading:
                reads = replace(parts, stores=reading)
                resident_of(reads, serving, look=weights.look, turn=turn).run(stop)

        beside = [
            self._threads.start(Service.INDEX, indexer.run),
            self._threads.start(Service.ANSWER, answer),
            self._threads.start(Service.ALERTS, lambda stop: keep_rules(parts, keeping, stop)),
            self._threads.start(Service.SUMMARISE, summariser.run),
        ]
        try:
            with looked_after(weights, telling):
                analyst.run(stop)
        finally:
            stop.set()
            for thread in beside:
                thread.join()
            keeper.save()

    def _look(self) -> bool:
        """Tell how far it is, tidy up, and say whether that was all that was wanted."""
        try:
            self._tick()
            return self._running.until_idle and self._is_idle()
        except (StoreError, BusError) as error:
            if action_for(error) is not Action.RETRY:
                raise
            log.warning("how far it is cannot be told now: %s", error)
            return False

    def _tick(self) -> None:
        now_ns = self._parts.clock.monotonic_ns()
        if now_ns - self._told_ns >= TELL_EVERY_NS:
            self._told_ns = now_ns
            self._running.on_progress(progress_of(self._parts.stores.record))
        if now_ns - self._trimmed_ns >= TRIM_EVERY_NS:
            self._trimmed_ns = now_ns
            trim(self._parts.bus)

    def _is_idle(self) -> bool:
        """Whether every recording has ended or failed, and all that was published is handled."""
        bus, record = self._parts.bus, self._parts.stores.record
        captures = {capture.spec.stream_id: capture for capture in self._supervisor.captures}
        recordings = [
            spec for spec in record.streams() if is_recording(spec) and not spec.is_backfill
        ]
        for spec in recordings:
            capture = captures.get(spec.stream_id)
            if capture is None or capture.is_running:
                return False
        return not any(
            lag(bus.bounds(topic), bus.committed(topic, group=group)) for topic, group in FOLLOWED
        )
