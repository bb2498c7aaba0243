"""Whose turn it is at the model: that of analysis, or of a person who asks.

A model in this process does one thing at a time, so whoever wants it takes turns. Servers batch
what comes together, so nobody waits before them but for the engine's own slots
(`models.model_servers`), which bound what a server is asked at once.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from services.settings import Settings
from services.wiring import model_threads

ANALYSTS = 4
"""Streams that are worked at together where that is quicker than one after another."""

Turn = Callable[[], AbstractContextManager[None]]


class Turns:
    """A lock that is given in the order in which it was asked for.

    Analysis asks for it before each call of the model and a question once, so that neither waits
    for more than one turn of the other. A plain lock goes to whoever is quickest, which is
    analysis, again and again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self) -> Generator[None]:
        mine = object()
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: self._waiting[0] is mine)
        try:
            yield
        finally:
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()


def turn_at(settings: Settings) -> Turn:
    """How the threads of a process wait for the model that the settings name."""
    return Turns().turn if settings.model_address is None else nullcontext


def analysts_of(settings: Settings) -> int:
    """How many readers of segments a process has, whose clips may be encoded and told of together.

    On the embedded bus nobody divides the work, so that there is one.
    """
    if settings.kafka is None:
        return 1
    if settings.analysts:
        return settings.analysts
    return 1 if settings.device == "cpu" and settings.model_address is None else ANALYSTS


def questions_at_once(settings: Settings) -> int:
    """How many questions that model is asked together."""
    from models.model_servers import AT_ONCE  # it brings the HTTP client along

    address = settings.model_address
    return 1 if address is None else AT_ONCE * len(address.urls)


def looks_at_once(settings: Settings) -> int:
    """How many clips that model is asked about together by one who has his turn.

    In this process, one on each core, as far as the threads of the model leave them.
    """
    from models.model_servers import AT_ONCE

    address = settings.model_address
    if address is not None:
        return AT_ONCE * len(address.urls)
    if settings.device != "cpu":
        return 1
    return max(1, (os.cpu_count() or 1) // model_threads(settings))
