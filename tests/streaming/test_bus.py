"""Every `Bus` keeps the same promises, those of Kafka."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from streaming.bus import MAX_VALUE_BYTES, Bounds, Bus, MemoryBus, Outgoing, lag
from streaming.errors import BusClosed, OffsetOutOfRange, RecordTooLarge
from streaming.kafka_bus import KafkaBus
from streaming.kafka_link import KafkaAccess
from streaming.sqlite_bus import SqliteBus
from tests.streaming.reading import LONG_S, NOTHING_S, held, joined, read_on, taken

PARTITIONS = 3  # where there can be several


class Clock:
    """Wall time that a test turns."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "kafka"])
def bus(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Bus]:
    def kafka_bus() -> Bus:
        access = KafkaAccess(request.getfixturevalue("kafka_servers"))
        return KafkaBus(access, now_ms=clock, prefix=f"{uuid4().hex}.", partitions=PARTITIONS)

    makers: dict[str, Callable[[], Bus]] = {
        "memory": lambda: MemoryBus(now_ms=clock),
        "sqlite": lambda: SqliteBus(tmp_path / "bus.sqlite", now_ms=clock),
        "kafka": kafka_bus,
    }
    made = makers[request.param]()
    yield made
    made.close()


def publish(bus: Bus, *values: str, topic: str = "segments") -> list[int]:
    return [bus.publish(topic, key="gate", value=value.encode()) for value in values]


def read(bus: Bus, *, group: str = "analyse", topic: str = "segments") -> list[str]:
    """What a group reads that has one member, which commits nothing."""
    return [record.value.decode() for record in read_on(bus, topic=topic, group=group)]


def test_offsets_count_from_zero_without_gaps(bus: Bus):
    assert set(bus.bounds("segments").values()) == {Bounds(0, 0)}
    assert publish(bus, "a", "b", "c") == [0, 1, 2]
    assert held(bus) == Bounds(0, 3)


def test_a_record_comes_back_as_it_was_published(bus: Bus, clock: Clock):
    bus.publish("segments", key="gäte", value=b"\x00\xff", headers={"kind": "ready/1", "ü": ""})
    [record] = read_on(bus)
    assert (record.topic, record.offset) == ("segments", 0)
    assert bus.bounds("segments")[record.partition] == Bounds(0, 1)
    assert (record.key, record.value) == ("gäte", b"\x00\xff")
    assert dict(record.headers) == {"kind": "ready/1", "ü": ""}
    assert record.timestamp_ms == clock.ms


def test_many_are_published_in_order(bus: Bus):
    bus.publish("segments", key="k", value=b"a")
    assert bus.publish_many("segments", [Outgoing("k", b"b"), Outgoing("k", b"c")]) == [1, 2]
    assert read(bus) == ["a", "b", "c"]
    assert bus.publish_many("segments", []) == []


def test_many_are_published_all_or_none(bus: Bus):
    too_large = Outgoing("k", bytes(MAX_VALUE_BYTES + 1))
    with pytest.raises(RecordTooLarge, match="publish its address"):
        bus.publish_many("segments", [Outgoing("k", b"a"), too_large])
    assert held(bus) == Bounds(0, 0)


def test_records_of_a_key_are_in_one_partition_and_in_order(bus: Bus):
    keys = [f"cam-{number}" for number in range(12)]
    for number in range(3):
        bus.publish_many("segments", [Outgoing(key, b"%d" % number) for key in keys])
    records = read_on(bus)
    where = {key: {one.partition for one in records if one.key == key} for key in keys}
    assert all(len(partitions) == 1 for partitions in where.values())
    assert set[int]().union(*where.values()) == set(bus.bounds("segments"))
    for key in keys:
        assert [one.value for one in records if one.key == key] == [b"0", b"1", b"2"]
    for partition, bounds in bus.bounds("segments").items():
        offsets = [one.offset for one in records if one.partition == partition]
        assert offsets == list(range(bounds.end))


def test_the_largest_record_passes(bus: Bus):
    bus.publish("segments", key="k", value=bytes(MAX_VALUE_BYTES))
    [record] = read_on(bus)
    assert len(record.value) == MAX_VALUE_BYTES


def test_topics_do_not_mix(bus: Bus):
    publish(bus, "a", topic="segments")
    assert publish(bus, "b", topic="clips") == [0]
    assert read(bus, topic="clips") == ["b"]


def test_what_was_not_committed_is_read_again(bus: Bus):
    publish(bus, "a", "b")
    assert read(bus) == ["a", "b"]
    assert read(bus) == ["a", "b"]


def test_a_group_goes_on_where_it_committed(bus: Bus):
    publish(bus, "a", "b", "c")
    consumer = joined(bus)
    [first, _] = taken(consumer, 2)
    assert consumer.commit({first.partition: 1})
    assert [record.value for record in taken(consumer, 1)] == [b"c"]  # committing moves no reader
    consumer.close()
    assert read(bus) == ["b", "c"]
    consumer = joined(bus)
    assert consumer.commit({first.partition: 3})
    consumer.close()
    assert read(bus) == []
    consumer = joined(bus)
    assert consumer.commit({first.partition: 0})  # as Kafka allows
    consumer.close()
    assert read(bus) == ["a", "b", "c"]


def test_groups_do_not_know_of_each_other(bus: Bus):
    publish(bus, "a", "b")
    consumer = joined(bus)
    [_, last] = taken(consumer, 2)
    assert consumer.commit({last.partition: 2})
    assert read(bus, group="index") == ["a", "b"]
    assert bus.committed("segments", group="analyse") == {last.partition: 2}
    assert bus.committed("segments", group="index") == {}


def test_partitions_are_committed_one_by_one(bus: Bus):
    for key in ("a", "b", "c", "d"):
        bus.publish("segments", key=key, value=key.encode())
    consumer = joined(bus)
    ends = {partition: bounds.end for partition, bounds in bus.bounds("segments").items()}
    assert consumer.assigned == ends.keys()
    for partition, end in ends.items():
        assert consumer.commit({partition: end})
    assert bus.committed("segments", group="analyse") == ends


def test_a_commit_beyond_the_end_is_refused(bus: Bus):
    publish(bus, "a")
    consumer = joined(bus)
    [record] = taken(consumer, 1)
    with pytest.raises(OffsetOutOfRange):
        consumer.commit({record.partition: 2})
    assert bus.committed("segments", group="analyse") == {}


def test_seeking_moves_this_reader_only(bus: Bus):
    publish(bus, "a", "b", "c")
    consumer = joined(bus)
    partition = taken(consumer, 1)[0].partition
    consumer.seek(partition, 2)
    assert [one.value for one in taken(consumer, 1)] == [b"c"]
    consumer.seek(partition, 0)
    assert [one.value for one in taken(consumer, 1)] == [b"a"]
    consumer.seek(partition, 3)  # the end: what comes next
    assert consumer.poll(max_records=1, timeout_s=NOTHING_S) == []
    assert bus.committed("segments", group="analyse") == {}
    with pytest.raises(OffsetOutOfRange, match=r"\[0, 3\)"):
        consumer.seek(partition, 4)


def test_lag_is_what_a_group_has_not_committed(bus: Bus):
    def lag_now() -> int:
        return lag(bus.bounds("segments"), bus.committed("segments", group="analyse"))

    assert lag_now() == 0
    publish(bus, "a", "b", "c")
    bus.publish("segments", key="another", value=b"")
    consumer = joined(bus)
    records = taken(consumer, 4)
    assert lag_now() == 4
    gate = next(record.partition for record in records if record.key == "gate")
    assert consumer.commit({gate: 2})
    assert lag_now() == 2


def test_a_poll_gives_no_more_than_asked_for(bus: Bus):
    publish(bus, "a", "b", "c")
    consumer = joined(bus)
    assert [one.offset for one in taken(consumer, 2)] == [0, 1]
    assert [one.offset for one in taken(consumer, 1)] == [2]
    assert consumer.poll(max_records=2, timeout_s=0.01) == []


def test_nobody_takes_the_partitions_of_an_only_member(bus: Bus):
    consumer = joined(bus)
    assert consumer.assigned == set(bus.bounds("segments"))
    assert consumer.revoked() == frozenset()
    publish(bus, "a")
    taken(consumer, 1)
    assert consumer.revoked() == frozenset()


def test_a_waiting_poll_ends_when_a_record_comes(bus: Bus):
    consumer = joined(bus)
    got: list[bytes] = []
    waiting = Thread(
        target=lambda: got.extend(
            record.value for record in consumer.poll(max_records=9, timeout_s=LONG_S)
        )
    )
    waiting.start()
    publish(bus, "other", topic="clips")
    publish(bus, "a")
    waiting.join(LONG_S)
    assert got == [b"a"]


def test_a_waiting_poll_ends_when_the_bus_closes(bus: Bus):
    consumer = joined(bus)
    raised: list[Exception] = []

    def wait() -> None:
        try:
            consumer.poll(max_records=9, timeout_s=LONG_S)
        except BusClosed as error:
            raised.append(error)

    waiting = Thread(target=wait)
    waiting.start()
    bus.close()
    waiting.join(LONG_S)
    assert len(raised) == 1


def test_threads_publish_without_loss_and_each_in_its_order(bus: Bus):
    def publish_numbers(key: str) -> None:
        for number in range(50):
            bus.publish("segments", key=key, value=str(number).encode())

    threads = [Thread(target=publish_numbers, args=(f"k{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = read_on(bus)
    for partition, bounds in bus.bounds("segments").items():
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(bounds.end))
    assert len(records) == 200
    for index in range(4):
        numbers = [int(record.value) for record in records if record.key == f"k{index}"]
        assert numbers == list(range(50))


def test_retention_takes_what_is_too_old(bus: Bus, clock: Clock):
    publish(bus, "a", "b")
    clock.ms += 60_000
    publish(bus, "c")
    assert bus.trim("segments", max_age_s=60) == 0
    assert bus.trim("segments", max_age_s=59.999) == 2
    assert held(bus) == Bounds(2, 3)
    assert read(bus) == ["c"]


def test_retention_takes_only_a_beginning(bus: Bus, clock: Clock):
    clock.ms += 60_000
    publish(bus, "young")
    clock.ms -= 60_000  # the machine's clock was set back
    publish(bus, "old")
    clock.ms += 60_000
    assert bus.trim("segments", max_age_s=30) == 0


def test_retention_spares_what_a_group_still_needs(bus: Bus, clock: Clock):
    publish(bus, "a", "b", "c")
    [partition] = [number for number, bounds in bus.bounds("segments").items() if bounds.end]
    clock.ms += 1
    assert bus.trim("segments", max_age_s=0, below={partition: 1}) == 1
    assert bus.trim("segments", max_age_s=0, below={partition: 0}) == 0
    assert bus.trim("segments", max_age_s=0, below={}) == 0
    assert read(bus) == ["b", "c"]


def test_retention_of_a_topic_without_records_does_nothing(bus: Bus):
    assert bus.trim("never-named", max_age_s=0) == 0


def test_offsets_go_on_after_everything_was_trimmed(bus: Bus, clock: Clock):
    publish(bus, "a", "b")
    clock.ms += 1
    assert bus.trim("segments", max_age_s=0) == 2
    assert held(bus) == Bounds(2, 2)
    assert publish(bus, "c") == [2]


def test_a_reader_that_retention_passed_goes_on_at_the_oldest(bus: Bus, clock: Clock):
    publish(bus, "a", "b")
    clock.ms += 1
    publish(bus, "c")
    reading = joined(bus)
    [first] = taken(reading, 1)
    assert reading.commit({first.partition: 1})
    reading.close()
    assert bus.trim("segments", max_age_s=0) == 2
    reading = joined(bus)
    assert [one.value for one in taken(reading, 1)] == [b"c"]
    with pytest.raises(OffsetOutOfRange):
        reading.seek(first.partition, 1)


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 250, "a/b"])
def test_names_that_kafka_refuses_are_refused(bus: Bus, name: str):
    with pytest.raises(ValueError, match="letters, digits"):
        bus.publish(name, key="k", value=b"")
    with pytest.raises(ValueError, match="letters, digits"):
        bus.consumer("segments", group=name)


def test_a_closed_bus_says_so(bus: Bus):
    consumer = bus.consumer("segments", group="analyse")
    bus.close()
    bus.close()
    with pytest.raises(BusClosed):
        publish(bus, "a")
    with pytest.raises(BusClosed):
        consumer.poll(max_records=1, timeout_s=0)
    with pytest.raises(BusClosed):
        bus.trim("segments", max_age_s=0)


def test_a_closed_consumer_says_so_and_leaves_the_bus_open(bus: Bus):
    consumer = bus.consumer("segments", group="analyse")
    consumer.close()
    with pytest.raises(BusClosed):
        consumer.poll(max_records=1, timeout_s=0)
    assert publish(bus, "a") == [0]
