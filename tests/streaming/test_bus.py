"""Every `Bus` keeps the same promises, those of Kafka."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from streaming.bus import MAX_VALUE_BYTES, Bus, MemoryBus, Outgoing
from streaming.errors import BusClosed, OffsetOutOfRange, RecordTooLarge
from streaming.kafka_bus import KafkaBus
from streaming.kafka_link import KafkaAccess
from streaming.sqlite_bus import SqliteBus

LONG_S = 30.0  # a wait that something else ends


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
        return KafkaBus(access, now_ms=clock, prefix=f"{uuid4().hex}.")

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
    """What a new consumer of a group reads, committing nothing."""
    consumer = bus.consumer(topic, group=group)
    return [record.value.decode() for record in consumer.poll(max_records=100, timeout_s=0)]


def test_offsets_count_from_zero_without_gaps(bus: Bus):
    assert bus.end_offset("segments") == 0
    assert publish(bus, "a", "b", "c") == [0, 1, 2]
    assert (bus.begin_offset("segments"), bus.end_offset("segments")) == (0, 3)


def test_a_record_comes_back_as_it_was_published(bus: Bus, clock: Clock):
    bus.publish("segments", key="gäte", value=b"\x00\xff", headers={"kind": "ready/1", "ü": ""})
    [record] = bus.consumer("segments", group="g").poll(max_records=9, timeout_s=0)
    assert (record.topic, record.partition, record.offset) == ("segments", 0, 0)
    assert (record.key, record.value) == ("gäte", b"\x00\xff")
    assert dict(record.headers) == {"kind": "ready/1", "ü": ""}
    assert record.timestamp_ms == clock.ms


def test_many_are_published_in_order(bus: Bus):
    publish(bus, "a")
    assert bus.publish_many("segments", [Outgoing("k", b"b"), Outgoing("k", b"c")]) == [1, 2]
    assert read(bus) == ["a", "b", "c"]
    assert bus.publish_many("segments", []) == []


def test_many_are_published_all_or_none(bus: Bus):
    too_large = Outgoing("k", bytes(MAX_VALUE_BYTES + 1))
    with pytest.raises(RecordTooLarge, match="publish its address"):
        bus.publish_many("segments", [Outgoing("k", b"a"), too_large])
    assert bus.end_offset("segments") == 0


def test_the_largest_record_passes(bus: Bus):
    bus.publish("segments", key="k", value=bytes(MAX_VALUE_BYTES))
    [record] = bus.consumer("segments", group="g").poll(max_records=1, timeout_s=0)
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
    consumer = bus.consumer("segments", group="analyse")
    consumer.poll(max_records=2, timeout_s=0)
    consumer.commit(1)
    assert consumer.position == 2  # committing moves no reader
    assert read(bus) == ["b", "c"]
    consumer.commit(3)
    assert read(bus) == []
    consumer.commit(0)  # as Kafka allows
    assert read(bus) == ["a", "b", "c"]


def test_groups_do_not_know_of_each_other(bus: Bus):
    publish(bus, "a", "b")
    bus.consumer("segments", group="analyse").commit(2)
    assert read(bus, group="index") == ["a", "b"]
    assert bus.committed("segments") == {"analyse": 2}
    assert bus.consumer("segments", group="index").committed() is None
    assert bus.consumer("segments", group="analyse").committed() == 2


def test_a_commit_beyond_the_end_is_refused(bus: Bus):
    publish(bus, "a")
    consumer = bus.consumer("segments", group="analyse")
    with pytest.raises(OffsetOutOfRange):
        consumer.commit(2)
    assert consumer.committed() is None


def test_seeking_moves_this_reader_only(bus: Bus):
    publish(bus, "a", "b", "c")
    consumer = bus.consumer("segments", group="analyse")
    consumer.seek(2)
    assert [r.value for r in consumer.poll(max_records=9, timeout_s=0)] == [b"c"]
    consumer.seek(0)
    assert [r.value for r in consumer.poll(max_records=1, timeout_s=0)] == [b"a"]
    consumer.seek(3)  # the end: what comes next
    assert consumer.committed() is None
    with pytest.raises(OffsetOutOfRange, match=r"\[0, 3\)"):
        consumer.seek(4)


def test_lag_is_what_the_group_has_not_committed(bus: Bus):
    consumer = bus.consumer("segments", group="analyse")
    assert consumer.lag() == 0
    publish(bus, "a", "b", "c")
    consumer.poll(max_records=9, timeout_s=0)
    assert consumer.lag() == 3
    consumer.commit(2)
    assert consumer.lag() == 1


def test_a_poll_gives_no_more_than_asked_for(bus: Bus):
    publish(bus, "a", "b", "c")
    consumer = bus.consumer("segments", group="analyse")
    assert [r.offset for r in consumer.poll(max_records=2, timeout_s=0)] == [0, 1]
    assert [r.offset for r in consumer.poll(max_records=2, timeout_s=0)] == [2]
    assert consumer.poll(max_records=2, timeout_s=0.01) == []


def test_a_waiting_poll_ends_when_a_record_comes(bus: Bus):
    consumer = bus.consumer("segments", group="analyse")
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
    consumer = bus.consumer("segments", group="analyse")
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
    records = bus.consumer("segments", group="g").poll(max_records=999, timeout_s=0)
    assert [record.offset for record in records] == list(range(200))
    for index in range(4):
        numbers = [int(record.value) for record in records if record.key == f"k{index}"]
        assert numbers == list(range(50))


def test_retention_by_age_takes_what_is_too_old(bus: Bus, clock: Clock):
    publish(bus, "a", "b")
    clock.ms += 60_000
    publish(bus, "c")
    assert bus.trim("segments", max_age_s=60) == 0
    assert bus.trim("segments", max_age_s=59.999) == 2
    assert (bus.begin_offset("segments"), bus.end_offset("segments")) == (2, 3)
    assert read(bus) == ["c"]


def test_retention_takes_only_a_beginning(bus: Bus, clock: Clock):
    clock.ms += 60_000
    publish(bus, "young")
    clock.ms -= 60_000  # the machine's clock was set back
    publish(bus, "old")
    clock.ms += 60_000
    assert bus.trim("segments", max_age_s=30) == 0


def test_retention_by_size_keeps_the_newest(bus: Bus):
    publish(bus, "aaaa", "bbbb", "cccc")
    assert bus.trim("segments", max_bytes=12) == 0
    assert bus.trim("segments", max_bytes=7) == 2
    assert read(bus) == ["cccc"]


def test_retention_spares_what_a_group_still_needs(bus: Bus):
    publish(bus, "a", "b", "c")
    assert bus.trim("segments", max_bytes=0, below_offset=1) == 1
    assert bus.trim("segments", max_bytes=0, below_offset=0) == 0
    assert read(bus) == ["b", "c"]


def test_without_a_limit_nothing_is_trimmed(bus: Bus):
    publish(bus, "a")
    assert bus.trim("segments", below_offset=1) == 0
    assert bus.trim("never-named", max_bytes=0) == 0


def test_offsets_go_on_after_everything_was_trimmed(bus: Bus):
    publish(bus, "a", "b")
    assert bus.trim("segments", max_bytes=0) == 2
    assert (bus.begin_offset("segments"), bus.end_offset("segments")) == (2, 2)
    assert publish(bus, "c") == [2]


def test_a_reader_that_retention_passed_goes_on_at_the_oldest(bus: Bus):
    publish(bus, "a", "b", "c")
    reading = bus.consumer("segments", group="analyse")
    reading.poll(max_records=1, timeout_s=0)
    reading.commit(1)
    bus.trim("segments", max_bytes=1)
    assert [r.value for r in reading.poll(max_records=9, timeout_s=0)] == [b"c"]
    assert reading.lag() == 1
    assert read(bus) == ["c"]
    with pytest.raises(OffsetOutOfRange):
        reading.seek(1)


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
        bus.trim("segments", max_bytes=0)


def test_a_closed_consumer_says_so_and_leaves_the_bus_open(bus: Bus):
    consumer = bus.consumer("segments", group="analyse")
    consumer.close()
    with pytest.raises(BusClosed):
        consumer.poll(max_records=1, timeout_s=0)
    assert publish(bus, "a") == [0]
