"""The log between services: topics of records, read by groups that remember how far they are.

Two protocols, `Bus` and `Consumer`, with Kafka's semantics, so that Kafka can stand behind them:

    A record gets the next offset of its topic and keeps it for ever. Offsets have no gaps when
    written; retention removes the oldest.
    A consumer has a position, which `poll` moves, and its group a committed offset, which only
    `commit` moves: the offset to read next. A new consumer starts at the committed offset, or at
    the oldest record if there is none or if retention has passed it. What was read and not
    committed is read again: delivery is at least once.
    Groups do not know of each other. Retention heeds no group.

In this version a topic has one partition, number 0, and a group one consumer at a time; nothing
here stops a second, which would read the same records.

`MemoryBus` is the definition: obviously right, gone with its process. `SqliteBus` is durable.
Knows bytes, not messages. Neither knows the machine's clock: it is given.
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


class Consumer(Protocol):
    """A reader of one topic for one group. For one thread. Errors: `streaming.errors.BusError`."""

    @property
    def position(self) -> int:
        """Offset of the record that the next poll begins with."""
        ...

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Wait for records, at most so long; return those there are, oldest first."""
        ...

    def commit(self, offset: int) -> None:
        """Remember for the group that everything below `offset` is done."""
        ...

    def committed(self) -> int | None:
        """The group's committed offset, None if it never committed."""
        ...

    def seek(self, offset: int) -> None:
        """Continue from `offset`, without committing.

        Raises:
            OffsetOutOfRange: it is below the oldest record or beyond the end.
        """
        ...

    def lag(self) -> int:
        """How many records the group has not committed."""
        ...

    def close(self) -> None: ...


class Bus(Protocol):
    """Topics, which come into being when first named. Errors: `streaming.errors.BusError`."""

    def publish(
        self, topic: str, *, key: str, value: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        """Append a record; return its offset. Once returned, it survives the process."""
        ...

    def publish_many(self, topic: str, records: Iterable[Outgoing]) -> list[int]:
        """Append all records, or none, in order; return their offsets."""
        ...

    def consumer(self, topic: str, *, group: str) -> Consumer: ...

    def begin_offset(self, topic: str) -> int:
        """Offset of the oldest record; the end offset if there is none."""
        ...

    def end_offset(self, topic: str) -> int:
        """Offset that the next record will get."""
        ...

    def committed(self, topic: str) -> dict[str, int]:
        """The committed offset of each group that ever committed."""
        ...

    def trim(
        self,
        topic: str,
        *,
        max_age_s: float | None = None,
        max_bytes: int | None = None,
        below_offset: int | None = None,
    ) -> int:
        """Delete the oldest records: those too old, or too many for `max_bytes` of values.

        With neither limit nothing goes. `below_offset` keeps everything from that offset on,
        whatever its age: what a group still needs. Returns how many were deleted.
        """
        ...

    def close(self) -> None:
        """Let go of everything. What waits in `poll` stops waiting. Twice is harmless."""
        ...


def check_record(topic: str, record: Outgoing) -> Outgoing:
    """Return the record if it may be published.

    Raises:
        RecordTooLarge: its value is larger than a Kafka broker would take.
    """
    if len(record.value) > MAX_VALUE_BYTES:
        raise RecordTooLarge(topic, size_bytes=len(record.value), limit_bytes=MAX_VALUE_BYTES)
    return record


def check_name(name: str) -> str:
    """Return the name of a topic or group if Kafka would take it."""
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a topic or group: letters, digits, . _ - only")
    return name


def oldest_kept_ms(now_ms: int, max_age_s: float | None) -> int | None:
    return None if max_age_s is None else now_ms - round(max_age_s * 1000)


def count_trimmable(
    records: Iterable[tuple[int, int]], *, oldest_ms: int | None, excess_bytes: int
) -> int:
    """How many of the oldest records, given as (timestamp_ms, size_bytes), retention removes.

    Only a prefix goes: a record stays when one before it is young enough to stay.
    """
    count = 0
    for timestamp_ms, size_bytes in records:
        is_old = oldest_ms is not None and timestamp_ms < oldest_ms
        if not is_old and excess_bytes <= 0:
            break
        count += 1
        excess_bytes -= size_bytes
    return count


class Log(Protocol):
    """What a bus offers its consumers; `LogConsumer` is made of these."""

    def bounds(self, topic: str) -> tuple[int, int]:
        """Begin and end offset."""
        ...

    def read(self, topic: str, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        """Records from `first` on; wait for one, at most so long."""
        ...

    def committed(self, topic: str) -> dict[str, int]: ...

    def commit(self, topic: str, *, group: str, offset: int) -> None: ...


class LogConsumer:
    """The `Consumer` of a bus that has its log at hand."""

    def __init__(self, log: Log, topic: str, *, group: str) -> None:
        self._log = log
        self._topic = check_name(topic)
        self._group = check_name(group)
        self._is_closed = False
        self._position = self._start()

    @property
    def position(self) -> int:
        return self._position

    def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        records = self._open_log().read(
            self._topic, first=self._position, limit=max_records, timeout_s=timeout_s
        )
        if records:
            self._position = records[-1].offset + 1
        return records

    def commit(self, offset: int) -> None:
        _, end = self._open_log().bounds(self._topic)
        self._check(offset, first=0, end=end)
        self._log.commit(self._topic, group=self._group, offset=offset)

    def committed(self) -> int | None:
        return self._open_log().committed(self._topic).get(self._group)

    def seek(self, offset: int) -> None:
        first, end = self._open_log().bounds(self._topic)
        self._check(offset, first=first, end=end)
        self._position = offset

    def lag(self) -> int:
        start = self._start()
        return self._log.bounds(self._topic)[1] - start

    def close(self) -> None:
        self._is_closed = True

    def _start(self) -> int:
        """Where the group goes on: at its committed offset while it exists, else at the oldest."""
        committed = self.committed()
        first, end = self._log.bounds(self._topic)
        return committed if committed is not None and first <= committed <= end else first

    def _check(self, offset: int, *, first: int, end: int) -> None:
        if not first <= offset <= end:
            raise OffsetOutOfRange(self._topic, offset=offset, first=first, end=end)

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

    def begin_offset(self, topic: str) -> int:
        return self.bounds(topic)[0]

    def end_offset(self, topic: str) -> int:
        return self.bounds(topic)[1]

    def bounds(self, topic: str) -> tuple[int, int]:
        with self._held(topic) as held:
            return held.begin, held.end

    def read(self, topic: str, *, first: int, limit: int, timeout_s: float) -> list[Record]:
        with self._held(topic) as held:
            self._changed.wait_for(lambda: self._is_closed or held.end > first, timeout_s)
            self._refuse_closed()
            return held.records[max(0, first - held.begin) :][:limit]

    def committed(self, topic: str) -> dict[str, int]:
        with self._held(topic) as held:
            return dict(held.committed)

    def commit(self, topic: str, *, group: str, offset: int) -> None:
        with self._held(topic) as held:
            held.committed[group] = offset

    def trim(
        self,
        topic: str,
        *,
        max_age_s: float | None = None,
        max_bytes: int | None = None,
        below_offset: int | None = None,
    ) -> int:
        with self._held(topic) as held:
            count = count_trimmable(
                ((record.timestamp_ms, len(record.value)) for record in held.records),
                oldest_ms=oldest_kept_ms(self._now_ms(), max_age_s),
                excess_bytes=sum(len(record.value) for record in held.records) - max_bytes
                if max_bytes is not None
                else 0,
            )
            if below_offset is not None:
                count = max(0, min(count, below_offset - held.begin))
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
