"""Reading one topic of Kafka from any offset, with a client of its own that fetches ahead.

Knows of no group: a position is what the caller names. Asks the broker for the bounds at each read,
so that what was fetched ahead and trimmed meanwhile is not given any more, and so that a broker
that is away is an error and not an empty topic.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeAlias

from kafka import KafkaConsumer, errors
from kafka.structs import TopicPartition

from streaming.bus import Record
from streaming.errors import OffsetOutOfRange
from streaming.kafka_link import FAULTS, PATIENCE_S, KafkaLink, discard

# As in `kafka_link`: the stubs there are know too little.
Reading: TypeAlias = Any
Fetched: TypeAlias = Any

SLICE_S = 0.1  # how soon a waiting reader sees that the bus was closed


class KafkaReader:
    """For one thread; another may close it."""

    def __init__(
        self,
        link: KafkaLink,
        topic: str,
        *,
        partition: Callable[[], TopicPartition],
        bounds: Callable[[], tuple[int, int]],
        monotonic_s: Callable[[], float],
    ) -> None:
        """
        Args:
            partition: makes the topic if need be, and says where it is.
            bounds: asks for begin and end offset, not through the client that reads: it would be
                answered only after the fetch that waits for records.
        """
        self._link = link
        self._bounds = bounds
        self._topic = topic
        self._find_partition = partition
        self._partition = TopicPartition(topic, 0)
        self._monotonic_s = monotonic_s
        self._lock = Lock()
        self._client: Reading | None = None
        self._next = -1
        """Offset that the client would give next."""

    def read(self, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        """Records from `first` on, or from the oldest; wait for one, at most so long.

        Raises:
            OffsetOutOfRange: `first` is beyond the end; somebody made the topic anew.
            BusClosed, BusRefused, BusUnavailable
        """
        deadline_s = self._monotonic_s() + timeout_s
        with self._lock:
            self._link.refuse_closed()
            if self._client is None:
                self._client = self._connected()
            try:
                end = self._seek(self._client, first)
                records = self._those_there_are(self._client, end=end, limit=limit)
                while not records and (remaining_s := deadline_s - self._monotonic_s()) > 0:
                    self._link.refuse_closed()
                    records = self._polled(self._client, limit, min(SLICE_S, remaining_s))
            except FAULTS as error:
                self._drop()
                raise self._link.error_for(error) from error
            return records

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _connected(self) -> Reading:
        self._partition = self._find_partition()
        client = self._link.connect(
            KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
        )
        client.assign([self._partition])
        self._next = -1
        return client

    def _seek(self, client: Reading, first: int) -> int:
        """Go where the next record is, which retention may have moved; return the end offset."""
        begin, end = self._bounds()
        if first > end:
            raise OffsetOutOfRange(self._topic, offset=first, first=begin, end=end)
        if self._next != max(first, begin):
            self._next = max(first, begin)
            client.seek(self._partition, self._next)
        return end

    def _those_there_are(self, client: Reading, *, end: int, limit: int) -> list[Record]:
        records: list[Record] = []
        deadline_s = self._monotonic_s() + PATIENCE_S
        while self._next < end and len(records) < limit:
            self._link.refuse_closed()
            records += self._polled(client, limit - len(records), SLICE_S)
            if not records and self._monotonic_s() > deadline_s:
                raise errors.KafkaTimeoutError
        return records

    def _polled(self, client: Reading, limit: int, timeout_s: float) -> list[Record]:
        fetched = client.poll(timeout_ms=round(timeout_s * 1000), max_records=limit)
        records = [self._record(raw) for raw in fetched.get(self._partition, ())]
        if records:
            self._next = records[-1].offset + 1
        return records

    def _record(self, raw: Fetched) -> Record:
        return Record(
            topic=self._topic,
            partition=raw.partition,
            offset=raw.offset,
            key=_text(raw.key),
            value=raw.value or b"",
            headers={name: _text(text) for name, text in raw.headers},
            timestamp_ms=raw.timestamp,
        )

    def _drop(self) -> None:
        if (client := self._client) is not None:
            self._client = None
            discard(client.close)


def _text(raw: bytes | None) -> str:
    """A foreign record may hold anything here; what it means is for its reader to refuse."""
    return (raw or b"").decode(errors="replace")
