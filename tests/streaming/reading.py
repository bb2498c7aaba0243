"""Read a bus as a member of a group, which on Kafka has to be let in first."""

import time
from collections.abc import Callable

import pytest

from streaming.bus import Bounds, Bus, Consumer, Record, lag

LONG_S = 60.0
SOON_S = 0.1
NOTHING_S = 0.5  # so long nothing may come where nothing should


def joined(bus: Bus, *, topic: str = "segments", group: str = "analyse") -> Consumer:
    """A member with its partitions, which has read nothing yet."""
    consumer = bus.consumer(topic, group=group)
    until_assigned(consumer)
    return consumer


def until_assigned(consumer: Consumer) -> None:
    read: dict[int, int] = {}

    def poll() -> bool:
        for record in consumer.poll(max_records=1, timeout_s=SOON_S):
            read.setdefault(record.partition, record.offset)
        return bool(consumer.assigned)

    until(poll)
    for partition, first in read.items():
        consumer.seek(partition, first)


def taken(consumer: Consumer, count: int) -> list[Record]:
    """So many records, and not one more."""
    records: list[Record] = []

    def poll() -> bool:
        if count > len(records):
            records.extend(consumer.poll(max_records=count - len(records), timeout_s=SOON_S))
        return len(records) >= count

    until(poll)
    return records


def read_on(bus: Bus, *, topic: str = "segments", group: str = "analyse") -> list[Record]:
    """All that a group has not committed, as its only member reads it, committing nothing."""
    consumer = joined(bus, topic=topic, group=group)
    left = lag(bus.bounds(topic), bus.committed(topic, group=group))
    records = taken(consumer, left)
    records += consumer.poll(max_records=1, timeout_s=NOTHING_S)
    consumer.close()
    return records


def held(bus: Bus, topic: str = "segments") -> Bounds:
    """What a topic holds of which one partition is used."""
    used = [one for one in bus.bounds(topic).values() if one.end]
    assert len(used) <= 1
    return used[0] if used else Bounds(0, 0)


def until(is_so: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + LONG_S
    while not is_so():
        if time.monotonic() > deadline_s:
            pytest.fail(f"it did not come about within {LONG_S:.0f} s")
