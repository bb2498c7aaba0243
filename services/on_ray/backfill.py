"""Take in an archive on a cluster: Ray Data hands files to workers, and anew when one dies.

A file that was in hand then is taken up where it was left, so each is remembered once. Files and
results travel as JSON, one a row.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from queue import Empty, Queue
from typing import Any

from pydantic import TypeAdapter

from services.archive import ArchiveFile, Taken
from services.backfill import Backfill, opened_backfill
from services.console import OURS
from services.on_ray.cluster import Placement, connected
from services.on_ray.errors import ClusterFailed
from services.settings import Settings
from services.wiring import LoadEngine, Stores, opened

LOOK_S = 0.2

FILE = TypeAdapter(ArchiveFile)
TAKEN = TypeAdapter(Taken)


def take_on_ray(
    stores: Stores,
    load_engine: LoadEngine,
    files: Sequence[ArchiveFile],
    placement: Placement,
    stop: threading.Event,
) -> Iterator[Taken]:
    """Take in files, several at once and in any order, until `stop` is set.

    Raises:
        ClusterError
    """
    rows = [{"file": FILE.dump_json(file).decode()} for file in files]
    settings = placement.settings_of_a_worker(stores.settings)
    given = (settings, placement.loading(load_engine), stores.record.mark().record_id)
    results: Queue[Taken | Exception | None] = Queue()
    working = threading.Thread(
        target=put_results, args=(rows, given, placement, results), name="backfill", daemon=True
    )
    with connected(placement.address):
        working.start()
        while not stop.is_set():
            try:
                result = results.get(timeout=LOOK_S)
            except Empty:
                continue
            if result is None:
                break
            if isinstance(result, Exception):
                reason = str(result).strip().rpartition("\n")[2]  # after the traceback
                raise ClusterFailed(reason) from result
            yield result


def put_results(
    rows: list[dict[str, str]],
    given: tuple[Settings, LoadEngine, str],
    placement: Placement,
    results: "Queue[Taken | Exception | None]",
) -> None:
    """Have all rows worked on, and put each result when it is there; then None, or the error."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it raises, too
    taken = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Taker,
        fn_constructor_args=given,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=placement.workers,
            initial_size=placement.workers,
            max_tasks_in_flight_per_actor=1,
        ),
        num_cpus=placement.cpus,
        num_gpus=placement.gpus,
    )
    try:
        for row in taken.iter_rows():
            results.put(TAKEN.validate_json(row["taken"]))
        results.put(None)
    except Exception as error:  # noqa: BLE001 - the top of a thread; its owner raises it
        results.put(error)


class Taker:
    """Takes in files in a process that Ray placed. What fails is a result, and not raised."""

    def __init__(self, settings: Settings, load_engine: LoadEngine, record_id: str) -> None:
        self._settings = settings
        self._load_engine = load_engine
        self._record_id = record_id
        self._open = ExitStack()
        self._backfill: Backfill | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        taken = [self._take(FILE.validate_json(text)) for text in batch["file"]]
        return {"taken": [TAKEN.dump_json(one).decode() for one in taken]}

    def _take(self, file: ArchiveFile) -> Taken:
        try:
            return self._ready().take(file, threading.Event())
        except OURS as error:
            return Taken(file.path, file.stream_id, clips=0, failure=str(error))

    def _ready(self) -> Backfill:
        """With the stores and the model open, which is done once.

        Raises:
            ModelUnavailable, StoreError, BusError, ClusterFailed
        """
        if self._backfill is None:
            stores = self._open.enter_context(opened(self._settings, make=True))
            if stores.record.mark().record_id != self._record_id:
                raise ClusterFailed("a worker sees another record; set LONGWATCH_REDIS")
            opening = opened_backfill(stores, self._load_engine)
            self._backfill = self._open.enter_context(opening)
        return self._backfill
