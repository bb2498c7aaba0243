"""What a bus in Kafka adds: brokers that die and come back, passwords, limits, and its topics."""

import time
from collections.abc import Iterator
from contextlib import closing
from random import Random
from threading import Event, Thread
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.structs import TopicPartition

from streaming.bus import Bounds, Outgoing
from streaming.errors import BusClosed, BusError, BusRefused, BusUnavailable, RecordTooLarge
from streaming.kafka_bus import KafkaBus
from streaming.kafka_link import KafkaAccess
from streaming.kafka_topics import MAX_BATCH_BYTES
from streaming.topics import TOPICS, TopicPolicy
from tests.streaming.kafka_server import LITTERED, PASSWORD, USER, KafkaServer
from tests.streaming.reading import held, joined, read_on, taken, until_assigned
from tests.streaming.servers import free_port

pytestmark = LITTERED

NOW_MS = 1_700_000_000_000
LONG_S = 30.0
BOUND_S = 12.0  # no call may take longer, whatever the broker does; a machine may be busy


def opened(servers: str, *, prefix: str = "") -> KafkaBus:
    return KafkaBus(KafkaAccess(servers), now_ms=lambda: NOW_MS, prefix=prefix)


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}."


@pytest.fixture
def bus(kafka_servers: str, prefix: str) -> Iterator[KafkaBus]:
    with closing(opened(kafka_servers, prefix=prefix)) as bus:
        yield bus


@pytest.fixture
def mortal(kafka_server: KafkaServer, prefix: str) -> Iterator[KafkaBus]:
    """A bus whose broker the test may harm."""
    with closing(opened(kafka_server.servers, prefix=prefix)) as bus:
        yield bus


@pytest.fixture
def admin(kafka_servers: str) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=kafka_servers)) as admin:
        yield admin


def values(bus: KafkaBus, *, topic: str = "segments") -> list[bytes]:
    """The values of all records."""
    return [record.value for record in read_on(bus, topic=topic, group="reads-all")]


class Publisher(Thread):
    """Publishes numbers until told to stop; one that was refused for now it publishes again."""

    def __init__(self, bus: KafkaBus) -> None:
        super().__init__()
        self._bus = bus
        self.stop = Event()
        self.acknowledged: dict[int, int] = {}  # offset: number
        self.errors: list[BusUnavailable] = []

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            try:
                offset = self._bus.publish("segments", key="gate", value=b"%d" % number)
            except BusUnavailable as error:
                self.errors.append(error)
                self.stop.wait(0.1)
            else:
                self.acknowledged[offset] = number
                number += 1

    def await_acknowledged(self, count: int) -> None:
        deadline_s = time.monotonic() + LONG_S
        while len(self.acknowledged) < count and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert len(self.acknowledged) >= count


def test_a_broker_killed_and_started_again_loses_nothing(
    mortal: KafkaBus, kafka_server: KafkaServer
):
    publisher = Publisher(mortal)
    publisher.start()
    publisher.await_acknowledged(20)
    reading = joined(mortal)
    first = taken(reading, 10)
    assert reading.commit({0: first[-1].offset + 1})

    kafka_server.kill()
    with pytest.raises(BusUnavailable, match="check that a broker runs there"):
        while True:  # what was fetched ahead may come first
            first += reading.poll(max_records=10, timeout_s=0.1)
    late = mortal.consumer("segments", group="index")
    with pytest.raises(BusUnavailable, match="check that a broker runs there"):
        late.poll(max_records=10, timeout_s=0)
    began_s = time.monotonic()
    while not publisher.errors:
        time.sleep(0.01)
    assert time.monotonic() - began_s < BOUND_S
    known = len(publisher.acknowledged)

    assert kafka_server.start()
    publisher.await_acknowledged(known + 20)
    publisher.stop.set()
    publisher.join()
    assert mortal.committed("segments", group="analyse") == {0: 10}
    numbers = [int(value) for value in values(mortal)]
    assert all(numbers[offset] == number for offset, number in publisher.acknowledged.items())
    # One that got no answer may be there twice; none is missing, none is out of order.
    assert list(dict.fromkeys(numbers)) == list(range(max(numbers) + 1))
    assert numbers == sorted(numbers)
    rest = taken(reading, len(numbers) - len(first))
    assert [record.offset for record in first + rest] == list(range(len(numbers)))
    assert reading.revoked() == frozenset()  # it was a member all the time
    assert reading.commit({0: len(numbers)})
    until_assigned(late)
    assert [int(record.value) for record in taken(late, len(numbers))] == numbers


def test_a_broker_that_freezes_for_a_moment_is_waited_for(
    mortal: KafkaBus, kafka_server: KafkaServer
):
    mortal.publish("segments", key="k", value=b"0")
    kafka_server.freeze()
    publisher = Publisher(mortal)
    publisher.start()
    time.sleep(1.5)
    kafka_server.thaw()
    publisher.await_acknowledged(1)
    publisher.stop.set()
    publisher.join()
    assert publisher.errors == []


def test_a_broker_frozen_for_long_is_an_error_and_then_forgiven(
    mortal: KafkaBus, kafka_server: KafkaServer
):
    mortal.publish("segments", key="k", value=b"before")
    consumer = joined(mortal)
    taken(consumer, 1)
    kafka_server.freeze()
    try:
        for act in (
            lambda: mortal.publish("segments", key="k", value=b"meanwhile"),
            lambda: consumer.poll(max_records=1, timeout_s=0),
            lambda: mortal.bounds("segments"),
        ):
            began_s = time.monotonic()
            with pytest.raises(BusUnavailable, match="does not answer"):
                act()
            assert time.monotonic() - began_s < BOUND_S
    finally:
        kafka_server.thaw()
    deadline_s = time.monotonic() + LONG_S
    is_published = False
    while not is_published and time.monotonic() < deadline_s:
        try:
            mortal.publish("segments", key="k", value=b"after")
            is_published = True
        except BusUnavailable as error:
            time.sleep(error.retry_after_s)
    found = values(mortal)
    assert (found[0], found[-1]) == (b"before", b"after")
    assert set(found[1:-1]) <= {b"meanwhile"}  # nobody promised that it would not be there


def test_nobody_there_is_said_at_once():
    servers = f"127.0.0.1:{free_port()}"
    with closing(opened(servers)) as bus:
        began_s = time.monotonic()
        with pytest.raises(BusUnavailable, match=f"{servers} does not answer .*refused"):
            bus.publish("segments", key="k", value=b"")
        with pytest.raises(BusUnavailable):
            bus.consumer("segments", group="analyse").poll(max_records=1, timeout_s=LONG_S)
        assert time.monotonic() - began_s < 2


def test_one_server_of_several_is_enough(kafka_servers: str, prefix: str):
    with closing(opened(f"127.0.0.1:{free_port()},{kafka_servers}", prefix=prefix)) as bus:
        assert bus.publish("segments", key="k", value=b"") == 0


def test_keys_and_headers_are_those_that_other_clients_see(
    bus: KafkaBus, kafka_servers: str, prefix: str
):
    bus.publish("clips", key="gäte", value=b"\x00", headers={"kind": "ready/1", "ü": "ö"})
    with closing(
        KafkaConsumer(bootstrap_servers=kafka_servers, auto_offset_reset="earliest")
    ) as foreign:
        partition = TopicPartition(f"{prefix}clips", 0)
        foreign.assign([partition])
        [[record]] = foreign.poll(timeout_ms=10_000).values()
    assert (record.key, record.value, record.timestamp) == ("gäte".encode(), b"\x00", NOW_MS)
    assert record.headers == [("kind", b"ready/1"), ("ü", "ö".encode())]


def test_many_that_are_too_many_are_refused_before_any_is_sent(bus: KafkaBus):
    many = [Outgoing("k", bytes(900_000)) for _ in range(5)]
    with pytest.raises(RecordTooLarge, match=f"larger than {MAX_BATCH_BYTES}"):
        bus.publish_many("segments", many)
    assert held(bus) == Bounds(0, 0)
    assert bus.publish_many("segments", many[:4]) == [0, 1, 2, 3]


def test_a_topic_that_takes_only_small_batches_says_so(
    bus: KafkaBus, admin: KafkaAdminClient, prefix: str
):
    bus.prepare("segments", TopicPolicy())
    small = {"max.message.bytes": "1000"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, f"{prefix}segments", small)])
    noise = Random(7).randbytes(100_000)
    with pytest.raises(BusRefused, match=r"max\.message\.bytes is too small"):
        bus.publish("segments", key="k", value=noise)
    assert bus.prepare("segments", TopicPolicy())
    assert bus.publish("segments", key="k", value=noise) == 0


def test_batches_are_compressed(bus: KafkaBus, admin: KafkaAdminClient, prefix: str):
    bus.publish("segments", key="k", value=b"the same again " * 60_000)
    sizes_bytes = [
        partition["partition_size"]
        for broker in admin.describe_log_dirs()
        for folder in broker["log_dirs"]
        for topic in folder["topics"]
        if topic["name"] == f"{prefix}segments"
        for partition in topic["partitions"]
    ]
    assert 0 < sum(sizes_bytes) < 10_000


def test_closing_twice_is_harmless_and_final(bus: KafkaBus):
    consumer = bus.consumer("segments", group="analyse")
    bus.publish("segments", key="k", value=b"")
    consumer.poll(max_records=1, timeout_s=0)
    bus.close()
    consumer.close()
    with pytest.raises(BusClosed):
        bus.publish_many("segments", [])


def secure(server: KafkaServer, *, password: str = PASSWORD, ca: bool = True) -> KafkaAccess:
    return KafkaAccess(
        server.secure_servers,
        security_protocol="SASL_SSL",
        mechanism="PLAIN",
        username=USER,
        password=password,
        ca_file=server.certificate if ca else None,
    )


def test_a_password_over_tls_opens(kafka_server: KafkaServer, prefix: str):
    with closing(KafkaBus(secure(kafka_server), now_ms=lambda: NOW_MS, prefix=prefix)) as bus:
        bus.publish("segments", key="k", value=b"a")
        assert values(bus) == [b"a"]


def test_a_wrong_password_is_said_and_never_shown(
    kafka_server: KafkaServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    access = secure(kafka_server, password="not-the-s3cret")
    assert "not-the-s3cret" not in repr(access)
    with (
        closing(KafkaBus(access, now_ms=lambda: NOW_MS)) as bus,
        pytest.raises(BusError, match="user name or password") as raised,
    ):
        bus.publish("segments", key="k", value=b"")
    assert "not-the-s3cret" not in caplog.text + str(raised.value)


def test_a_certificate_that_nobody_signed_is_not_trusted(kafka_server: KafkaServer):
    with closing(KafkaBus(secure(kafka_server, ca=False), now_ms=lambda: NOW_MS)) as bus:
        began_s = time.monotonic()
        with pytest.raises(BusUnavailable):
            bus.publish("segments", key="k", value=b"")
        assert time.monotonic() - began_s < BOUND_S


def test_topics_are_made_once_and_then_kept_as_they_should_be(bus: KafkaBus):
    for topic, policy in TOPICS.items():
        assert bus.prepare(topic, policy)
        assert not bus.prepare(topic, policy)
    assert bus.prepare("clips", TopicPolicy(keep_s=60))
    assert not bus.prepare("clips", TopicPolicy(keep_s=60))


def test_a_compacted_topic_can_be_trimmed_too(bus: KafkaBus):
    bus.publish("control", key="k", value=b"a")
    bus.publish("control", key="k", value=b"b")
    assert bus.trim("control", max_age_s=-1, below={0: 1}) == 1
    assert held(bus, "control") == Bounds(1, 2)


def test_a_topic_is_read_with_as_many_partitions_as_it_has(
    bus: KafkaBus, admin: KafkaAdminClient, prefix: str
):
    admin.create_topics([NewTopic(f"{prefix}clips", num_partitions=3, replication_factor=1)])
    for key in "abcdef":
        bus.publish("clips", key=key, value=key.encode())
    assert len(bus.bounds("clips")) == 3
    assert sorted(values(bus, topic="clips")) == [b"a", b"b", b"c", b"d", b"e", b"f"]


def test_only_what_is_shared_is_divided(kafka_servers: str, prefix: str):
    access = KafkaAccess(kafka_servers)
    with closing(KafkaBus(access, now_ms=lambda: NOW_MS, prefix=prefix, partitions=4)) as bus:
        counts = {topic: len(bus.bounds(topic)) for topic in TOPICS}
    shared, others = ("segments", "clips", "glimpses"), ("dead-letters", "control", "alerts")
    assert counts == {**dict.fromkeys(shared, 4), **dict.fromkeys(others, 1)}


def test_a_key_lies_where_other_clients_put_it(kafka_servers: str, prefix: str):
    access = KafkaAccess(kafka_servers)
    with (
        closing(KafkaBus(access, now_ms=lambda: NOW_MS, prefix=prefix, partitions=5)) as bus,
        closing(KafkaProducer(bootstrap_servers=kafka_servers)) as foreign,
    ):
        keys = [f"cam-{number}" for number in range(20)]
        for key in keys:
            bus.publish("segments", key=key, value=b"ours")
        sent = [foreign.send(f"{prefix}segments", key=key.encode(), value=b"") for key in keys]
        foreign.flush()
        theirs = {key: future.get().partition for key, future in zip(keys, sent, strict=True)}
        ours = {one.key: one.partition for one in read_on(bus) if one.value == b"ours"}
    assert ours == theirs
    assert len(set(ours.values())) == 5


def test_installations_with_prefixes_do_not_see_each_other(kafka_servers: str, prefix: str):
    with (
        closing(opened(kafka_servers, prefix=f"{prefix}a.")) as one,
        closing(opened(kafka_servers, prefix=f"{prefix}b.")) as two,
    ):
        one.publish("segments", key="k", value=b"")
        assert joined(one).commit({0: 1})
        assert held(two) == Bounds(0, 0)
        assert one.committed("segments", group="analyse") == {0: 1}
        assert two.committed("segments", group="analyse") == {}
