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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from memory.errors import StoreError
from services.actions import Action, action_for
from services.following import FOLLOWED
from services.health import Face
from services.index import IndexKeeper
from services.locks import Service, alone
from services.metrics import Metrics
from services.observing import LOOK_EVERY_S, Observer
from services.parts import (
    Parts,
    analyst_of,
    indexer_of,
    keep_rules,
    keeper_of,
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
from services.threads import Threads, repeated
from services.turns import Turns
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
        opened(settings, make=True) as stores,
        opened_bus(settings) as bus,
    ):
        parts = Parts(stores, bus, clock, metrics)
        observer = Observer(parts, readiness, tuple(Service), now_at=now_at)
        looking = repeated("observe", observer.look, every_s=LOOK_EVERY_S)
        with looking if settings.health_address else nullcontext():
            beside = None if listening is None else _Api(settings, face, clock, listening).run
            _Whole(running, parts, readiness, beside).run(stop)


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
        beside: Callable[[threading.Event], None] | None,
    ) -> None:
        self._running = running
        self._parts = parts
        self._readiness = readiness
        self._beside = beside
        self._threads = Threads()
        self._supervisor = supervisor_of(parts, stood_in={Service.INDEX})
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
        parts, stores, turns = self._parts, self._parts.stores, Turns()
        decoding = open_decoding(self._running.settings)
        engine = self._running.load_engine(self._running.settings)
        vectors = open_index(stores, engine)
        keeper = IndexKeeper(
            vectors,
            stores.record,
            stores.settings.index_path,
            monotonic_ns=parts.clock.monotonic_ns,
            tracer=parts.metrics.tracer,
        )
        analyst = analyst_of(parts, engine, decoding, turn=turns.turn)
        self._running.on_ready()
        self._readiness.has("service")

        def answer(stop: threading.Event) -> None:
            """Read as another process would, so that reading keeps no writer waiting."""
            with opened(stores.settings) as reading:
                resident_of(
                    replace(parts, stores=reading), engine, lambda: vectors.index, turn=turns.turn
                ).run(stop)

        def alert(stop: threading.Event) -> None:
            keep_rules(parts, keeper_of(parts, engine, turn=turns.turn), stop)

        beside = [
            self._threads.start(Service.INDEX, lambda stop: indexer_of(parts, keeper).run(stop)),
            self._threads.start(Service.ANSWER, answer),
            self._threads.start(Service.ALERTS, alert),
            self._threads.start(Service.SUMMARISE, summariser_of(parts).run),
        ]
        try:
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
