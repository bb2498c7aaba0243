"""Whose turn it is at the model: that of analysis, or of a person who asks."""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager


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
