"""The weights that a service works with, whose place others take while it runs.

Which ones serve is named in the data directory (`services.promoted`). Others are loaded beside
those that work, and then switched to. Whoever works asks for them before each piece of work and
keeps them to its end, so that no note and no answer is written by two, and each says by which.

What cannot be loaded, or looks at streams in another way, changes nothing: the weights that are
there go on, one line of the log says so, and so do `/v1/ready` and `longwatch doctor`.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.actions import Action, action_for
from services.console import OURS
from services.errors import LayoutChanges
from services.promoted import Promotion, serving_promotion
from services.settings import Settings
from services.wiring import LoadEngine, WatchingEngine

LOOK_EVERY_S = 2.0

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Turnout:
    """What became of a promotion here: what serves now, and why not what was to serve."""

    promotion: Promotion | None
    engine: WatchingEngine
    refused: str | None = None


Tell = Callable[[Turnout], None]


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """An engine, and what belongs to its weights, such as the index of their vectors."""

    engine: WatchingEngine
    other: T


class Weights(Generic[T]):
    """What serves just now. May be used from any thread.

    `belonging` makes what belongs to an engine; it is asked before that engine serves.
    """

    def __init__(
        self,
        settings: Settings,
        load_engine: LoadEngine,
        belonging: Callable[[WatchingEngine], T],
        tell: Tell,
        *,
        patiently: Callable[[Callable[[], T]], T] = lambda make: make(),
    ) -> None:
        """`patiently` has what belongs to the first engine made, where that may have to wait.

        Raises:
            ModelUnavailable, StoreError, and what `belonging` raises.
        """
        self._settings = settings
        self._load_engine = load_engine
        self._belonging = belonging
        self._tell = tell
        self._looking = threading.Lock()
        self._refused: str | None = None
        self._named = serving_promotion(settings)  # first: another one may come meanwhile
        engine = load_engine(settings)
        self._now = Held(engine, patiently(lambda: belonging(engine)))
        tell(Turnout(self._named, engine))

    @property
    def now(self) -> Held[T]:
        return self._now

    def engine(self) -> WatchingEngine:
        return self._now.engine

    def look(self) -> None:
        """Load and switch to what is to serve by now, if that is another.

        Raises:
            StoreError: an engine of the record is away just now; the next look may do better.
        """
        with self._looking:
            named = self._named
            try:
                named = serving_promotion(self._settings)
                if named != self._named:
                    self._change()
                    self._refused = None
                    self._tell(Turnout(named, self._now.engine))
            except OURS as error:
                if action_for(error) is Action.RETRY:
                    raise
                self._refuse(named, str(error))
            self._named = named

    def _change(self) -> None:
        engine, before = self._load_engine(self._settings), self._now.engine
        if engine.layout_id != before.layout_id:
            raise LayoutChanges(engine.model_id, serving=before.model_id)
        if engine.model_id != before.model_id:
            self._now = Held(engine, self._belonging(engine))
            log.info("%s serves from now on, and %s no more", engine.model_id, before.model_id)

    def _refuse(self, named: Promotion | None, reason: str) -> None:
        if (named, reason) != (self._named, self._refused):
            self._refused = reason
            log.error("%s goes on serving: %s", self._now.engine.model_id, reason)
            self._tell(Turnout(named, self._now.engine, reason))
