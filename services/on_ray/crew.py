"""The workers of analysis on a cluster: as many as wanted, for ever.

Ray starts a worker's process anew, on whatever node has room, when it or its node has died; the
crew has it begin again, after a wait that grows as long as it does not get to work. What was in
hand is read again from the bus by whoever gets its share, and remembered once.
"""

import logging
import threading
from typing import Any

from services.errors import WorkerCrashed
from services.locks import Service
from services.on_ray.analyst import AnalysisWorker, Ended, WorkerState
from services.on_ray.cluster import Placement, connected, first_line, must_share, placed
from services.run import Alone
from services.threads import Threads
from services.worker import FIRST_WAIT_S, LONGEST_WAIT_S

LOOK_S = 1.0
DRAIN_S = 60.0  # for a worker to finish the clip in hand
CALLS_AT_ONCE = 4  # `run`, and beside it `state` and `stop`

log = logging.getLogger(__name__)


def analyse_on_ray(alone: Alone, placement: Placement, stop: threading.Event) -> None:
    """Be the service `analyse` with its workers on a cluster, until `stop` is set.

    Raises:
        SettingsError, ClusterError, WorkerCrashed
    """
    settings = alone.parts.stores.settings
    must_share("LONGWATCH_KAFKA", settings.kafka)
    must_share("LONGWATCH_REDIS", settings.redis)
    with connected(placement.address):
        Crew(alone, placement).run(stop)


class Crew:
    """Keeps each worker working in a thread of its own."""

    def __init__(self, alone: Alone, placement: Placement) -> None:
        self._alone = alone
        self._placement = placement
        self._actor = placed(AnalysisWorker, placement, calls_at_once=CALLS_AT_ONCE)
        self._changed = threading.Lock()
        self._states: dict[int, WorkerState | None] = dict.fromkeys(range(placement.workers))
        self._has_worked = False

    def run(self, stop: threading.Event) -> None:
        threads = Threads()
        self._tell("none has started yet")
        self._alone.readiness.has("service")
        keepers = [
            threads.start(f"worker-{number}", lambda stop, number=number: self._keep(number, stop))
            for number in self._states
        ]
        while not stop.is_set() and threads.failure is None:
            stop.wait(LOOK_S)
        threads.stop.set()
        for keeper in keepers:
            keeper.join()
        if threads.failure is not None:
            raise threads.failure

    def _keep(self, number: int, stop: threading.Event) -> None:
        """Have one worker work, again and again.

        Raises:
            WorkerCrashed: it cannot be set up, and none ever worked.
        """
        wait_s = FIRST_WAIT_S
        worker = self._hired()
        while True:
            ended = self._watch(number, worker, stop)
            if ended is None:
                return
            if ended.is_setup and not self._has_worked:
                raise WorkerCrashed(Service.ANALYSE, reason=ended.reason)
            if self._states[number] is None:
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                wait_s = FIRST_WAIT_S
                log.warning("worker %d is lost: %s", number, ended.reason)
                self._alone.parts.metrics.worker_restarted()
            self._note(number, None, ended.reason)
            if stop.wait(wait_s):
                return
            if ended.is_gone:
                worker = self._hired()

    def _hired(self) -> Any:  # noqa: ANN401 - Ray's handles are untyped
        settings = self._placement.settings_of_a_worker(self._alone.parts.stores.settings)
        load_engine = self._placement.loading(self._alone.load_engine)
        return self._actor.remote(settings, load_engine)

    def _watch(self, number: int, worker: Any, stop: threading.Event) -> Ended | None:  # noqa: ANN401
        """Let a worker run until it ends by itself; None when it was told to."""
        import ray
        from ray.exceptions import ActorDiedError, RayError

        running, state = worker.run.remote(), worker.state.remote()
        try:
            while not stop.is_set():
                done, _ = ray.wait([running, state], timeout=LOOK_S)
                if running in done:
                    return ray.get(running)
                if state in done:
                    self._learn(number, ray.get(state))
                    ray.wait([running], timeout=LOOK_S)
                    state = worker.state.remote()
            self._drain(worker, running, is_live=self._states[number] is not None)
        except ActorDiedError as error:
            return Ended(first_line(error), is_gone=True)
        except RayError as error:
            return Ended(first_line(error))
        return None

    def _learn(self, number: int, state: WorkerState) -> None:
        if state.why_not is None and self._states[number] is None:
            log.info("worker %d works", number)
        self._note(number, state if state.why_not is None else None, state.why_not or "")

    def _drain(self, worker: Any, running: Any, *, is_live: bool) -> None:  # noqa: ANN401
        """Have it finish the clip in hand, and wait for that."""
        import ray

        if is_live:
            worker.stop.remote()
            ray.wait([running], timeout=DRAIN_S)
        ray.kill(worker, no_restart=True)

    def _note(self, number: int, state: WorkerState | None, why_not: str) -> None:
        with self._changed:
            self._states[number] = state
            self._tell(why_not)

    def _tell(self, why_not: str) -> None:
        wanted, readiness = len(self._states), self._alone.readiness
        live = sum(state is not None for state in self._states.values())
        self._alone.parts.metrics.workers(live=live, wanted=wanted)
        if live:
            self._has_worked = True
            readiness.has("workers")
        else:
            readiness.misses("workers", f"none of {wanted} works: {why_not}")
