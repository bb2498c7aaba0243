"""The log between services: topics of records, read by groups that remember how far they are.

Two protocols, `Bus` and `Consumer`, with Kafka's semantics, so that Kafka can stand behind them:

    A topic has one partition or several, each a log of its own. A key says which: records of one
    key are in one partition, in the order in which they were published.
    A record gets the next offset of its partition and keeps it for ever. Offsets have no gaps when
    written; retention removes the oldest.
    A consumer has a position in each partition that is assigned to it, which `poll` moves, and its
    group a committed offset, which only `commit` moves: the offset to read next. A consumer starts
    at the committed offset, or at the oldest record if there is none or if retention has passed it.
    What was read and not committed is read again: delivery is at least once.
    Each partition is assigned to one consumer of a group at most. As consumers come and go,
    partitions are revoked from one and assigned to another, which starts as above.
    Groups do not know of each other. Retention heeds no group.

`MemoryBus` is the definition: obviously right, gone with its process. `SqliteBus` is durable. Both
have one partition a topic, number 0, and are meant for one consumer a group; nothing stops a
second, which would read the same records. Knows bytes, not messages. Neither knows the machine's
clock: it is given.
"""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from types import MappingProxyType
from typing import Protocol

from streaming.errors import BusClosed, OffsetOutOfRange, RecordTooLarge

MAX_VALUE_BYTES = 1_000_000  # what a Kafka broker takes without being told otherwise
ONLY_PARTITION = frozenset({0})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be: records of one key stay in order."""

    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read. `timestamp_ms` is wall time, since 1970, of publishing."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: Mapping[str, str]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a partition holds: offsets [begin, end)."""

    begin: int
    """Offset of the oldest record; the end offset if there is none."""
    end: int
    """Offset that the next record will get."""


class Consumer(Protocol):
    """A member of a group, reading one topic. For one thread. Errors: `streaming.errors.BusError`.

    Partitions come and go within `poll` alone, or with a member that fails.
    """

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that are this member's to read and to commit."""
        ...

    def revoked(self) -> frozenset[int]:
        """The partitions taken away since this was last asked.

        What `poll` gave of them before counts no more, even of those that have come back since.
        """
        ...

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Wait for records, at most so long; return some, those of a partition oldest first.

        It may return none although there are some: while partitions are being assigned.
        """
        ...

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Remember for the group that all below these offsets is done, each in its partition.

        False if nothing was remembered, because the partitions of the group are being assigned
        anew: try again after the next poll with those that are still assigned.

        Raises:
            OffsetOutOfRange: it is beyond the end.
        """
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Continue an assigned partition from `offset`, without committing.

        Raises:
            OffsetOutOfRange: it is below the oldest record or beyond the end.
        """
        ...

    def close(self) -> None:
        """Leave the group, whose other members get what was assigned to this one."""
        ...


class Bus(Protocol):
    """Topics, which come into being when first named. Errors: `streaming.errors.BusError`."""

    def publish(
        self, topic: str, *, key: str, value: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        """Append a record; return its offset. Once returned, it survives the process."""
        ...

    def publish_many(self, topic: str, records: Iterable[Outgoing]) -> list[int]:
        """Append records in order; return their offsets.

        Of those of one partition, all are appended or none.
        """
        ...

    def consumer(self, topic: str, *, group: str) -> Consumer: ...

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """What each partition holds."""
        ...

    def committed(self, topic: str, *, group: str) -> dict[int, int]:
        """The offset that a group committed, in each partition where it ever did."""
        ...

    def trim(self, topic: str, *, max_age_s: float, below: Mapping[int, int] | None = None) -> int:
        """Delete the oldest records of each partition that are too old; return how many.

        `below` keeps everything from these offsets on, whatever its age: what a group still needs.
        Of a partition that it does not name everything is kept.
        """
        ...

    def close(self) -> None:
        """Let go of everything. What waits in `poll` stops waiting. Twice is harmless."""
        ...


def lag(bounds: Mapping[int, Bounds], committed: Mapping[int, int]) -> int:
    """How many records a group has not handled that committed so far."""
    return sum(
        held.end - min(max(committed.get(partition, held.begin), held.begin), held.end)
        for partition, held in bounds.items()
    )


def check_record(topic: str, record: Outgoing) -> Outgoing:
    """Return the record if it may be published.

    Raises:
        RecordTooLarge: its value is larger than a Kafka broker would take.
    """
    if len(record.value) > MAX_VALUE_BYTES:
        raise RecordTooLarge(topic, size_bytes=len(record.value), limit_bytes=MAX_VALUE_BYTES)
    return record


def check_offset(topic: str, offset: int, held: Bounds) -> None:
    """Refuse an offset where no record is or will be next.

    Raises:
        OffsetOutOfRange
    """
    if not held.begin <= offset <= held.end:
        raise OffsetOutOfRange(topic, offset=offset, first=held.begin, end=held.end)


def check_name(name: str) -> str:
    """Return the name of a topic or group if Kafka would take it."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a topic or group: letters, digits, . _ - only")
    return name


def oldest_kept_ms(now_ms: int, max_age_s: float) -> int:
    return now_ms - round(max_age_s * 1000)


class Log(Protocol):
    """What a bus of one partition offers its consumers; `LogConsumer` is made of these."""

    def bounds(self, topic: str) -> dict[int, Bounds]: ...

    def read(self, topic: str, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        """Records from `first` on; wait for one, at most so long."""
        ...

    def committed(self, topic: str, *, group: str) -> dict[int, int]: ...

    def commit(self, topic: str, *, group: str, offset: int) -> None: ...


class LogConsumer:
    """The `Consumer` of a bus that has its log at hand, in the one partition that there is."""

    def __init__(self, log: Log, topic: str, *, group: str) -> None:
        self._log = log
        self._topic = check_name(topic)
        self._group = check_name(group)
        self._is_closed = False
        self._position = self._start()

    @property
    def assigned(self) -> frozenset[int]:
        return ONLY_PARTITION

    def revoked(self) -> frozenset[int]:
        return frozenset()

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        records = self._open_log().read(
            self._topic, first=self._position, limit=max_records, timeout_s=timeout_s
        )
        if records:
            self._position = records[-1].offset + 1
        return records

    def commit(self, offsets: Mapping[int, int]) -> bool:
        offset, end = offsets[0], self._open_log().bounds(self._topic)[0].end
        check_offset(self._topic, offset, Bounds(0, end))
        self._log.commit(self._topic, group=self._group, offset=offset)
        return True

    def seek(self, partition: int, offset: int) -> None:
        held = self._open_log().bounds(self._topic)[partition]
        check_offset(self._topic, offset, held)
        self._position = offset

    def close(self) -> None:
        self._is_closed = True

    def _start(self) -> int:
        """Where the group goes on: at its committed offset while it exists, else at the oldest."""
        held = self._log.bounds(self._topic)[0]
        committed = self._log.committed(self._topic, group=self._group).get(0, held.begin)
        return committed if held.begin <= committed <= held.end else held.begin

    def _open_log(self) -> Log:
        if self._is_closed:
            raise BusClosed
        return self._log


@dataclass(slots=True)
class _Topic:
    begin: int = 0
    records: list[Record] = field(default_factory=list[Record])
    committed: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def end(self) -> int:
        return self.begin + len(self.records)


class MemoryBus:
    """Lists in this process. For tests, and for runs that need not survive."""

    def __init__(self, *, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._topics: dict[str, _Topic] = {}
        self._is_closed = False
        self._changed = Condition()

    def publish(
        self, topic: str, *, key: str, value: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        return self.publish_many(topic, [Outgoing(key, value, headers)])[0]

    def publish_many(self, topic: str, records: Iterable[Outgoing]) -> list[int]:
        checked = [check_record(topic, record) for record in records]
        with self._held(topic) as held:
            first, now_ms = held.end, self._now_ms()
            held.records += [
                Record(topic, 0, offset, new.key, new.value, dict(new.headers), now_ms)
                for offset, new in enumerate(checked, first)
            ]
            self._changed.notify_all()
            return list(range(first, held.end))

    def consumer(self, topic: str, *, group: str) -> LogConsumer:
        return LogConsumer(self, topic, group=group)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        with self._held(topic) as held:
            return {0: Bounds(held.begin, held.end)}

    def read(self, topic: str, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        with self._held(topic) as held:
            self._changed.wait_for(lambda: self._is_closed or held.end > first, timeout_s)
            self._refuse_closed()
            return held.records[max(0, first - held.begin) :][:limit]

    def committed(self, topic: str, *, group: str) -> dict[int, int]:
        with self._held(topic) as held:
            return {0: held.committed[group]} if group in held.committed else {}

    def commit(self, topic: str, *, group: str, offset: int) -> None:
        with self._held(topic) as held:
            held.committed[group] = offset

    def trim(self, topic: str, *, max_age_s: float, below: Mapping[int, int] | None = None) -> int:
        with self._held(topic) as held:
            oldest_ms, count = oldest_kept_ms(self._now_ms(), max_age_s), 0
            last = held.end if below is None else below.get(0, held.begin)
            for record in held.records[: max(0, last - held.begin)]:
                if record.timestamp_ms >= oldest_ms:
                    break
                count += 1
            del held.records[:count]
            held.begin += count
            return count

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @contextmanager
    def _held(self, topic: str) -> Generator[_Topic]:
        """The topic, while nobody else reads or writes."""
        with self._changed:
            self._refuse_closed()
            yield self._topics.setdefault(check_name(topic), _Topic())

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise BusClosed
