"""A topic of Kafka gets more partitions, and what is read of a key stays in order."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from streaming import kafka_topics
from streaming.bus import Consumer, Outgoing
from streaming.errors import BusRefused
from streaming.kafka_bus import COUNT_AGAIN_S, KafkaBus
from streaming.kafka_growth import CHUNK_BYTES, partition_of
from streaming.kafka_link import KafkaAccess
from tests.streaming.kafka_server import LITTERED
from tests.streaming.reading import joined, read_on, taken

pytestmark = LITTERED

KEYS = tuple(f"cam-{number}" for number in range(8))
GROUPS = ("analyse",)
COUNT_PARTITIONS = kafka_topics.count_partitions
Open = Callable[[int], KafkaBus]


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}."


@pytest.fixture
def opened(kafka_servers: str, prefix: str) -> Iterator[Open]:
    """Makes buses of one installation that want so many partitions."""
    with ExitStack() as stack:

        def make(partitions: int) -> KafkaBus:
            access = KafkaAccess(kafka_servers)
            bus = KafkaBus(access, now_ms=lambda: 0, prefix=prefix, partitions=partitions)
            return stack.enter_context(closing(bus))

        yield make


def publish(bus: KafkaBus, numbers: range, *, value: bytes = b"") -> None:
    """Records of all keys in turn, each with its number."""
    bus.publish_many(
        "segments",
        [Outgoing(KEYS[n % len(KEYS)], b"%d " % n + value, {"n": str(n)}) for n in numbers],
    )


def handled(bus: KafkaBus, count: int) -> set[int]:
    """Have the group read so many records and commit them; return their numbers."""
    consumer = joined(bus)
    records = taken(consumer, count)
    committed = {one.partition: one.offset + 1 for one in records}
    assert consumer.commit(committed)
    consumer.close()
    return {number_of(one.value) for one in records}


def number_of(value: bytes) -> int:
    return int(value.partition(b" ")[0])


def test_what_is_unread_stays_in_order_and_comes_once(opened: Open) -> None:
    few = opened(2)
    publish(few, range(80))
    before = handled(few, 33)

    moved = opened(5).grow("segments", groups=GROUPS)
    many = opened(5)
    publish(many, range(80, 120))
    records = read_on(many)

    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for one in records:
        assert one.partition == partition_of(one.key.encode(), 5)
        assert one.headers == {"n": str(number_of(one.value))}
        by_key[one.key].append(number_of(one.value))
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    rest = sorted(number for numbers in by_key.values() for number in numbers)
    assert rest == sorted(set(range(120)) - before)
    assert 0 < moved <= 80 - len(before)


def test_a_broker_that_hears_of_new_partitions_late_is_waited_for(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(opened(1), range(10))
    answers = iter([1, 1, 1])
    monkeypatch.setattr(
        kafka_topics,
        "count_partitions",
        lambda admin, name: next(answers, None) or COUNT_PARTITIONS(admin, name),
    )

    assert opened(4).grow("segments", groups=GROUPS) == 10


def test_growing_again_moves_nothing(opened: Open) -> None:
    publish(opened(1), range(10))
    bus = opened(4)

    assert bus.grow("segments", groups=GROUPS) == 10
    ends = bus.bounds("segments")
    assert bus.grow("segments", groups=GROUPS) == 0
    assert bus.bounds("segments") == ends


def test_a_growth_that_was_broken_off_is_finished(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(opened(2), range(40))
    broken = opened(4)
    monkeypatch.setattr(broken, "publish_many", publish_once_and_die(broken))
    with pytest.raises(ZeroDivisionError):
        broken.grow("segments", groups=GROUPS)

    bus = opened(4)
    bus.grow("segments", groups=GROUPS)

    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for one in read_on(bus):
        if number_of(one.value) not in by_key[one.key]:  # once more: no harm
            by_key[one.key].append(number_of(one.value))
    assert by_key == {key: list(range(at, 40, len(KEYS))) for at, key in enumerate(KEYS)}


def publish_once_and_die(bus: KafkaBus) -> Callable[[str, list[Outgoing]], object]:
    real = bus.publish_many

    def publish_many(topic: str, records: list[Outgoing]) -> object:
        real(topic, records[: len(records) // 2])
        raise ZeroDivisionError

    return publish_many


def test_large_records_go_in_several_batches(opened: Open) -> None:
    publish(opened(1), range(6), value=bytes(CHUNK_BYTES // 2))
    bus = opened(2)

    assert bus.grow("segments", groups=GROUPS) == 6
    assert sorted(number_of(one.value) for one in read_on(bus)) == list(range(6))


def test_nobody_may_read_meanwhile(opened: Open) -> None:
    bus = opened(1)
    publish(bus, range(3))
    reader: Consumer = joined(bus)

    with pytest.raises(BusRefused, match="stop all services"):
        opened(2).grow("segments", groups=GROUPS)
    assert len(opened(2).bounds("segments")) == 1
    reader.close()


def test_fewer_partitions_are_refused(opened: Open) -> None:
    publish(opened(3), range(3))

    with pytest.raises(BusRefused, match="it has 3 partitions, and Kafka takes none away"):
        opened(2).grow("segments", groups=GROUPS)


def test_whoever_runs_while_another_hand_adds_partitions_notices(
    kafka_servers: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    bus = KafkaBus(
        KafkaAccess(kafka_servers), now_ms=lambda: 0, prefix=prefix, monotonic_s=lambda: now_s
    )
    with closing(bus), closing(KafkaAdminClient(bootstrap_servers=kafka_servers)) as admin:
        publish(bus, range(len(KEYS)))
        admin.create_partitions({f"{prefix}segments": NewPartitions(4)})
        publish(bus, range(len(KEYS)))
        assert bus.bounds("segments").keys() == {0}

        now_s += COUNT_AGAIN_S + 1
        publish(bus, range(len(KEYS)))
        used = {one for one, held in bus.bounds("segments").items() if held.end}

    assert used == {0, *(partition_of(key.encode(), 4) for key in KEYS)}
    assert "longwatch topics --grow" in caplog.text
