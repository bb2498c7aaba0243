"""The `Bus` of several machines: Apache Kafka, through kafka-python.

What holds beyond the protocol, and what it rests on:

    `publish` returns once every in-sync replica has the record (acks=all). How many those are is
    the cluster's to say: topics are made with its own replication factor.
    `publish_many` is one record batch, which a broker appends whole or not at all; more than
    `MAX_BATCH_BYTES` is refused for that reason. Transactions would allow more, but their markers
    take offsets, and offsets have no gaps here.
    Retries within a call are idempotent. After `BusUnavailable` nobody knows whether the records
    were appended; publishing them again may double them then.
    A group's committed offset is Kafka's own, so that Kafka's tools show it. Kafka forgets it when
    the group commits nothing for long (`offsets.retention.minutes`, 7 days unless told otherwise);
    the group then begins at the oldest record again.

Clients are made when first needed. When something fails they are thrown away, and the next call
makes new ones, so the bus outlives every restart of its brokers. Each wait has an end.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from threading import Lock

from kafka import KafkaProducer, errors
from kafka.structs import OffsetAndMetadata, TopicPartition

from streaming.bus import (
    NO_HEADERS,
    LogConsumer,
    Outgoing,
    Record,
    check_name,
    check_record,
    count_trimmable,
    oldest_kept_ms,
)
from streaming.errors import BusClosed, BusRefused, BusUnavailable, RecordTooLarge
from streaming.kafka_link import (
    FAULTS,
    PATIENCE_S,
    REQUEST_S,
    Admin,
    KafkaAccess,
    KafkaLink,
    discard,
)
from streaming.kafka_reader import KafkaReader
from streaming.kafka_topics import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES, make_topic, prepare_topic
from streaming.topics import KEPT_UNTIL_TRIMMED, TOPICS, TopicPolicy

RECORD_OVERHEAD_BYTES = 64  # more than lengths, times and offsets of a record take
LINGER_S = 1.0  # never waited for: every call flushes. Until then nothing of a batch is sent alone
CLOSE_S = 1.0
SCAN_RECORDS = 1000
EARLIEST, LATEST = -2, -1  # as Kafka's protocol asks for offsets


class KafkaBus:
    """A bus in a Kafka cluster. May be used from any thread.

    `prefix` stands before the names of topics and groups in the cluster, so that several
    installations can share it.
    """

    def __init__(
        self,
        access: KafkaAccess,
        *,
        now_ms: Callable[[], int],
        prefix: str = "",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = KafkaLink(access, monotonic_s=monotonic_s)
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._prefix = prefix
        self._made: set[str] = set()
        self._producing = Lock()
        self._producer: KafkaProducer | None = None
        self._readers: set[KafkaReader] = set()

    def publish(
        self, topic: str, *, key: str, value: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        return self.publish_many(topic, [Outgoing(key, value, headers)])[0]

    def publish_many(self, topic: str, records: Iterable[Outgoing]) -> list[int]:
        """Append all records, or none, in order; return their offsets.

        Raises:
            RecordTooLarge: one of them is, or all together are more than `MAX_BATCH_BYTES`.
        """
        checked = [_Encoded(check_record(topic, record)) for record in records]
        size_bytes = sum(record.size_bytes for record in checked)
        if size_bytes > MAX_BATCH_BYTES:
            raise RecordTooLarge(topic, size_bytes=size_bytes, limit_bytes=MAX_BATCH_BYTES)
        partition = self.partition(topic)
        with self._producer_of(topic) as producer:
            now_ms = self._now_ms()
            sent = [
                producer.send(
                    partition.topic,
                    partition=partition.partition,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    timestamp_ms=now_ms,
                )
                for record in checked
            ]
            producer.flush(timeout=PATIENCE_S + REQUEST_S)
            return [future.get(timeout=0).offset for future in sent]

    def consumer(self, topic: str, *, group: str) -> "KafkaLogConsumer":
        self._link.refuse_closed()
        for name in (topic, group):
            check_name(self._prefix + check_name(name))
        return KafkaLogConsumer(self, topic, group=group)

    def reader(self, topic: str) -> KafkaReader:
        reader = KafkaReader(
            self._link,
            topic,
            partition=lambda: self.partition(topic),
            bounds=lambda: self.bounds(topic),
            monotonic_s=self._monotonic_s,
        )
        self._readers.add(reader)
        return reader

    def begin_offset(self, topic: str) -> int:
        return self.bounds(topic)[0]

    def end_offset(self, topic: str) -> int:
        return self.bounds(topic)[1]

    def bounds(self, topic: str) -> tuple[int, int]:
        partition = self.partition(topic)

        def offsets(admin: Admin) -> tuple[int, int]:
            begin, end = (
                admin.list_partition_offsets({partition: spec})[partition].offset
                for spec in (EARLIEST, LATEST)
            )
            return begin, end

        return self._link.ask(offsets)

    def committed(self, topic: str) -> dict[str, int]:
        partition = self.partition(topic)

        def offsets(admin: Admin) -> dict[str, int]:
            named = (listed["group_id"] for listed in admin.list_groups())
            groups = [name for name in named if name.startswith(self._prefix)]
            found = admin.list_group_offsets({group: [partition] for group in groups})
            return {
                group.removeprefix(self._prefix): of_group[partition].offset
                for group, of_group in found.items()
                if partition in of_group and of_group[partition].offset >= 0
            }

        return self._link.ask(offsets)

    def committed_of(self, topic: str, *, group: str) -> int | None:
        partition, name = self.partition(topic), self._prefix + group
        found = self._link.ask(lambda admin: admin.list_group_offsets({name: [partition]}))
        offset = found[name][partition].offset if partition in found[name] else -1
        return None if offset < 0 else offset

    def commit(self, topic: str, *, group: str, offset: int) -> None:
        partition, name = self.partition(topic), self._prefix + group

        def commit(admin: Admin) -> None:
            done = admin.alter_group_offsets(name, {partition: OffsetAndMetadata(offset, "", -1)})
            if done[partition] is not errors.NoError:
                raise done[partition](f"committing for group {name!r}")

        self._link.ask(commit)

    def trim(
        self,
        topic: str,
        *,
        max_age_s: float | None = None,
        max_bytes: int | None = None,
        below_offset: int | None = None,
    ) -> int:
        """Delete the oldest records, as the protocol says.

        Reads what it deletes; with `max_bytes` it reads the whole topic, for Kafka itself knows
        the size of its files, not of the values in them.
        """
        partition, (begin, end) = self.partition(topic), self.bounds(topic)
        last = end if below_offset is None else min(end, below_offset)
        if (max_age_s is None and max_bytes is None) or last <= begin:
            return 0
        excess_bytes = 0
        if max_bytes is not None:
            sizes = (len(record.value) for record in self._records(topic, begin, end))
            excess_bytes = sum(sizes) - max_bytes
        offsets: list[int] = []

        def oldest() -> Generator[tuple[int, int]]:
            for record in self._records(topic, begin, last):
                offsets.append(record.offset)
                yield record.timestamp_ms, len(record.value)

        count = count_trimmable(
            oldest(), oldest_ms=oldest_kept_ms(self._now_ms(), max_age_s), excess_bytes=excess_bytes
        )
        if count:
            below = {partition: offsets[count - 1] + 1}
            self._link.ask(lambda admin: admin.delete_records(below))
        return count

    def prepare(self, topic: str, policy: TopicPolicy) -> bool:
        """Make the topic, or have it follow the policy; return whether anything had to be done."""
        name = self._prefix + check_name(topic)
        return self._link.ask(lambda admin: prepare_topic(admin, name, policy))

    def count_brokers(self) -> int:
        """How many brokers the cluster has; changes nothing there."""
        return self._link.ask(lambda admin: len(admin.describe_cluster()["brokers"]))

    def partition(self, topic: str) -> TopicPartition:
        """Where the topic is in the cluster; it is made if this is the first we hear of it."""
        self._link.refuse_closed()
        name = check_name(self._prefix + check_name(topic))
        if name not in self._made:
            policy = TOPICS.get(topic, KEPT_UNTIL_TRIMMED)
            self._link.ask(lambda admin: make_topic(admin, name, policy))
            self._made.add(name)
        return TopicPartition(name, 0)

    def close(self) -> None:
        self._link.close()
        for reader in list(self._readers):
            reader.close()
        with self._producing:
            self._drop_producer()

    def release(self, reader: KafkaReader) -> None:
        self._readers.discard(reader)
        reader.close()

    def _records(self, topic: str, first: int, end: int) -> Generator[Record]:
        """The records of [first, end) that there still are."""
        reader = self.reader(topic)
        try:
            while first < end:
                records = reader.read(first=first, limit=SCAN_RECORDS, timeout_s=0)
                yield from (record for record in records if record.offset < end)
                if not records:
                    return
                first = records[-1].offset + 1
        finally:
            self.release(reader)

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
                self._made.clear()  # it may be the topic that is gone
                raise self._link.error_for(error) from error
            except BaseException:
                self._drop_producer()
                raise

    def _drop_producer(self) -> None:
        if (producer := self._producer) is not None:
            self._producer = None
            discard(lambda: producer.close(timeout=CLOSE_S))


class KafkaLogConsumer:
    """The consumer of a `KafkaBus`: a position of its own, a group's offset in Kafka.

    Made while no broker answers, it begins when one does.
    """

    def __init__(self, bus: KafkaBus, topic: str, *, group: str) -> None:
        self._bus = bus
        self._topic = topic
        self._group = group
        self._reader = bus.reader(topic)
        self._consumer: LogConsumer | None = None
        self._is_closed = False
        with suppress(BusUnavailable):
            self._begun()

    @property
    def position(self) -> int:
        return self._begun().position

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        return self._begun().poll(max_records=max_records, timeout_s=timeout_s)

    def commit(self, offset: int) -> None:
        self._begun().commit(offset)

    def committed(self) -> int | None:
        return self._begun().committed()

    def seek(self, offset: int) -> None:
        self._begun().seek(offset)

    def lag(self) -> int:
        return self._begun().lag()

    def close(self) -> None:
        self._is_closed = True
        self._bus.release(self._reader)

    def _begun(self) -> LogConsumer:
        if self._is_closed:
            raise BusClosed
        if self._consumer is None:
            log = _GroupLog(self._bus, self._reader, self._group)
            self._consumer = LogConsumer(log, self._topic, group=self._group)
        return self._consumer


class _GroupLog:
    """The `Log` that one group sees."""

    def __init__(self, bus: KafkaBus, reader: KafkaReader, group: str) -> None:
        self._bus = bus
        self._reader = reader
        self._group = group

    def bounds(self, topic: str) -> tuple[int, int]:
        return self._bus.bounds(topic)

    def read(self, topic: str, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        del topic  # the reader has one
        return self._reader.read(first=first, limit=limit, timeout_s=timeout_s)

    def committed(self, topic: str) -> dict[str, int]:
        offset = self._bus.committed_of(topic, group=self._group)
        return {} if offset is None else {self._group: offset}

    def commit(self, topic: str, *, group: str, offset: int) -> None:
        self._bus.commit(topic, group=group, offset=offset)


class _Encoded:
    """A record as Kafka takes it."""

    __slots__ = ("headers", "key", "size_bytes", "value")

    def __init__(self, record: Outgoing) -> None:
        self.key = record.key.encode()
        self.value = record.value
        self.headers = [(name, text.encode()) for name, text in record.headers.items()]
        parts = [self.key, self.value, *(text for _, text in self.headers)]
        names_bytes = sum(len(name.encode()) for name, _ in self.headers)
        overhead_bytes = RECORD_OVERHEAD_BYTES * (1 + len(self.headers))
        self.size_bytes = sum(map(len, parts)) + names_bytes + overhead_bytes
