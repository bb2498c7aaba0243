"""Keep the index up to date: follow the topic `clips`, and save now and then.

The record numbers its changes, and the index remembers how far it has come (`memory.follow`), so a
message says no more than that there is something new. Deletions, which have no message, are noticed
when there is nothing else to do.

No model is needed for that: whose vectors they are, the record says. One process saves an index;
any number follow it with a copy of their own (`FollowedIndex`).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from pydantic import ValidationError

from memory.faiss_index import FaissIndex, OpenedIndex, open_index
from memory.follow import catch_up
from memory.record import Record
from memory.shards import ALL, Shard
from memory.values import ClipVectors, Mark
from services.logs import about
from services.tracing import CarryingTracer, Tracer, context_of, continuing
from streaming import bus
from streaming.messages import NS_PER_S, ClipRemembered

SAVE_EVERY_NS = 30 * NS_PER_S  # what is lost by a kill is read from the record again
RECENT = 64  # revisions that are looked through first for the newest vectors

log = logging.getLogger(__name__)


class IndexKeeper:
    """Handles the records of the topic `clips`.

    `given` is asked which index that is, since it belongs to the model that serves. Without it,
    that of the model which wrote last is opened, and another one when another model writes.
    """

    def __init__(
        self,
        given: Callable[[], OpenedIndex] | None,
        record: Record,
        directory: Path,
        *,
        monotonic_ns: Callable[[], int],
        tracer: Tracer | None = None,
    ) -> None:
        self._given = given
        self._opened: OpenedIndex | None = None
        self._record = record
        self._directory = directory
        self._monotonic_ns = monotonic_ns
        self._tracer = tracer or CarryingTracer()
        self._saved: Mark | None = None
        self._saved_at_ns = monotonic_ns()
        self._take_given()

    def prepare(self, record: bus.Record) -> None:
        """Nothing can be done ahead."""

    def restart_preparing(self) -> None:
        """Nothing was."""

    def handle(self, record: bus.Record, prepared: None) -> None:
        with (
            continuing(context_of(record.headers)),
            self._tracer.span("index.add", _announced(record)),
        ):
            self._catch_up()

    def idle(self) -> None:
        self._catch_up()

    def set_aside(self, record: bus.Record, error: Exception) -> None:
        """The next message, or the next idle moment, makes up for it."""

    def committable(self, partition: int, next_offset: int) -> int:
        return next_offset

    def revoked(self, partitions: Collection[int]) -> None:
        """The record says what is new, whoever read the message."""

    def save(self) -> None:
        """Write to the disk what is not there yet."""
        if self._opened is not None and self._opened.index.mark not in (None, self._saved):
            self._opened.save()
            self._saved = self._opened.index.mark

    def _catch_up(self) -> None:
        self._take_given()
        if self._opened is None:
            self._open()
        elif catch_up(self._opened.index, self._record).foreign and self._given is None:
            newest = newest_vectors(self._record)
            if newest is not None and newest.model_id != self._opened.index.embedder_id:
                self._open()
        if self._monotonic_ns() - self._saved_at_ns >= SAVE_EVERY_NS:
            self.save()
            self._saved_at_ns = self._monotonic_ns()

    def _take_given(self) -> None:
        """Take over the index that is given by now."""
        if self._given is not None and self._opened is not (given := self._given()):
            self._saved, self._opened = None, given
            _say_if_rebuilt(given)

    def _open(self) -> None:
        newest = newest_vectors(self._record)
        if newest is None:
            return
        self._saved = None
        self._opened = open_index(
            self._directory,
            self._record,
            width=newest.text_vector.size,
            embedder_id=newest.model_id,
        )
        _say_if_rebuilt(self._opened)


class FollowedIndex:
    """A copy that follows the record, and is never saved. May be used from any thread."""

    def __init__(self, opened: OpenedIndex, record: Record, shard: Shard = ALL) -> None:
        self.index = opened.index
        self._record = record
        self._shard = shard
        self._following = threading.Lock()
        _say_if_rebuilt(opened)

    def up_to_date(self) -> FaissIndex:
        """The index with all that the record holds; where nothing is new, that takes one look."""
        with self._following:
            catch_up(self.index, self._record, self._shard)
        return self.index


def newest_vectors(record: Record) -> ClipVectors | None:
    """The vectors that were written last; None where there are none."""
    revision, reach = record.mark().revision, RECENT
    while True:
        latest = deque(record.vectors(after_revision=max(0, revision - reach)), maxlen=1)
        if latest or reach >= revision:
            return latest[0] if latest else None
        reach *= RECENT


def _announced(record: bus.Record) -> dict[str, str]:
    """What a message is about; one that is none only says that there is something new."""
    try:
        clip_id = ClipRemembered.model_validate_json(record.value).clip_id
    except ValidationError:
        clip_id = None
    return about(stream_id=record.key, clip_id=clip_id)


def _say_if_rebuilt(opened: OpenedIndex | None) -> None:
    if opened is not None and opened.rebuilt_because is not None:
        log.info("index: built from the record, because %s", opened.rebuilt_because)
