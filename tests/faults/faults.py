"""The faults, and a seeded order in which they come."""

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from services.locks import Service
from streaming.bus import Outgoing, Record
from streaming.messages import TOPIC_SEGMENTS
from tests.faults.topology import GROUPS, Topology

DOWN_S = (0.0, 2.0)
AWAY_S = (1.0, 5.0)
RECENT = 12
GARBAGE = (
    b"",
    b"\x00\xff\xfe garbage",
    b"{",
    b"[]",
    b"null",
    b'{"kind": "segment_ready/9"}',
    b'{"kind": "stream_ended/1", "stream_id": "../..", "end_ns": -1}',
)

Fault = Callable[[Topology, Random], None]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One fault, so long after the round began."""

    name: str
    after_s: float
    seed: int

    def strike(self, topology: Topology) -> None:
        FAULTS[self.name](topology, Random(self.seed))


def schedule(seed: int) -> Generator[Scheduled]:
    """Faults without end: each kind once, in random order, then each once more, and so on."""
    random = Random(seed)
    while True:
        names = list(FAULTS)
        random.shuffle(names)
        for name in names:
            yield Scheduled(name, random.uniform(0.5, 4.0), random.getrandbits(32))


def kill_services(*names: str) -> Fault:
    def fault(topology: Topology, random: Random) -> None:
        topology.kill(*names)
        time.sleep(random.uniform(*DOWN_S))
        topology.revive()

    return fault


def kill_kafka(topology: Topology, random: Random) -> None:
    topology.kafka.kill()
    time.sleep(random.uniform(*DOWN_S))
    assert topology.kafka.start()


def kill_redis(topology: Topology, random: Random) -> None:
    topology.redis.kill()
    time.sleep(random.uniform(*AWAY_S))
    topology.redis.start()


def kill_both(topology: Topology, random: Random) -> None:
    topology.kafka.kill()
    kill_redis(topology, random)
    assert topology.kafka.start()


def freeze_kafka(topology: Topology, random: Random) -> None:
    topology.kafka.freeze()
    try:
        time.sleep(random.uniform(*AWAY_S))
    finally:
        topology.kafka.thaw()


def freeze_redis(topology: Topology, random: Random) -> None:
    topology.redis.pause()
    try:
        time.sleep(random.uniform(*AWAY_S))
    finally:
        topology.redis.resume()


def send_again(topology: Topology, random: Random, *, shuffled: bool) -> None:
    """What was published lately comes once more, in its order or in another."""
    for topic in GROUPS.values():
        records = recent(topology, topic)
        if shuffled:
            random.shuffle(records)
        again = [Outgoing(one.key, one.value) for one in records]
        if again:
            topology.bus.publish_many(topic, again)


def send_garbage(topology: Topology, random: Random) -> None:
    """What no service ever wrote, and what was hurt on its way."""
    for topic in GROUPS.values():
        values = [*GARBAGE, *(hurt(one.value, random) for one in recent(topology, topic))]
        if topic == TOPIC_SEGMENTS:
            values += [*lies(topology)]
        random.shuffle(values)
        keys = [*topology.streams, "nobody"]
        topology.bus.publish_many(topic, [Outgoing(random.choice(keys), one) for one in values])


def recent(topology: Topology, topic: str) -> list[Record]:
    reader = topology.bus.consumer(topic, group="faults")
    try:
        reader.seek(max(topology.bus.begin_offset(topic), topology.bus.end_offset(topic) - RECENT))
        return list(reader.poll(max_records=RECENT, timeout_s=2.0))
    finally:
        reader.close()


def hurt(value: bytes, random: Random) -> bytes:
    """Cut short, or with a bit turned over that no JSON may have."""
    at = random.randrange(1, len(value)) if len(value) > 1 else 0
    if random.random() < 0.5:
        return value[:at]
    return value[:at] + bytes([value[at] | 0x80 if value else 0x80]) + value[at + 1 :]


def lies(topology: Topology) -> Generator[bytes]:
    """Well-formed messages about footage that never was, of streams that are and that are not."""
    for record in recent(topology, TOPIC_SEGMENTS):
        try:
            body = json.loads(record.value)
        except ValueError:
            continue
        if isinstance(body, dict) and body.get("kind") == "segment_ready/1":
            yield json.dumps(body | {"uri": "never/was.mp4"}).encode()
            yield json.dumps(body | {"span": body["span"] | {"stream_id": "stranger"}}).encode()


FAULTS: Mapping[str, Fault] = {
    **{f"kill {name}": kill_services(name) for name in Service},
    "kill all services": kill_services(*Service),
    "kill Kafka": kill_kafka,
    "kill Redis": kill_redis,
    "kill Kafka and Redis": kill_both,
    "freeze Kafka": freeze_kafka,
    "freeze Redis": freeze_redis,
    "duplicate messages": partial(send_again, shuffled=False),
    "reordered messages": partial(send_again, shuffled=True),
    "corrupt messages": send_garbage,
}
