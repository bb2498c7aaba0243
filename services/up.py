"""The whole service in one process: capture, analysis, index and answers, each in its threads.

Any of them may fail: what heals by waiting waits inside its worker, and what does not ends the
service with its reason, because half a service that looks alive is worse than none. Everything is
where it was when it starts again.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from memory.errors import StoreError
from memory.forgetting import Stores as ForgettingStores
from memory.forgetting import finish_forgetting
from services.actions import Action, action_for
from services.analyse import Analyst, policy_of
from services.capture import CaptureParts, Supervisor
from services.forget import SavedVectors
from services.index import IndexKeeper
from services.progress import PAUSED, StreamProgress, cursor_of, is_recording, progress_of
from services.remember import Rememberer
from services.requests import OnText, Request, Result, respond
from services.resident import Resident
from services.settings import Settings
from services.turns import Turns
from services.wiring import LoadEngine, Stores, locked, open_index, opened, opened_bus, wall_clock
from services.worker import Worker
from streaming.bus import Bus
from streaming.errors import BusError
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_DEAD_LETTERS, TOPIC_SEGMENTS

ANALYSE, INDEX, ANSWER = "analyse", "index", "answer"
TICK_S = 0.2
TELL_EVERY_NS = NS_PER_S // 2
TRIM_EVERY_NS = 600 * NS_PER_S
KEEP_MESSAGES_S = 7 * 86_400  # after they were handled; for a person who wants to see what was

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
        DataDirectoryError, ModelUnavailable, StoreError, WorkerCrashed
    """
    settings = running.settings
    with locked(settings), opened(settings, make=True) as stores, opened_bus(settings) as bus:
        finish_forgetting(
            ForgettingStores(stores.record, stores.footage, stores.tokens, SavedVectors(stores))
        )
        for spec in stores.record.streams():
            stores.record.set_cursor(cursor_of(PAUSED, spec), 0)
        _Service(running, stores, bus).run(stop)


class _Service:
    def __init__(self, running: Running, stores: Stores, bus: Bus) -> None:
        self._running = running
        self._stores = stores
        self._bus = bus
        self._clock = wall_clock()
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._supervisor = Supervisor(
            CaptureParts(stores.record, stores.registry, bus, stores.footage, self._clock)
        )
        self._is_indexed = threading.Event()
        self._told_ns = 0
        self._trimmed_ns = self._clock.monotonic_ns()

    def run(self, stop: threading.Event) -> None:
        capture = self._thread("capture", self._supervisor.run)
        watch = self._thread("watch", self._watch)
        try:
            while not stop.is_set() and self._failure is None:
                if self._look():
                    break
                stop.wait(TICK_S)
        finally:
            self._stop.set()
            for thread in (capture, watch):
                thread.join()
        self._running.on_progress(progress_of(self._stores.record))
        if self._failure is not None:
            raise self._failure

    def _thread(self, name: str, work: Callable[[threading.Event], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work(self._stop)
            except Exception as error:  # noqa: BLE001 - the top of a thread; `run` raises it
                self._failure = self._failure or error
                self._stop.set()

        thread = threading.Thread(target=guarded, name=name)
        thread.start()
        return thread

    def _watch(self, stop: threading.Event) -> None:
        """Load the model, then analyse, index and answer until told to stop."""
        engine = self._running.load_engine(self._running.settings)
        stores, bus, turns = self._stores, self._bus, Turns()
        vectors = open_index(stores, engine)
        keeper = IndexKeeper(vectors, stores.record, monotonic_ns=self._clock.monotonic_ns)
        analyst = Analyst(
            record=stores.record,
            footage=stores.footage,
            rememberer=Rememberer(
                engine=engine,
                record=stores.record,
                tokens=stores.tokens,
                bus=bus,
                turn=turns.turn,
            ),
            policy=policy_of(engine.layout),
            decode_threads=stores.settings.decode_threads,
        )
        self._running.on_ready()

        def index(stop: threading.Event) -> None:
            Worker(
                INDEX, bus=bus, consumer=bus.consumer(TOPIC_CLIPS, group=INDEX), handler=keeper
            ).run(stop)

        def answer(stop: threading.Event) -> None:
            """Read as another process would, so that reading keeps no writer waiting."""
            with opened(stores.settings) as reading:

                def in_turn(request: Request, on_text: OnText) -> Result:
                    with turns.turn():
                        return respond(request, reading, engine, vectors.index, on_text=on_text)

                Resident(stores.settings, in_turn).run(stop)

        beside = [self._thread(INDEX, index), self._thread(ANSWER, answer)]
        try:
            Worker(
                ANALYSE,
                bus=bus,
                consumer=bus.consumer(TOPIC_SEGMENTS, group=ANALYSE),
                handler=analyst,
            ).run(stop)
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
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._told_ns >= TELL_EVERY_NS:
            self._told_ns = now_ns
            self._running.on_progress(progress_of(self._stores.record))
        if now_ns - self._trimmed_ns >= TRIM_EVERY_NS:
            self._trimmed_ns = now_ns
            trim(self._bus)

    def _is_idle(self) -> bool:
        """Whether every recording has ended or failed, and all that was published is handled."""
        captures = {capture.spec.stream_id: capture for capture in self._supervisor.captures}
        recordings = [spec for spec in self._stores.record.streams() if is_recording(spec)]
        for spec in recordings:
            capture = captures.get(spec.stream_id)
            if capture is None or capture.is_running:
                return False
        return all(
            self._bus.committed(topic).get(group, 0) == self._bus.end_offset(topic)
            for topic, group in ((TOPIC_SEGMENTS, ANALYSE), (TOPIC_CLIPS, INDEX))
        )


def trim(bus: Bus) -> None:
    """Drop old messages that their follower has handled, so that the bus does not grow for ever."""
    for topic in (TOPIC_SEGMENTS, TOPIC_CLIPS, TOPIC_DEAD_LETTERS):
        handled = min(bus.committed(topic).values(), default=None)
        if handled is not None or topic == TOPIC_DEAD_LETTERS:
            bus.trim(topic, max_age_s=KEEP_MESSAGES_S, below_offset=handled)
