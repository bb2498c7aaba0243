"""Keep the index up to date: follow the topic `clips`, and save now and then.

The record numbers its changes, and the index remembers how far it has come (`memory.follow`), so a
message says no more than that there is something new. Deletions, which have no message, are noticed
when there is nothing else to do.
"""

import logging
from collections.abc import Callable

from memory.faiss_index import OpenedIndex
from memory.follow import catch_up
from memory.record import Record
from memory.values import Mark
from streaming import bus
from streaming.messages import NS_PER_S

SAVE_EVERY_NS = 30 * NS_PER_S  # what is lost by a kill is read from the record again

log = logging.getLogger(__name__)


class IndexKeeper:
    """Handles the records of the topic `clips`."""

    def __init__(
        self, opened: OpenedIndex, record: Record, *, monotonic_ns: Callable[[], int]
    ) -> None:
        self._opened = opened
        self._record = record
        self._monotonic_ns = monotonic_ns
        self._saved: Mark | None = None
        self._saved_at_ns = monotonic_ns()
        if opened.rebuilt_because is not None:
            log.info("index: built from the record, because %s", opened.rebuilt_because)

    def prepare(self, record: bus.Record) -> None:
        """Nothing can be done ahead."""

    def restart_preparing(self) -> None:
        """Nothing was."""

    def handle(self, record: bus.Record, prepared: None) -> None:
        self._catch_up()

    def idle(self) -> None:
        self._catch_up()

    def set_aside(self, record: bus.Record, error: Exception) -> None:
        """The next message, or the next idle moment, makes up for it."""

    def committable(self, next_offset: int) -> int:
        return next_offset

    def save(self) -> None:
        """Write to the disk what is not there yet."""
        if self._opened.index.mark not in (None, self._saved):
            self._opened.save()
            self._saved = self._opened.index.mark

    def _catch_up(self) -> None:
        catch_up(self._opened.index, self._record)
        if self._monotonic_ns() - self._saved_at_ns >= SAVE_EVERY_NS:
            self.save()
            self._saved_at_ns = self._monotonic_ns()
