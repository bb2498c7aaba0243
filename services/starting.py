"""How a service begins: what it needs is waited for where waiting may help."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from services.actions import Action, action_for
from services.console import OURS
from services.readiness import Readiness
from services.worker import FIRST_WAIT_S, LONGEST_WAIT_S

T = TypeVar("T")

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The process was told to stop before it had begun."""


class Starting:
    """Gets what a service needs, and waits for what is away."""

    def __init__(self, stop: threading.Event, readiness: Readiness) -> None:
        self._stop = stop
        self._readiness = readiness

    def until_there(self, what: str, get: Callable[[], T]) -> T:
        """What `get` gives, asked again while waiting may help.

        Raises:
            Stopped
        """
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                got = get()
            except OURS as error:
                if action_for(error) is not Action.RETRY:
                    raise
                log.warning("%s: %s; again in %.1f s", what, error, wait_s)
                self._readiness.misses(what, str(error))
            else:
                self._readiness.has(what)
                return got
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        raise Stopped
