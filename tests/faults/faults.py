"""The faults, and a seeded order in which they come."""

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random

from services.locks import Service
from streaming.bus import Outgoing, Record, lag
from streaming.kafka_consumer import SESSION_S
from streaming.messages import TOPIC_SEGMENTS
from streaming.progress import StreamState
from tests.conftest import may_mount
from tests.faults.topology import GROUPS, NAMES, SECOND, THIRD, Topology
from tests.streaming.reading import joined, taken

DOWN_S = (0.0, 2.0)
AWAY_S = (1.0, 5.0)
FROZEN_S = 30.0
OUT_S = (SESSION_S + 1, SESSION_S + 4)
"""So long nobody stays in a group of whom nothing is heard."""
JUMP_S = 3600
SEEN_S = 30.0
"""After so long at most a service has seen what happened to its clock, or to the disk."""
FULL_S = (0.0, 4.0)
ANALYSTS = (str(Service.ANALYSE), SECOND)
WATCHES = ((str(Service.CAPTURE),), ANALYSTS, (str(Service.CAPTURE), *ANALYSTS))
"""Whose clocks are set at once."""
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


def stop_one(topology: Topology, random: Random) -> None:
    """One that analyses leaves its group in peace, and comes back."""
    name = random.choice((Service.ANALYSE, SECOND))
    topology.services[name].terminate()
    assert topology.services[name].wait() == 0
    time.sleep(random.uniform(*DOWN_S))
    topology.revive()


def join(topology: Topology, random: Random) -> None:
    """One more analyses for a while."""
    topology.services.start(THIRD)
    topology.services[THIRD].until_ready()
    time.sleep(random.uniform(*AWAY_S))
    topology.services[THIRD].terminate()
    assert topology.services[THIRD].wait() == 0


def freeze_one(topology: Topology, random: Random) -> None:
    """One is put out of the group without a word, and comes back believing it still is in it."""
    frozen = topology.services[random.choice((Service.ANALYSE, SECOND))]
    frozen.freeze()
    try:
        time.sleep(random.uniform(*OUT_S))
    finally:
        frozen.thaw()


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
        time.sleep(FROZEN_S)
    finally:
        topology.kafka.thaw()


def freeze_redis(topology: Topology, random: Random) -> None:
    topology.redis.pause()
    try:
        time.sleep(FROZEN_S)
    finally:
        topology.redis.resume()


def set_clocks(topology: Topology, random: Random, *, ahead_s: int) -> None:
    """The wall clock of capture, of who analyses or of both is set, and set right again."""
    names = random.choice(WATCHES)
    try:
        for name in names:
            topology.clocks[name].set(ahead_s=ahead_s)
        for name in names:
            until_ahead(topology, name, ahead_s=ahead_s)
        time.sleep(random.uniform(*AWAY_S))
    finally:
        for name in names:
            topology.clocks[name].set(ahead_s=0)
    for name in names:
        until_ahead(topology, name, ahead_s=0)


def until_ahead(topology: Topology, name: str, *, ahead_s: int) -> None:
    service = topology.services[name]
    give_up_s = time.monotonic() + SEEN_S
    while abs((service.clock_at() - datetime.now(UTC)).total_seconds() - ahead_s) > JUMP_S / 2:
        assert time.monotonic() < give_up_s, f"the clock of {name} stays as it was"
        time.sleep(0.2)


def fill_disk(topology: Topology, random: Random) -> None:
    """Where footage is stored there is no room for a while, and capture sees that."""
    topology.disk.fill()
    try:
        give_up_s = time.monotonic() + SEEN_S
        while StreamState.PAUSED not in topology.states():
            assert time.monotonic() < give_up_s, "no stream waits for room"
            time.sleep(0.2)
        time.sleep(random.uniform(*FULL_S))
    finally:
        topology.disk.clear()


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
        keys = [*topology.streams, "nobody"]
        garbage = [Outgoing(random.choice(keys), value) for value in GARBAGE]
        garbage += [Outgoing(one.key, hurt(one.value, random)) for one in recent(topology, topic)]
        if topic == TOPIC_SEGMENTS:
            garbage += lies(topology)
        random.shuffle(garbage)
        topology.bus.publish_many(topic, garbage)


def recent(topology: Topology, topic: str) -> list[Record]:
    """The last records of each partition."""
    bounds = topology.bus.bounds(topic)
    starts = {number: max(held.begin, held.end - RECENT) for number, held in bounds.items()}
    reader = joined(topology.bus, topic=topic, group="faults")
    try:
        for partition, start in starts.items():
            reader.seek(partition, start)
        return taken(reader, lag(bounds, starts))
    finally:
        reader.close()


def hurt(value: bytes, random: Random) -> bytes:
    """Cut short, or with a bit turned over that no JSON may have."""
    at = random.randrange(1, len(value)) if len(value) > 1 else 0
    if random.random() < 0.5:
        return value[:at]
    return value[:at] + bytes([value[at] | 0x80 if value else 0x80]) + value[at + 1 :]


def lies(topology: Topology) -> Generator[Outgoing]:
    """Well-formed messages about footage that never was, of streams that are and that are not."""
    for record in recent(topology, TOPIC_SEGMENTS):
        try:
            body = json.loads(record.value)
        except ValueError:
            continue
        if isinstance(body, dict) and body.get("kind") == "segment_ready/1":
            never = json.dumps(body | {"uri": "never/was.mp4"}).encode()
            yield Outgoing(record.key, never)
            yield Outgoing("nobody", never)
            strange = json.dumps(body | {"span": body["span"] | {"stream_id": "stranger"}})
            yield Outgoing("stranger", strange.encode())


FAULTS: Mapping[str, Fault] = {
    **{f"kill {name}": kill_services(name) for name in Service},
    "kill all services": kill_services(*NAMES),
    "stop one analyse": stop_one,
    "join a third analyse": join,
    "freeze one analyse": freeze_one,
    "kill Kafka": kill_kafka,
    "kill Redis": kill_redis,
    "kill Kafka and Redis": kill_both,
    "freeze Kafka": freeze_kafka,
    "freeze Redis": freeze_redis,
    "set clocks ahead": partial(set_clocks, ahead_s=JUMP_S),
    "set clocks back": partial(set_clocks, ahead_s=-JUMP_S),
    **({"fill the disk": fill_disk} if may_mount() else {}),
    "duplicate messages": partial(send_again, shuffled=False),
    "reordered messages": partial(send_again, shuffled=True),
    "corrupt messages": send_garbage,
}
