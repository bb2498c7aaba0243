"""One service in a process of its own: `longwatch run`.

Engines that are away when it starts are waited for, as they are later on, and meanwhile
`/v1/ready` says what is missing. What does not heal by waiting ends the process with its reason,
for whatever started it to start it again; everything is then where it was.
"""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.capture import Supervisor
from services.console import OURS
from services.errors import WorkerCrashed
from services.health import Face, listening
from services.index import FollowedIndex, IndexKeeper
from services.locks import Service, serving, standing_in
from services.metrics import Metrics
from services.observing import LOOK_EVERY_S, Observer
from services.parts import (
    Index,
    Parts,
    Serving,
    analyst_of,
    indexer_of,
    keep_rules,
    keepers_of,
    resident_of,
    summariser_of,
    supervisor_of,
    trim,
)
from services.readiness import Readiness
from services.serving import url_of
from services.settings import Settings
from services.starting import Starting, Stopped
from services.threads import beside, repeated
from services.told_weights import Telling, WeightsBook, looked_after
from services.turns import analysts_of, turn_at
from services.weights import Weights
from services.wiring import (
    LoadEngine,
    WatchingEngine,
    now_at,
    open_decoding,
    open_index,
    opened,
    opened_bus,
    tracing_as,
    wall_clock,
)
from streaming.clock import WallClock

TRIM_EVERY_S = 600.0
FOLLOW_EVERY_S = 2.0  # so that no question finds much to catch up with

T = TypeVar("T")

log = logging.getLogger(__name__)


def run_alone(
    service: Service,
    settings: Settings,
    load_engine: LoadEngine,
    stop: threading.Event,
    *,
    work: "Work | None" = None,
) -> None:
    """Be one service until `stop` is set, and then finish what is in hand.

    `work` is how, where that is not the service's own way.

    Raises:
        DataDirectoryError, AddressUnusable, AccessError, ModelUnavailable, StoreError, BusError,
        WorkerCrashed
    """
    process = Process.of(service, settings, load_engine)
    with (
        serving(settings, service),
        told(settings, process.face),
    ):
        work_until(stop, process, work or WORK[service])
    log.info("%s stopped", service)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is one service: what it was given, and what it tells of itself."""

    service: Service
    settings: Settings
    load_engine: LoadEngine
    clock: WallClock
    metrics: Metrics
    readiness: Readiness

    @property
    def face(self) -> Face:
        return Face(self.service, self.metrics, self.readiness)

    @classmethod
    def of(cls, service: Service, settings: Settings, load_engine: LoadEngine) -> "Process":
        clock, metrics = wall_clock(), Metrics(service)
        readiness = Readiness(metrics, monotonic_ns=clock.monotonic_ns)
        return cls(service, settings, load_engine, clock, metrics, readiness)


def work_until(stop: threading.Event, process: Process, work: "Work") -> None:
    """Open what a service needs, and work with it until `stop` is set.

    Raises:
        ModelUnavailable, StoreError, BusError, WorkerCrashed
    """
    service, settings, readiness = process.service, process.settings, process.readiness
    starting = Starting(stop, readiness)
    with ExitStack() as stack:
        process.metrics.tracer = stack.enter_context(tracing_as(service))
        try:
            stores = starting.until_there(
                "record", lambda: stack.enter_context(opened(settings, make=True))
            )
            bus = starting.until_there("bus", lambda: stack.enter_context(opened_bus(settings)))
            parts = Parts(stores, bus, process.clock, process.metrics)
            if settings.health_address is not None or service is Service.API:
                observer = Observer(parts, readiness, (service,), now_at=now_at)
                looking = repeated("observe", observer.look, every_s=LOOK_EVERY_S)
                stack.enter_context(looking)
            work(Alone(parts, process.load_engine, starting, readiness, process.face), stop)
        except Stopped:
            pass
        except OURS:
            raise
        except Exception as error:
            log.error("%s: %s", service, error, exc_info=error)
            raise WorkerCrashed(service, reason=repr(error)) from error
        readiness.misses("service", "it stops")


@contextmanager
def told(settings: Settings, face: Face) -> Generator[None]:
    """Tell health and measurements meanwhile, if somebody wants to know."""
    with listening(settings.health_address, face) as url:
        if url is not None:
            log.info("health and metrics: %s", url)
        yield


@dataclass(frozen=True, slots=True)
class Alone:
    """What one service works with."""

    parts: Parts
    load_engine: LoadEngine
    starting: Starting
    readiness: Readiness
    face: Face

    @contextmanager
    def weights(self, belonging: Callable[[WatchingEngine], T]) -> Generator[Weights[T]]:
        """The model that serves, with what belongs to it; looked after meanwhile.

        Raises:
            Stopped, ModelUnavailable
        """
        self.readiness.misses("model", "it is being loaded")
        stores = self.parts.stores
        book = WeightsBook(stores.record.documents, now_at=now_at)
        telling = Telling(
            self.face.service, book, metrics=self.parts.metrics, readiness=self.readiness
        )
        weights = Weights(
            *(stores.settings, self.load_engine, belonging, telling.tell),
            patiently=lambda make: self.starting.until_there("record", make),
        )
        self.readiness.has("model")
        with looked_after(weights, telling):
            yield weights

    @contextmanager
    def engine(self) -> Generator[Serving]:
        """The same with nothing beside it."""
        with self.weights(lambda engine: None) as weights:
            yield weights.engine


def capture(alone: Alone, stop: threading.Event) -> None:
    parts = alone.parts

    def begun() -> Supervisor:
        with standing_in(parts.stores.settings, Service.INDEX) as stood_in:
            return supervisor_of(parts, stood_in=stood_in)

    supervisor = alone.starting.until_there("record", begun)
    alone.readiness.has("service")
    with repeated("trim", lambda: trim(parts.bus), every_s=TRIM_EVERY_S):
        supervisor.run(stop)


def analyse(alone: Alone, stop: threading.Event) -> None:
    decoding = open_decoding(alone.parts.stores.settings)
    with alone.engine() as serving:
        workers = [
            alone.starting.until_there("bus", lambda: analyst_of(alone.parts, serving, decoding))
            for _ in range(analysts_of(alone.parts.stores.settings))
        ]
        alone.readiness.has("service")
        with ExitStack() as stack:
            for worker in workers[1:]:
                stack.enter_context(beside(Service.ANALYSE, worker.run, stop))
            workers[0].run(stop)


def index(alone: Alone, stop: threading.Event) -> None:
    stores = alone.parts.stores
    keeper = IndexKeeper(
        None,
        stores.record,
        stores.settings.index_path,
        monotonic_ns=alone.parts.clock.monotonic_ns,
        tracer=alone.parts.metrics.tracer,
    )
    worker = alone.starting.until_there("bus", lambda: indexer_of(alone.parts, keeper))
    alone.readiness.has("service")
    try:
        worker.run(stop)
    finally:
        keeper.save()


def answer(alone: Alone, stop: threading.Event) -> None:
    stores = alone.parts.stores

    def followed(engine: WatchingEngine) -> Index:
        return FollowedIndex(open_index(stores, engine), stores.record).up_to_date

    answer_from(followed, alone, stop)


def answer_from(
    index_of: Callable[[WatchingEngine], Index], alone: Alone, stop: threading.Event
) -> None:
    """Answer with an index that is brought up to date whenever it is asked for."""
    with alone.weights(index_of) as weights:
        alone.starting.until_there("index", lambda: weights.now.other())
        resident = resident_of(
            *(alone.parts, lambda: weights.now),
            look=weights.look,
            turn=turn_at(alone.parts.stores.settings),
            on_listening=lambda: alone.readiness.has("service"),
        )
        with repeated("follow", lambda: weights.now.other(), every_s=FOLLOW_EVERY_S):
            resident.run(stop)
    if not stop.is_set():
        raise WorkerCrashed(Service.ANSWER, reason="it cannot make its socket; see above")


def alerts(alone: Alone, stop: threading.Event) -> None:
    with alone.engine() as serving:
        keepers = alone.starting.until_there("bus", lambda: keepers_of(alone.parts, serving))
        alone.readiness.has("service")
        keep_rules(alone.parts, keepers, stop)


def summarise(alone: Alone, stop: threading.Event) -> None:
    worker = alone.starting.until_there("bus", lambda: summariser_of(alone.parts))
    alone.readiness.has("service")
    worker.run(stop)


def api(alone: Alone, stop: threading.Event) -> None:
    from services.api import server

    stores = alone.parts.stores
    address = stores.settings.listen_address or server.DEFAULT_ADDRESS
    with server.taken(address, stores.settings) as listening:
        log.info("the API: %s", url_of(listening))
        given = server.given_to_routes(stores, alone.face, alone.parts.clock, listening, stop)
        on_listening = partial(alone.readiness.has, "service")
        server.serve(given, listening, on_listening=on_listening)
    if not stop.is_set():
        raise WorkerCrashed(Service.API, reason="it listens no more; see above")


Work = Callable[[Alone, threading.Event], None]

WORK: dict[Service, Work] = {
    Service.CAPTURE: capture,
    Service.ANALYSE: analyse,
    Service.INDEX: index,
    Service.ANSWER: answer,
    Service.ALERTS: alerts,
    Service.SUMMARISE: summarise,
    Service.API: api,
}
