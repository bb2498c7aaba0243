"""Make room on a full disk: delete the oldest footage, of all streams, that is remembered already.

What is not analysed yet is never deleted, nor are notes, tokens or anything else of the memory: of
what happened in deleted footage questions are answered as before, and it cannot be exported.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from typing import NamedTuple

from memory.errors import StoreError
from memory.record import Record
from memory.values import StreamSpec
from services.logs import about
from services.metrics import Metrics
from services.progress import remembered_until_ns
from streaming.errors import FootageError, FootageFull
from streaming.footage import RESERVE_BYTES, FootageStore
from streaming.messages import Span, wall_time

ROOM_BYTES = 256 * 2**20  # deleted at once, so that it is not looked for every few seconds

log = logging.getLogger(__name__)


class Deletable(NamedTuple):
    """A segment that nobody needs, and when it was filmed."""

    filmed_at: datetime
    stream_id: str
    uri: str
    size_bytes: int


class SelfClearingFootage(FootageStore):
    """A footage store that deletes where it is full; may be used from any thread."""

    def __init__(
        self,
        url: str,
        *,
        record: Record,
        metrics: Metrics,
        room_bytes: int = ROOM_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        super().__init__(url, reserve_bytes=reserve_bytes)
        self._record = record
        self._metrics = metrics
        self._room_bytes = room_bytes
        self._clearing = threading.Lock()
        self._times = 0

    def put(self, data: bytes, *, span: Span, suffix: str = ".mp4") -> str:
        while True:
            times = self._times
            try:
                return super().put(data, span=span, suffix=suffix)
            except FootageFull:
                if not self._clear(times):
                    raise

    def _clear(self, times: int) -> bool:
        """Whether there is more room than after so many clearings."""
        with self._clearing:
            if self._times > times:  # others have waited for the same room
                return True
            try:
                deleted = self._delete_oldest()
            except (StoreError, FootageError) as error:
                log.warning("no room can be made: %s", error)
                return False
            self._times += bool(deleted)
        return bool(deleted)

    def _delete_oldest(self) -> Counter[str]:
        """How many bytes were deleted of each stream."""
        deleted: Counter[str] = Counter()
        for one in merge(*map(self._remembered, self._record.streams())):
            self.delete(one.uri)
            self._metrics.footage_deleted(one.stream_id, one.size_bytes)
            deleted[one.stream_id] += one.size_bytes
            if deleted.total() >= self._room_bytes:
                break
        for stream_id, size_bytes in deleted.items():
            said, mib = about(stream_id=stream_id), size_bytes / 2**20
            log.warning("%s: the disk is full: %.1f MiB deleted", stream_id, mib, extra=said)
        return deleted

    def _remembered(self, spec: StreamSpec) -> Iterator[Deletable]:
        """The footage of a stream that analysis has done with, in order of time."""
        if spec.epoch_at is None:
            return
        until_ns = remembered_until_ns(self._record, spec)
        for segment in self.oldest(spec.stream_id):
            if segment.span.end_ns > until_ns:
                return
            filmed_at = wall_time(spec.epoch_at, segment.span.start_ns)
            yield Deletable(filmed_at, spec.stream_id, segment.uri, segment.size_bytes)
