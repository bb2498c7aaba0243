"""One member of a consumer group of Kafka, which gets its partitions by Kafka's own protocol.

A thread of the client tells the broker every second that this member lives, however long the
model works between two polls. One that is silent for `SESSION_S` (killed, frozen, cut off), or that
does not poll for `WORK_S`, is put out of the group; its partitions go to the others. Should it come
back it is a zombie: it belongs to a generation that is over, the broker refuses its commits, and at
its next poll it learns that all was taken from it and joins anew.

Partitions are assigned cooperatively (KIP-429): who keeps a partition goes on with it while others
change hands, and nobody gets one before its last reader knows that it is gone.

The client heals by itself what a broker that comes back can heal, and keeps its membership that
way. It says nothing, though, while brokers are away; so where nothing comes they are asked.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeAlias

from kafka import ConsumerRebalanceListener, KafkaConsumer, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata, TopicPartition

from streaming.bus import Bounds, Record, check_offset
from streaming.errors import BusClosed
from streaming.kafka_link import FAULTS, REQUEST_S, KafkaLink, discard

# As in `kafka_link`: the stubs there are know too little.
Client: TypeAlias = Any
Fetched: TypeAlias = Any

SESSION_S = 10.0
HEARTBEAT_S = 1.0
WORK_S = 300.0
SLICE_S = 0.1  # how soon a waiting reader sees that the bus was closed
PATIENT_REQUEST_S = 10.0  # also for sharing out partitions, which a busy member may keep waiting
CLOSE_S = 1.0

FENCED = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.RebalanceInProgressError,
    errors.UnknownMemberIdError,
)
"""What a commit is refused with that came too late, or too early."""


class KafkaGroupConsumer:
    """For one thread; another may close it. Joins its group when it is first polled."""

    def __init__(
        self,
        link: KafkaLink,
        topic: str,
        *,
        name: str,
        group: str,
        bounds: Callable[[], dict[int, Bounds]],
        monotonic_s: Callable[[], float],
    ) -> None:
        """
        Args:
            name: of the topic in the cluster, as `group` is.
            bounds: makes the topic if need be, and asks for its offsets, not through this client.
        """
        self._link = link
        self._topic = topic
        self._name = name
        self._group = group
        self._bounds = bounds
        self._monotonic_s = monotonic_s
        self._lock = Lock()
        self._client: Client | None = None
        self._membership = _Membership()
        self._revoked: frozenset[int] = frozenset()
        self._read_until: dict[int, int] = {}
        self._is_closed = False

    @property
    def assigned(self) -> frozenset[int]:
        return frozenset(self._membership.assigned)

    def revoked(self) -> frozenset[int]:
        with self._lock:
            revoked = self._revoked | self._membership.revoked
            self._membership.revoked.clear()
            self._revoked = frozenset()
        return revoked

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        deadline_s = self._monotonic_s() + timeout_s
        while True:
            remaining_s = max(0.0, deadline_s - self._monotonic_s())
            with self._opened() as client:
                records = self._polled(client, max_records, min(SLICE_S, remaining_s))
            if records:
                return records
            if remaining_s <= 0:
                break
        self._bounds()
        return []

    def commit(self, offsets: Mapping[int, int]) -> bool:
        if any(offset > self._read_until.get(one, 0) for one, offset in offsets.items()):
            bounds = self._bounds()
            for partition, offset in offsets.items():
                check_offset(self._topic, offset, Bounds(0, bounds[partition].end))
        with self._opened() as client:
            if not self.assigned.issuperset(offsets):
                return False
            named = {
                TopicPartition(self._name, partition): OffsetAndMetadata(offset, "", -1)
                for partition, offset in offsets.items()
            }
            try:
                client.commit(named, timeout_ms=round(REQUEST_S * 1000))
            except FENCED:
                return False
            return True

    def seek(self, partition: int, offset: int) -> None:
        check_offset(self._topic, offset, self._bounds()[partition])
        with self._opened() as client:
            client.seek(TopicPartition(self._name, partition), offset)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._drop()

    @contextmanager
    def _opened(self) -> Generator[Client]:
        """The client, for this thread alone; its errors as the bus's own."""
        with self._lock:
            self._link.refuse_closed()
            if self._is_closed:
                raise BusClosed
            try:
                if self._client is None:
                    self._bounds()
                    self._client = self._connected()
                yield self._client
            except FAULTS as error:
                if not isinstance(error, errors.KafkaTimeoutError):
                    self._drop()
                raise self._link.error_for(error) from error

    def _connected(self) -> Client:
        client: Client = self._link.connect(
            KafkaConsumer,
            group_id=self._group,
            partition_assignment_strategy=[self._membership.assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            session_timeout_ms=round(SESSION_S * 1000),
            heartbeat_interval_ms=round(HEARTBEAT_S * 1000),
            max_poll_interval_ms=round(WORK_S * 1000),
            request_timeout_ms=round(PATIENT_REQUEST_S * 1000),
        )
        try:
            client.subscribe([self._name], listener=self._membership)
            # Who leads the group must know the topic before it assigns any of it: the client joins
            # at once, and then does not notice that it knew nothing yet.
            client.end_offsets([TopicPartition(self._name, 0)], timeout_ms=round(REQUEST_S * 1000))
        except FAULTS:
            discard(client.close)
            raise
        return client

    def _polled(self, client: Client, limit: int, timeout_s: float) -> list[Record]:
        fetched = client.poll(timeout_ms=round(timeout_s * 1000), max_records=limit)
        records = [self._record(raw) for of_one in fetched.values() for raw in of_one]
        for record in records:
            self._read_until[record.partition] = record.offset + 1
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
        """Be no member any more, as far as this side can tell."""
        if (client := self._client) is not None:
            self._client = None
            discard(lambda: client.close(autocommit=False, timeout_ms=round(CLOSE_S * 1000)))
            self._revoked |= self._membership.revoked | self._membership.assigned
            self._membership = _Membership()


class _Membership(ConsumerRebalanceListener):
    """What the client says of partitions that come and go. It says so within `poll` and `close`."""

    def __init__(self) -> None:
        self.assignor: Any = CooperativeStickyAssignor()
        self.assigned: set[int] = set()
        self.revoked: set[int] = set()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.assigned |= {one.partition for one in assigned}

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        gone = {one.partition for one in revoked}
        self.assigned -= gone
        self.revoked |= gone

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)
        self.assignor.member_assignment = None  # else it would claim when it joins what others have


def _text(raw: bytes | None) -> str:
    """A foreign record may hold anything here; what it means is for its reader to refuse."""
    return (raw or b"").decode(errors="replace")
