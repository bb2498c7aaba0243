"""Store segments, then publish them: what makes a kill at any moment harmless.

A segment is stored before its message is published. A capture that was killed in between finds the
file when it starts again, and publishes the message that the file itself holds. So nothing that was
stored is lost, and nothing is published twice: the position follows from what was published.

When the store refuses (full, read-only, away), delivery waits and tries again, for ever. When the
bus does not answer, segments go on being stored and their messages wait in order.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from streaming.errors import BusError, FootageError, FootageMissing, UnreadableMedia
from streaming.footage import FootageStore, StoredSegment
from streaming.messages import CaptureMessage, GapReason, SegmentReady, Span, StreamEnded, StreamGap
from streaming.progress import CapturePosition
from streaming.segments import SegmentFile, read_segment

T = TypeVar("T")

Pause = Callable[[FootageError | BusError, int], bool]
"""Told what is wrong and how many times already: waits, and says whether to try again."""


class Stopped(Exception):
    """The capture was told to stop while it waited for the store."""


class Delivery:
    """One stream's way out of capture."""

    def __init__(
        self,
        *,
        stream_id: str,
        epoch_at: datetime,
        store: FootageStore,
        publish: Callable[[CaptureMessage], None],
        position: CapturePosition,
        pause: Pause,
    ) -> None:
        self._stream_id = stream_id
        self._epoch_at = epoch_at
        self._store = store
        self._publish = publish
        self._pause = pause
        self.gaps = 0
        self.no_room_until_ns = 0
        """Of a live source: where its time stood when there was room again after there was none."""
        self._waiting: deque[CaptureMessage] = deque()
        self.position = position
        """Everything before it is stored or known to be a gap; the messages may still wait."""

    @property
    def waiting_messages(self) -> int:
        return len(self._waiting)

    def adopt(self) -> int:
        """Publish what a killed capture stored and did not publish; returns how many segments.

        Raises:
            Stopped
        """
        self._patiently(lambda: self._store.clean(self._stream_id))
        found = self._patiently(
            lambda: self._store.segments(self._stream_id, from_ns=self.position.end_ns)
        )
        adopted = 0
        for stored in found:
            facts = self._patiently(lambda stored=stored: self._facts_of(stored))
            if facts is None:
                self._patiently(lambda stored=stored: self._store.delete(stored.uri))
                continue
            ready, after_gap = facts
            self.gap_until(ready.span.start_ns, after_gap or GapReason.NOT_RUNNING)
            self._send(ready)
            adopted += 1
        return adopted

    def segment(self, file: SegmentFile, *, suffix: str) -> SegmentReady:
        """Store a segment that starts at the position or after it, and publish it.

        Raises:
            Stopped
        """
        span = file.facts.span
        uri = self._patiently(lambda: self._store.put(file.data, span=span, suffix=suffix))
        ready = file.ready(uri)
        if file.facts.after_gap is not None:
            self.gap_until(span.start_ns, file.facts.after_gap)
        self._send(ready)
        return ready

    def gap_until(self, end_ns: int, reason: GapReason) -> bool:
        """Publish that nothing was captured up to `end_ns`; False if there is no such time."""
        start_ns = self.position.end_ns
        if end_ns <= start_ns:
            return False
        span = Span(stream_id=self._stream_id, start_ns=start_ns, end_ns=end_ns)
        self.gaps += 1
        self._send(StreamGap(span=span, reason=reason))
        return True

    def why_lost(self, otherwise: GapReason) -> GapReason:
        """Why what follows on the position was lost: where there was no room, because of that."""
        was_full = self.position.end_ns < self.no_room_until_ns
        return GapReason.DISK_FULL if was_full else otherwise

    def ended(self) -> None:
        """Publish that the stream is over, once everything before it is published.

        Raises:
            Stopped
        """
        self._send(StreamEnded(stream_id=self._stream_id, end_ns=self.position.end_ns))
        attempt = 0
        while (error := self.flush()) is not None:
            attempt += 1
            if not self._pause(error, attempt):
                raise Stopped

    def flush(self) -> BusError | None:
        """Publish what waits; returns why some of it still does."""
        while self._waiting:
            try:
                self._publish(self._waiting[0])
            except BusError as error:
                return error
            self._waiting.popleft()
        return None

    def _send(self, message: CaptureMessage) -> None:
        self.position = self.position.after(message)
        self._waiting.append(message)
        self.flush()

    def _facts_of(self, stored: StoredSegment) -> tuple[SegmentReady, GapReason | None] | None:
        """The message of a stored segment that continues this stream; None if it does not."""
        try:
            with self._store.open_local(stored.uri) as path:
                ready, facts = read_segment(path, uri=stored.uri, size_bytes=stored.size_bytes)
        except (UnreadableMedia, FootageMissing):
            return None
        continues = (
            ready.span == stored.span
            and ready.span.start_ns >= self.position.end_ns
            and ready.sequence == self.position.next_sequence
            and ready.epoch_at == self._epoch_at
        )
        return (ready, facts.after_gap) if continues else None

    def _patiently(self, act: Callable[[], T]) -> T:
        attempt = 0
        while True:
            try:
                return act()
            except FootageError as error:
                attempt += 1
                if not self._pause(error, attempt):
                    raise Stopped from error
