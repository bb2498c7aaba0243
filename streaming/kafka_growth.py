"""More partitions for a topic of Kafka, without parting the records of a key.

How many partitions there are says in which one the records of a key lie. Were a topic just given
more, what is unread would wait in one partition while newer records of the same key come in
another, and two readers would take them in whatever order. So what is unread is published once
more, in order, each record to where its key belongs now, and the groups go on behind it.

Broken off and begun again it does the rest: a partition whose unread records all belong there is
left alone. What was published already is then there twice, as after any call without an answer.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

from kafka import KafkaConsumer, errors
from kafka.partitioner import murmur2
from kafka.structs import OffsetAndMetadata, TopicPartition

from streaming.bus import Bounds, Outgoing
from streaming.errors import BusRefused
from streaming.kafka_link import FAULTS, PATIENCE_S, Admin, KafkaLink

HASH_BITS = 0x7FFFFFFF
CHUNK_BYTES = 2**20
EMPTY = ("Dead", "Empty")


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's clients put records of that key."""
    return (murmur2(key) & HASH_BITS) % partitions


def refuse_read(admin: Admin, groups: Collection[str]) -> None:
    """
    Raises:
        BusRefused: one of the groups has members.
    """
    for group, state in admin.describe_groups(list(groups)).items():
        if state["group_state"] not in EMPTY:
            raise BusRefused(f"group {group!r}", reason="it is reading; stop all services first")


def refuse_fewer(name: str, *, have: int, wanted: int) -> None:
    """
    Raises:
        BusRefused
    """
    if wanted < have:
        reason = f"it has {have} partitions, and Kafka takes none away; set as many, or more"
        raise BusRefused(f"topic {name!r}", reason=reason)


class Mover:
    """Brings what is unread of a topic to where it belongs."""

    def __init__(
        self,
        link: KafkaLink,
        name: str,
        bounds: Mapping[int, Bounds],
        *,
        publish: Callable[[Sequence[Outgoing]], object],
    ) -> None:
        """`name` is the topic's in the cluster, whose partitions hold `bounds`."""
        self._link = link
        self._name = name
        self._bounds = bounds
        self._publish = publish

    def move(self, committed: Mapping[str, Mapping[int, int]]) -> int:
        """Publish again what lies wrong, and what is between it; return how many records.

        Args:
            committed: of each group, which are moved behind it.
        """
        moved = 0
        for partition, held in self._bounds.items():
            unread = min(of_group.get(partition, held.begin) for of_group in committed.values())
            first = max(unread, held.begin)
            if all(self._belongs(one.key, partition) for one in self._read(partition, first)):
                continue
            for chunk in _chunks(self._read(partition, first)):
                self._publish(chunk)
                moved += len(chunk)
            self._commit(committed, partition)
        return moved

    def _belongs(self, key: str, partition: int) -> bool:
        return partition_of(key.encode(), len(self._bounds)) == partition

    def _commit(self, groups: Iterable[str], partition: int) -> None:
        one, end = TopicPartition(self._name, partition), self._bounds[partition].end

        def commit(admin: Admin) -> None:
            for group in groups:
                done = admin.alter_group_offsets(group, {one: OffsetAndMetadata(end, "", -1)})
                if done[one] is not errors.NoError:
                    raise done[one](f"group {group!r}")

        self._link.ask(commit)

    def _read(self, partition: int, first: int) -> Iterator[Outgoing]:
        """The records from `first` to where the partition ended when this began."""
        one, end = TopicPartition(self._name, partition), self._bounds[partition].end
        if first >= end:
            return
        at = first
        try:
            with closing(self._link.connect(KafkaConsumer, enable_auto_commit=False)) as client:
                client.assign([one])
                client.seek(one, first)
                while at < end:
                    polled = client.poll(timeout_ms=round(PATIENCE_S * 1000))
                    if not polled:
                        raise errors.KafkaTimeoutError(f"nothing came of {self._name} from {at} on")
                    for raw in polled.get(one, ()):
                        if raw.offset < end:
                            headers = {name: text.decode() for name, text in raw.headers}
                            yield Outgoing((raw.key or b"").decode(), raw.value or b"", headers)
                        at = raw.offset + 1
        except FAULTS as error:
            raise self._link.error_for(error) from error


def _chunks(records: Iterator[Outgoing]) -> Iterator[list[Outgoing]]:
    chunk: list[Outgoing] = []
    size_bytes = 0
    for record in records:
        chunk.append(record)
        size_bytes += len(record.value)
        if size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk
