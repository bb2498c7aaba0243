"""Calls of several threads at once, done as one.

What a GPU computes for one clip it computes for several in little more time. Nobody waits for
company: a call that finds nobody at work is done at once, by itself. Those that come meanwhile are
done together when that is done, by the first of them that gets the lock.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


class Together(Generic[T, R]):
    """Does calls through `work`, which takes several and returns as many results, in order.

    Where several fail together, each is done by itself, so that an error meets nobody but whom it
    belongs to. If then none fails, it was the number, as where memory is too small for it: from
    then on there are half as many at most, and one line of the log says so.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        lock: AbstractContextManager[object],
        *,
        at_most: int,
        what: str,
    ) -> None:
        """`lock` is held while `work` is done; `what` names calls in the log, such as "clips"."""
        self._work = work
        self._lock = lock
        self._what = what
        self._waiting: deque[tuple[T, Future[R]]] = deque()
        self._guard = threading.Lock()
        self.at_most = at_most

    def __call__(self, given: T) -> R:
        """Raises:
        whatever `work` raises of this call alone.
        """
        mine = Future[R]()
        with self._guard:
            self._waiting.append((given, mine))
        with self._lock:
            while not mine.done():
                self._do(self._first())
        return mine.result()

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def _first(self) -> list[tuple[T, Future[R]]]:
        with self._guard:
            return [self._waiting.popleft() for _ in range(min(self.at_most, len(self._waiting)))]

    def _do(self, calls: Sequence[tuple[T, Future[R]]]) -> None:
        try:
            results = self._work([given for given, _ in calls])
        except Exception as error:  # noqa: BLE001 - it is raised by the call that it belongs to
            if len(calls) == 1:
                calls[0][1].set_exception(error)
                return
            for call in calls:
                self._do([call])
            if not any(future.exception() for _, future in calls):
                self._do_fewer(len(calls), error)
            return
        for (_, future), result in zip(calls, results, strict=True):
            future.set_result(result)

    def _do_fewer(self, tried: int, error: Exception) -> None:
        self.at_most = max(1, tried // 2)
        log.warning(
            "%d %s failed together, and not one by one; at most %d together from now on: %s",
            *(tried, self._what, self.at_most, str(error) or repr(error)),
        )
