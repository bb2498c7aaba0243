"""One worker of analysis, as Ray runs it: the service `analyse`, started and stopped by calls.

Knows nothing of Ray. What it raises would have to be pickled, so it says how it ended instead.
"""

import logging
import sys
import threading
from typing import NamedTuple

from services.console import OURS, console_of
from services.errors import WorkerCrashed
from services.locks import Service
from services.logs import log_to
from services.run import Process, analyse, work_until
from services.settings import Settings
from services.wiring import LoadEngine


class Ended(NamedTuple):
    """Why a worker ended by itself.

    is_setup    it cannot be set up, and a new one could not either
    is_gone     its process is gone, and Ray starts no other
    """

    reason: str
    is_setup: bool = False
    is_gone: bool = False


class WorkerState(NamedTuple):
    """How a worker does. `why_not` is None when it is ready to work."""

    why_not: str | None
    measured: bytes


class AnalysisWorker:
    """Calls come in threads of their own: one `run`, and any others beside it."""

    def __init__(self, settings: Settings, load_engine: LoadEngine) -> None:
        self._process = Process.of(Service.ANALYSE, settings, load_engine)
        self._stop = threading.Event()
        self._running = threading.Lock()
        log_to(
            console_of(sys.stderr),
            level=logging.INFO,
            form=settings.log,
            service=Service.ANALYSE,
        )

    def run(self) -> Ended | None:
        """Analyse until told to stop, and finish what is in hand. Twice at once is once."""
        with self._running:
            try:
                work_until(self._stop, self._process, analyse)
            except WorkerCrashed as error:
                return Ended(error.reason)
            except OURS as error:
                return Ended(str(error), is_setup=True)
        return None

    def state(self) -> WorkerState:
        why_not = self._process.readiness.why_not()
        return WorkerState(why_not, self._process.metrics.exposition())

    def stop(self) -> None:
        self._stop.set()
