"""What each process that has a model loaded says of it: in the record, its health and its metrics.

Said again every so often, so that nobody believes a process that is gone.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from memory.documents import Documents, Key
from memory.errors import StoreError
from services.metrics import Metrics
from services.promoted import Promotion
from services.readiness import Readiness
from services.threads import repeated
from services.weights import LOOK_EVERY_S, Turnout, Weights

KIND = "weights"
SAY_EVERY_S = 20.0
SEEN_EVERY_S = 0.2
STALE = timedelta(seconds=3 * SAY_EVERY_S)

log = logging.getLogger(__name__)


class ToldWeights(BaseModel):
    """What serves in a process since a promotion; and, where that is another, why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str
    model_id: str
    promotion: Promotion | None
    refused: str | None = None
    told_at: AwareDatetime


class WeightsBook:
    """What all processes on a record said last."""

    def __init__(self, documents: Documents, *, now_at: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now_at = now_at

    def say(self, process: str, service: str, turnout: Turnout) -> None:
        """Raises StoreError."""
        told = ToldWeights(
            service=service,
            model_id=turnout.engine.model_id,
            promotion=turnout.promotion,
            refused=turnout.refused,
            told_at=self._now_at(),
        )
        self._documents.swap({}, {Key(KIND, process): told.model_dump_json()})

    def drop(self, process: str) -> None:
        """Say nothing more: the process ends, or is gone.

        Raises:
            StoreError
        """
        self._documents.swap({}, {Key(KIND, process): None})

    def all(self) -> list[ToldWeights]:
        """What those say that are there, in order of their names.

        Raises:
            StoreError
        """
        said = (self._read(body) for body in self._documents.all(KIND).values())
        return [told for told in said if told is not None]

    def sweep(self) -> None:
        """Keep nothing of processes that are gone.

        Raises:
            StoreError
        """
        for process, body in self._documents.all(KIND).items():
            if self._read(body) is None:
                self.drop(process)

    def _read(self, body: str) -> ToldWeights | None:
        """What a process says; None if it is gone, or of a version that says something else."""
        try:
            told = ToldWeights.model_validate_json(body)
        except ValidationError:
            return None
        return None if self._now_at() - told.told_at > STALE else told


class Telling:
    """What one process says, to whoever wants to know."""

    def __init__(
        self, service: str, book: WeightsBook, *, metrics: Metrics, readiness: Readiness
    ) -> None:
        self._service = service
        self._book = book
        self._metrics = metrics
        self._readiness = readiness
        self._process = f"{service}@{socket.gethostname()}:{os.getpid()}"
        self._said: Turnout | None = None

    def tell(self, turnout: Turnout) -> None:
        self._metrics.model(turnout.engine)
        self._readiness.warns("model", turnout.refused)
        self._said = turnout
        self.again()

    def again(self) -> None:
        if self._said is None:
            return
        try:
            self._book.say(self._process, self._service, self._said)
            self._book.sweep()
        except StoreError as error:
            log.warning("nobody is told which weights serve: %s", error)

    def end(self) -> None:
        try:
            self._book.drop(self._process)
        except StoreError as error:
            log.warning("this process counts as one that works for a while: %s", error)


def until_changed(
    book: WeightsBook, promotion: Promotion | None, *, within_s: float
) -> list[ToldWeights]:
    """What all processes work with, when each has seen a promotion, or `within_s` is over.

    Raises:
        StoreError
    """
    until_s = time.monotonic() + within_s
    while True:
        told = book.all()
        if all(one.promotion == promotion for one in told) or time.monotonic() > until_s:
            return told
        time.sleep(SEEN_EVERY_S)


@contextmanager
def looked_after(weights: Weights[Any], telling: Telling) -> Generator[None]:
    """Change to the weights that are to serve, and tell which do, meanwhile."""
    with (
        repeated("weights", weights.look, every_s=LOOK_EVERY_S),
        repeated("tell weights", telling.again, every_s=SAY_EVERY_S),
    ):
        try:
            yield
        finally:
            telling.end()
