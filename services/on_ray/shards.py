"""Answering with an index that is divided over a Ray cluster: each shard holds some streams.

A shard reads its part of what the service `index` saved, and follows the record by itself, so it
has no state of its own. Ray starts one that died anew, and asks it again what it was being asked.
"""

import logging
import sys
import threading
from contextlib import ExitStack
from typing import Any, NamedTuple

from memory.index import VectorKind, best_first
from memory.record import Within
from memory.shards import Shard, shards
from memory.values import Hit, Vector
from models.engine import Engine
from services.console import OURS, console_of
from services.index import FollowedIndex
from services.locks import Service
from services.logs import log_to
from services.on_ray.cluster import Placement, connected, first_line, must_share, placed
from services.on_ray.errors import ShardAway
from services.parts import Index
from services.run import Alone, answer_from
from services.settings import Settings
from services.wiring import open_shard, opened

CALL_S = 60.0  # to start anew and load, at most; a person who asks has waited long by then


class Failed(NamedTuple):
    """What a shard says instead of raising, since what is raised would have to be pickled."""

    reason: str


class IndexShard:
    """A shard of the index, in a process that Ray placed. Knows nothing of Ray."""

    def __init__(self, settings: Settings, shard: Shard, *, width: int, embedder_id: str) -> None:
        self._settings = settings
        self._shard = shard
        self._width = width
        self._embedder_id = embedder_id
        self._open = ExitStack()
        self._followed: FollowedIndex | None = None
        console = console_of(sys.stderr)
        log_to(console, level=logging.INFO, form=settings.log, service=Service.ANSWER)

    def follow(self) -> list[Hit] | Failed:
        """Be up to date."""
        try:
            self._there().up_to_date()
        except OURS as error:
            return Failed(str(error))
        return []

    def search(
        self, query: Vector, kind: VectorKind, limit: int, within: Within
    ) -> list[Hit] | Failed:
        try:
            index = self._there().index
            return index.search(query, kind=kind, limit=limit, within=within)
        except OURS as error:
            return Failed(str(error))

    def _there(self) -> FollowedIndex:
        if self._followed is None:
            with ExitStack() as opening:
                stores = opening.enter_context(opened(self._settings, make=True))
                vectors = open_shard(
                    stores, self._shard, width=self._width, embedder_id=self._embedder_id
                )
                self._followed = FollowedIndex(vectors, stores.record, self._shard)
                self._open = opening.pop_all()
        return self._followed


class ShardedIndex:
    """A `ClipSearch` over shards. May be used from any thread.

    Each call raises `ShardAway` when a shard does not answer.
    """

    def __init__(self, settings: Settings, engine: Engine, placement: Placement) -> None:
        actor = placed(IndexShard, placement, calls_at_once=1, is_called_again=True)
        given = placement.settings_of_a_worker(settings)
        vectors = {"width": engine.vector_width, "embedder_id": engine.model_id}
        self._actors = {
            shard: actor.remote(given, shard, **vectors) for shard in shards(placement.workers)
        }

    def up_to_date(self) -> "ShardedIndex":
        self._results([one.follow.remote() for one in self._actors.values()])
        return self

    def search(
        self, query: Vector, *, kind: VectorKind, limit: int, within: Within = None
    ) -> list[Hit]:
        calls = [
            one.search.remote(query, kind, limit, within)
            for shard, one in self._actors.items()
            if within is None or any(shard.holds(span.stream_id) for span in within)
        ]
        return best_first(hit for hits in self._results(calls) for hit in hits)[:limit]

    def _results(self, calls: list[Any]) -> list[list[Hit]]:
        import ray
        from ray.exceptions import RayError

        try:
            results = ray.get(calls, timeout=CALL_S)
        except RayError as error:
            raise ShardAway(first_line(error)) from error
        for result in results:
            if isinstance(result, Failed):
                raise ShardAway(result.reason)
        return results


def answer_on_ray(alone: Alone, placement: Placement, stop: threading.Event) -> None:
    """Be the service `answer`, with the index in shards on a cluster, until `stop` is set.

    Raises:
        SettingsError, ClusterError, ModelUnavailable, WorkerCrashed
    """
    settings = alone.parts.stores.settings
    must_share("LONGWATCH_REDIS", settings.redis)
    with connected(placement.address):

        def sharded(engine: Engine) -> Index:
            index = ShardedIndex(settings, engine, placement)

            def followed() -> ShardedIndex:
                try:
                    index.up_to_date()
                except ShardAway as error:
                    alone.readiness.misses("shards", error.reason)
                    raise
                alone.readiness.has("shards")
                return index

            return followed

        answer_from(sharded, alone, stop)
