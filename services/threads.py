"""Threads of a service: those that it stands and falls with, and those that only help."""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

STOP_S = 1.0  # for a helper: what takes longer waits for an engine that is away, and is left behind

log = logging.getLogger(__name__)


class Threads:
    """Threads that end together: the first that fails stops the others, and says why."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop = stop or threading.Event()
        self.failure: Exception | None = None

    def start(self, name: str, work: Callable[[threading.Event], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work(self.stop)
            except Exception as error:  # noqa: BLE001 - the top of a thread; its owner raises it
                self.failure = self.failure or error
                self.stop.set()

        thread = threading.Thread(target=guarded, name=name)
        thread.start()
        return thread


@contextmanager
def beside(
    name: str, work: Callable[[threading.Event], None], stop: threading.Event
) -> Generator[None]:
    """Work in a thread of its own meanwhile. A failure sets `stop`, which ends both, and is raised.

    Raises:
        whatever `work` raises
    """
    threads = Threads(stop)
    thread = threads.start(name, work)
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if threads.failure is not None:
        raise threads.failure


@contextmanager
def repeated(name: str, act: Callable[[], object], *, every_s: float) -> Generator[None]:
    """Do `act` at once and every so often meanwhile. When it fails, the next time may do better."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            try:
                act()
            except Exception as error:
                if not stop.is_set():
                    log.warning("%s: %s", name, error, exc_info=log.isEnabledFor(logging.DEBUG))
            stop.wait(every_s)

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_S)
