"""The `Bus` of several machines: Apache Kafka, through kafka-python.

What holds beyond the protocol, and what it rests on:

    `publish` returns once every in-sync replica has the record (acks=all). How many those are is
    the cluster's to say: topics are made with its own replication factor.
    Of each partition `publish_many` writes one record batch, which a broker appends whole or not at
    all; more than `MAX_BATCH_BYTES` is refused for that reason. Transactions would allow more, but
    their markers take offsets, and offsets have no gaps here.
    A key's partition is the one that other clients of Kafka choose for it, so that they may publish
    too. How many there are is asked anew every minute. To have more of them while somebody
    publishes or reads parts the records of a key; `grow` does it without.
    Retries within a call are idempotent. After `BusUnavailable` nobody knows whether the records
    were appended; publishing them again may double them then.
    A group's committed offset is Kafka's own, so that Kafka's tools show it. Kafka forgets it when
    the group commits nothing for long (`offsets.retention.minutes`, 7 days unless told otherwise);
    the group then begins at the oldest record again.

Clients are made when first needed. When something fails they are thrown away, and the next call
makes new ones, so the bus outlives every restart of its brokers. Each wait has an end.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from kafka import KafkaProducer, errors
from kafka.structs import TopicPartition

from streaming.bus import (
    NO_HEADERS,
    Bounds,
    Outgoing,
    check_name,
    check_record,
    oldest_kept_ms,
)
from streaming.errors import BusRefused, RecordTooLarge
from streaming.kafka_consumer import KafkaGroupConsumer
from streaming.kafka_growth import Mover, partition_of, refuse_fewer, refuse_read
from streaming.kafka_link import (
    FAULTS,
    PATIENCE_S,
    REQUEST_S,
    Admin,
    KafkaAccess,
    KafkaLink,
    discard,
)
from streaming.kafka_topics import (
    MAX_BATCH_BYTES,
    MAX_MESSAGE_BYTES,
    expect_partitions,
    made_partitions,
    prepare_topic,
)
from streaming.topics import KEPT_UNTIL_TRIMMED, TOPICS, TopicPolicy

RECORD_OVERHEAD_BYTES = 64  # more than lengths, times and offsets of a record take
LINGER_S = 1.0  # never waited for: every call flushes. Until then nothing of a batch is sent alone
CLOSE_S = 1.0
COUNT_AGAIN_S = 60.0
EARLIEST, LATEST = -2, -1  # as Kafka's protocol asks for offsets
PARTED = (
    "topic {name} had {had} partitions and has {has}: streams may be read out of order; next time, "
    "stop all services and have longwatch topics --grow do it"
)

log = logging.getLogger(__name__)


class _Counted(NamedTuple):
    partitions: int
    at_s: float


class KafkaBus:
    """A bus in a Kafka cluster. May be used from any thread.

    `prefix` stands before the names of topics and groups in the cluster, so that several
    installations can share it. `partitions` is how many the topics get that are divided
    (`TopicPolicy.is_divided`), when they are made.
    """

    def __init__(
        self,
        access: KafkaAccess,
        *,
        now_ms: Callable[[], int],
        prefix: str = "",
        partitions: int = 1,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = KafkaLink(access, monotonic_s=monotonic_s)
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._prefix = prefix
        self._wanted_partitions = partitions
        self._partitions: dict[str, _Counted] = {}
        self._producing = Lock()
        self._producer: KafkaProducer | None = None
        self._consumers: list[KafkaGroupConsumer] = []

    def publish(
        self, topic: str, *, key: str, value: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        return self.publish_many(topic, [Outgoing(key, value, headers)])[0]

    def publish_many(self, topic: str, records: Iterable[Outgoing]) -> list[int]:
        """Append records in order; return their offsets.

        Raises:
            RecordTooLarge: one of them is, or those of one partition together are more than
                `MAX_BATCH_BYTES`.
        """
        count = self._count_partitions(topic)
        checked = [_Encoded(check_record(topic, record), count) for record in records]
        sizes_bytes: Counter[int] = Counter()
        for record in checked:
            sizes_bytes[record.partition] += record.size_bytes
        if (size_bytes := max(sizes_bytes.values(), default=0)) > MAX_BATCH_BYTES:
            raise RecordTooLarge(topic, size_bytes=size_bytes, limit_bytes=MAX_BATCH_BYTES)
        with self._producer_of(topic) as producer:
            now_ms = self._now_ms()
            sent = [
                producer.send(
                    self._name(topic),
                    partition=record.partition,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    timestamp_ms=now_ms,
                )
                for record in checked
            ]
            producer.flush(timeout=PATIENCE_S + REQUEST_S)
            return [future.get(timeout=0).offset for future in sent]

    def consumer(self, topic: str, *, group: str) -> KafkaGroupConsumer:
        """A member of the group, which it joins when it first polls."""
        self._link.refuse_closed()
        check_name(group)
        consumer = KafkaGroupConsumer(
            self._link,
            topic,
            name=self._name(topic),
            group=check_name(self._prefix + group),
            bounds=lambda: self.bounds(topic),
            monotonic_s=self._monotonic_s,
        )
        self._consumers.append(consumer)
        return consumer

    def bounds(self, topic: str) -> dict[int, Bounds]:
        partitions = self._partitions_of(topic)

        def offsets(admin: Admin) -> dict[int, Bounds]:
            begins, ends = (
                admin.list_partition_offsets(dict.fromkeys(partitions, spec))
                for spec in (EARLIEST, LATEST)
            )
            return {
                one.partition: Bounds(begins[one].offset, ends[one].offset) for one in partitions
            }

        return self._link.ask(offsets)

    def committed(self, topic: str, *, group: str) -> dict[int, int]:
        """Asked of the group's own coordinator, which says so while it does not know yet.

        A list of all groups would leave those out whose coordinator has just started.
        """
        partitions = self._partitions_of(topic)
        name = check_name(self._prefix + check_name(group))

        def offsets(admin: Admin) -> dict[int, int]:
            found = admin.list_group_offsets({name: partitions})[name]
            return {
                one.partition: found[one].offset
                for one in partitions
                if one in found and found[one].offset >= 0
            }

        return self._link.ask(offsets)

    def trim(self, topic: str, *, max_age_s: float, below: Mapping[int, int] | None = None) -> int:
        """Delete the oldest records, as the protocol says. Nothing is read for that."""
        bounds, partitions = self.bounds(topic), self._partitions_of(topic)
        oldest_ms = oldest_kept_ms(self._now_ms(), max_age_s)

        def delete(admin: Admin) -> int:
            young = admin.list_partition_offsets(dict.fromkeys(partitions, max(0, oldest_ms)))
            count, begins = 0, dict[TopicPartition, int]()
            for one in partitions:
                held, first_kept = bounds[one.partition], young[one].offset
                last = held.end if below is None else below.get(one.partition, held.begin)
                begin = min(held.end if first_kept < 0 else first_kept, last, held.end)
                if begin > held.begin:
                    begins[one] = begin
                    count += begin - held.begin
            if begins:
                admin.delete_records(begins)
            return count

        return self._link.ask(delete)

    def prepare(self, topic: str, policy: TopicPolicy) -> bool:
        """Make the topic, or have it follow the policy; return whether anything had to be done."""
        name, count = self._name(topic), self._wanted_of(policy)
        return self._link.ask(lambda admin: prepare_topic(admin, name, policy, count))

    def grow(self, topic: str, *, groups: Collection[str]) -> int:
        """Have the topic get the partitions that are wanted, with records of a key in order still.

        Nobody may publish meanwhile, nor read for one of the `groups`, which are all that matter.

        Returns:
            how many unread records were published once more, to go where they belong now.

        Raises:
            BusRefused: a group has members, or the topic has more partitions than are wanted.
        """
        name, wanted = self._name(topic), self._wanted_of(TOPICS.get(topic, KEPT_UNTIL_TRIMMED))
        self._link.ask(lambda admin: refuse_read(admin, [self._prefix + one for one in groups]))
        have = self._count_partitions(topic, again=True)
        refuse_fewer(name, have=have, wanted=wanted)
        if wanted > have:
            self._link.ask(lambda admin: admin.create_partitions({name: wanted}))
            self._link.ask(lambda admin: expect_partitions(admin, name, wanted))
            self._count_partitions(topic, again=True)
        mover = Mover(
            self._link,
            name,
            self.bounds(topic),
            publish=lambda records: self.publish_many(topic, records),
        )
        return mover.move({self._prefix + one: self.committed(topic, group=one) for one in groups})

    def count_brokers(self) -> int:
        """How many brokers the cluster has; changes nothing there."""
        return self._link.ask(lambda admin: len(admin.describe_cluster()["brokers"]))

    def close(self) -> None:
        self._link.close()
        for consumer in self._consumers:
            consumer.close()
        with self._producing:
            self._drop_producer()

    def _name(self, topic: str) -> str:
        """What the topic is called in the cluster."""
        return check_name(self._prefix + check_name(topic))

    def _wanted_of(self, policy: TopicPolicy) -> int:
        return self._wanted_partitions if policy.is_divided else 1

    def _count_partitions(self, topic: str, *, again: bool = False) -> int:
        """How many partitions the topic has; it is made if this is the first we hear of it."""
        self._link.refuse_closed()
        name, now_s = self._name(topic), self._monotonic_s()
        known = self._partitions.get(name)
        if known is None or again or now_s - known.at_s > COUNT_AGAIN_S:
            policy = TOPICS.get(topic, KEPT_UNTIL_TRIMMED)
            wanted = self._wanted_of(policy)
            count = self._link.ask(lambda admin: made_partitions(admin, name, policy, wanted))
            if known is not None and count != known.partitions:
                with self._producing:
                    self._drop_producer()  # which does not know of them for a minute, either
                if not again:
                    log.warning("%s", PARTED.format(name=name, had=known.partitions, has=count))
            known = self._partitions[name] = _Counted(count, now_s)
        return known.partitions

    def _partitions_of(self, topic: str) -> list[TopicPartition]:
        name = self._name(topic)
        return [TopicPartition(name, number) for number in range(self._count_partitions(topic))]

    @contextmanager
    def _producer_of(self, topic: str) -> Generator[KafkaProducer]:
        """The producer, for this thread alone, so that nobody's records get into its batch."""
        with self._producing:
            self._link.refuse_closed()
            if self._producer is None:
                self._producer = self._link.connect(
                    KafkaProducer,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="zstd",
                    batch_size=MAX_MESSAGE_BYTES,
                    max_request_size=MAX_MESSAGE_BYTES,
                    linger_ms=round(LINGER_S * 1000),
                    delivery_timeout_ms=round(PATIENCE_S * 1000),
                    max_block_ms=round(REQUEST_S * 1000),
                )
            try:
                yield self._producer
            except (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError) as error:
                self._drop_producer()
                raise BusRefused(
                    f"topic {topic!r}", reason="its max.message.bytes is too small"
                ) from error
            except FAULTS as error:
                self._drop_producer()
                self._partitions.clear()  # it may be the topic that is gone
                raise self._link.error_for(error) from error
            except BaseException:
                self._drop_producer()
                raise

    def _drop_producer(self) -> None:
        if (producer := self._producer) is not None:
            self._producer = None
            discard(lambda: producer.close(timeout=CLOSE_S))


class _Encoded:
    """A record as Kafka takes it."""

    __slots__ = ("headers", "key", "partition", "size_bytes", "value")

    def __init__(self, record: Outgoing, partitions: int) -> None:
        self.key = record.key.encode()
        self.partition = partition_of(self.key, partitions)
        self.value = record.value
        self.headers = [(name, text.encode()) for name, text in record.headers.items()]
        parts = [self.key, self.value, *(text for _, text in self.headers)]
        names_bytes = sum(len(name.encode()) for name, _ in self.headers)
        overhead_bytes = RECORD_OVERHEAD_BYTES * (1 + len(self.headers))
        self.size_bytes = sum(map(len, parts)) + names_bytes + overhead_bytes
