"""How many messages a second our buses carry, beside kafka-python as it comes.

`KafkaBus` and a plain `KafkaProducer` and `KafkaConsumer`, with the same promises (acks=all,
idempotent, zstd), talk to one broker of this machine; `SqliteBus` writes beside them. The messages
are those of capture. All do each job in turns in one run, so that whatever else the machine does
strikes all alike: what counts are the ratios within a turn. Connecting is not counted.

    python -m benchmarks.bus [--turns 7] [--small]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import kafka
from kafka.structs import OffsetAndMetadata, TopicPartition

from benchmarks.decode import spread
from benchmarks.watching import load_average, machine, room_there_was, write_result
from services.wiring import now_ms
from streaming.bus import Bus, Outgoing
from streaming.kafka_bus import KafkaBus
from streaming.kafka_link import KafkaAccess
from streaming.messages import NS_PER_S, TOPIC_SEGMENTS, SegmentReady, Span
from streaming.sqlite_bus import SqliteBus
from tests.streaming.kafka_server import cache_folder, serving

STREAM = "front-door"
SEGMENT_NS = 4 * NS_PER_S
PATIENCE_S = 60.0
OURS, PLAIN, SQLITE = "KafkaBus", "kafka-python", "SqliteBus"


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured: so many messages, so many of them a call."""

    name: str
    messages: int
    a_call: int
    is_publishing: bool
    commits_each: bool = False


JOBS = (
    Job("published one by one", 300, 1, is_publishing=True),
    Job("published 100 at a time", 3000, 100, is_publishing=True),
    Job("polled 100 at a time, one commit a poll", 3000, 100, is_publishing=False),
    Job("polled 4 at a time, one commit a message", 300, 4, False, commits_each=True),
)


class Rival(Protocol):
    """One way to carry messages."""

    def publish(self, values: Sequence[bytes]) -> None:
        """Publish so that all survive; return when they do."""
        ...

    def consumer(self) -> "RivalConsumer":
        """A consumer of a group of its own that has read the first message, and is connected."""
        ...


class RivalConsumer(Protocol):
    def poll(self, most: int) -> list[int]:
        """Wait for messages; return their offsets."""
        ...

    def commit(self, offset: int) -> None: ...

    def close(self) -> None: ...


class OverBus:
    """A bus of ours."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._groups = count()

    def publish(self, values: Sequence[bytes]) -> None:
        if len(values) == 1:
            self._bus.publish(TOPIC_SEGMENTS, key=STREAM, value=values[0])
        else:
            self._bus.publish_many(TOPIC_SEGMENTS, [Outgoing(STREAM, value) for value in values])

    def consumer(self) -> "OverConsumer":
        consumer = OverConsumer(self._bus, group=f"bench-{next(self._groups)}")
        consumer.poll(1)
        return consumer


class OverConsumer:
    def __init__(self, bus: Bus, *, group: str) -> None:
        self._consumer = bus.consumer(TOPIC_SEGMENTS, group=group)
        self.close = self._consumer.close

    def commit(self, offset: int) -> None:
        self._consumer.commit({0: offset})

    def poll(self, most: int) -> list[int]:
        records = self._consumer.poll(max_records=most, timeout_s=PATIENCE_S)
        return [record.offset for record in records]


class Plain:
    """kafka-python, told what is promised and nothing else."""

    def __init__(self, servers: str, *, topic: str) -> None:
        self._servers = servers
        self._partition = TopicPartition(topic, 0)
        self._groups = count()
        admin: Any = kafka.KafkaAdminClient(bootstrap_servers=servers)  # its stubs are of another
        with closing(admin):
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        self._producer: Any = kafka.KafkaProducer(
            bootstrap_servers=servers, acks="all", enable_idempotence=True, compression_type="zstd"
        )
        self.close = self._producer.close

    def publish(self, values: Sequence[bytes]) -> None:
        topic, partition = self._partition
        sent = [
            self._producer.send(topic, partition=partition, key=STREAM.encode(), value=value)
            for value in values
        ]
        for future in sent:
            future.get(timeout=PATIENCE_S)

    def consumer(self) -> "PlainConsumer":
        consumer = PlainConsumer(
            self._servers, self._partition, group=f"{self._partition.topic}-{next(self._groups)}"
        )
        consumer.poll(1)
        return consumer


class PlainConsumer:
    def __init__(self, servers: str, partition: TopicPartition, *, group: str) -> None:
        self._partition = partition
        self._consumer: Any = kafka.KafkaConsumer(
            bootstrap_servers=servers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._consumer.subscribe([partition.topic])
        self.close = self._consumer.close

    def poll(self, most: int) -> list[int]:
        fetched = self._consumer.poll(timeout_ms=round(PATIENCE_S * 1000), max_records=most)
        return [record.offset for record in fetched.get(self._partition, ())]

    def commit(self, offset: int) -> None:
        self._consumer.commit({self._partition: OffsetAndMetadata(offset, "", -1)})


def messages(number: int) -> list[bytes]:
    """What capture says of so many segments of one stream."""
    epoch_at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        SegmentReady(
            span=Span(stream_id=STREAM, start_ns=at * SEGMENT_NS, end_ns=(at + 1) * SEGMENT_NS),
            epoch_at=epoch_at,
            sequence=at,
            uri=f"/var/lib/longwatch/footage/{STREAM}/000/{at * SEGMENT_NS:019}-4000000000.mp4",
            pts_origin=at * 360_000,
            size_bytes=2_000_000 + at % 7919,
            frame_count=100,
            codec="h264",
            width_px=1920,
            height_px=1080,
        )
        .model_dump_json()
        .encode()
        for at in range(number)
    ]


def turn(rival: Rival, job: Job, values: Sequence[bytes]) -> tuple[float, float]:
    """Wall and processor seconds that a rival takes for a job."""
    if job.is_publishing:
        return timed(lambda: publish(rival, values, a_call=job.a_call))
    with closing(rival.consumer()) as consumer:
        return timed(lambda: consume(consumer, job))


def publish(rival: Rival, values: Sequence[bytes], *, a_call: int) -> None:
    for first in range(0, len(values), a_call):
        rival.publish(values[first : first + a_call])


def consume(consumer: RivalConsumer, job: Job) -> None:
    left = job.messages
    while left > 0:
        offsets = consumer.poll(min(left, job.a_call))
        if not offsets:
            raise RuntimeError(f"{left} messages of {job.messages} did not come")
        left -= len(offsets)
        for offset in offsets if job.commits_each else offsets[-1:]:
            consumer.commit(offset + 1)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def compare(job: Job, rivals: dict[str, Rival], *, turns: int) -> dict[str, Any]:
    """Let every rival do the job `turns` times, after once to warm up, in an order that moves."""
    values = messages(job.messages)
    names = list(rivals)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for number in range(turns + 1):
        for at in range(len(names)):
            name = names[(at + number) % len(names)]
            done = turn(rivals[name], job, values)
            if number:
                samples[name].append(done)
    return {
        "job": job.name,
        "messages": job.messages,
        "rivals": {
            name: {
                "messages_a_second": spread([job.messages / wall_s for wall_s, _ in done]),
                "cpu_us_a_message": spread([1e6 * cpu_s / job.messages for _, cpu_s in done]),
            }
            for name, done in samples.items()
        },
        "times_as_fast_as": {
            name: spread(
                [theirs[0] / ours[0] for ours, theirs in zip(samples[OURS], done, strict=True)]
            )
            for name, done in samples.items()
            if name != OURS
        },
    }


def measure(
    folder: Path, servers: str, jobs: Sequence[Job], *, turns: int, prefix: str
) -> list[dict[str, Any]]:
    """`prefix` stands before the names of what is made on the broker."""
    with ExitStack() as stack:
        kafka_bus = KafkaBus(KafkaAccess(servers), now_ms=now_ms, prefix=prefix)
        ours = stack.enter_context(closing(kafka_bus))
        sqlite = stack.enter_context(closing(SqliteBus(folder / "bus.sqlite", now_ms=now_ms)))
        plain = stack.enter_context(closing(Plain(servers, topic=f"{prefix}plain")))
        rivals: dict[str, Rival] = {OURS: OverBus(ours), PLAIN: plain, SQLITE: OverBus(sqlite)}
        return [compare(job, rivals, turns=turns) for job in jobs]


def say(row: dict[str, Any]) -> None:
    print(row["job"])
    for name, figures in row["rivals"].items():
        rate, cpu_us = figures["messages_a_second"]["median"], figures["cpu_us_a_message"]["median"]
        print(f"  {name:13} {rate:9.0f} a second, {cpu_us:7.0f} us of CPU each")
    for name, ratio in row["times_as_fast_as"].items():
        print(f"  {ratio['median']:.2f} times as fast as {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="try it out, and write nothing")
    args = parser.parse_args()
    jobs = [replace(job, messages=5 * job.a_call) for job in JOBS] if args.small else JOBS
    turns = 1 if args.small else args.turns
    load_before = load_average()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(serving(folder, cache=cache_folder()))
        rows = measure(folder, broker.servers, jobs, turns=turns, prefix="bench.")
    for row in rows:
        say(row)
    if args.small:
        return
    result = {
        "what": "SegmentReady messages; broker and clients are two processes on one machine; "
        "acks=all, idempotent, zstd; SQLite in WAL mode, synchronous=NORMAL",
        "command": f"python -m benchmarks.bus --turns {turns}",
        "machine": machine() | {"kafka-python": version("kafka-python")},
        **room_there_was(load_before),
        "bytes_a_message": len(messages(1)[0]),
        "rows": rows,
    }
    print(write_result("bus", result))


if __name__ == "__main__":
    main()
