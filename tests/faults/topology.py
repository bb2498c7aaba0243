"""The services as processes of their own, two of them analysing, on a Kafka and a Redis to harm.

What ends by itself is started again, as `restart: unless-stopped` does. Each round has streams of
its own to watch, so that it is plain when all of a round has been remembered.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from memory.errors import StoreError
from services.locks import Service
from services.progress import captured_until_ns, remembered_until_ns
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import Stores, opened, opened_bus
from streaming.bus import Bus, lag
from streaming.errors import BusError
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_SEGMENTS
from tests.conftest import may_mount
from tests.faults.memories import Plan
from tests.memory.redis_server import RedisServer
from tests.services.clocks import WallClockFile
from tests.services.conftest import EPOCH, MAY_NOT_MOUNT, Disk, mounted
from tests.services.processes import Services
from tests.services.scripted_engine import LAYOUT
from tests.streaming.kafka_server import KafkaServer
from tests.streaming.servers import free_port

SLOWNESS_S = "0.1"
PATIENCE_S = 150.0
LOOK_EVERY_S = 0.2
AWAY = "Kafka or Redis is away"
GROUPS = {Service.ANALYSE: TOPIC_SEGMENTS, Service.INDEX: TOPIC_CLIPS}
"""Who reads which topic."""
SECOND, THIRD = "analyse-2", "analyse-3"
NAMES = (*(str(name) for name in Service), SECOND)
"""Who is to run: two share the work of analysis, and a third comes for a while."""


@dataclass(frozen=True)
class Harmed:
    """What services stand on. `disk`: None where nobody may mount one."""

    kafka: KafkaServer
    redis: RedisServer
    clocks: Mapping[str, WallClockFile]
    disk: Disk | None


class Topology:
    """What the schedule of faults hits, and the eyes with which a test watches it."""

    def __init__(self, harmed: Harmed, services: Services, stores: Stores, bus: Bus) -> None:
        self.kafka, self.redis, self.clocks = harmed.kafka, harmed.redis, harmed.clocks
        self._disk = harmed.disk
        self.services, self.stores, self.bus = services, stores, bus
        self.streams: list[str] = []
        self.ended_by_themselves: list[str] = []

    @property
    def disk(self) -> Disk:
        """Where footage is stored."""
        assert self._disk is not None, MAY_NOT_MOUNT
        return self._disk

    def watch(self, plans: Sequence[Plan]) -> None:
        """Add streams, which capture finds by itself."""
        for plan in plans:
            self.stores.registry.add(
                NewStream(plan.name, str(plan.path), realtime=plan.is_realtime, starts_at=EPOCH)
            )
            self.streams.append(plan.name)

    def kill(self, *names: str) -> None:
        for name in names:
            self.services[name].kill()

    def revive(self) -> None:
        """Start again what has ended, whoever ended it."""
        for name in NAMES:
            if self.services[name].has_ended:
                self.services.start(name)

    def until_recovered(self) -> float:
        """Wait until all services are ready and nothing waits; return the seconds it took.

        What waits is a whole clip that is captured and not remembered. The clip that is being
        filmed does not, so this comes about long before all is over.
        """
        return self._until_not(self._in_trouble)

    def until_caught_up(self) -> float:
        """Wait until all is remembered and all services are ready; return the seconds it took."""
        return self._until_not(self._missing)

    def _until_not(self, missing: Callable[[], str]) -> float:
        began_s = time.monotonic()
        while told := missing():
            for name in NAMES:
                if self.services[name].has_ended:
                    self.ended_by_themselves.append(name)
            self.revive()
            if time.monotonic() - began_s > PATIENCE_S:
                logs = "\n".join(f"{name}:\n{self.services[name].log[-2500:]}" for name in NAMES)
                pytest.fail(f"after {PATIENCE_S:.0f} s {told}\n{logs}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began_s

    def states(self) -> set[str]:
        """In which states streams are, as capture tells."""
        told = [self.stores.record.status(name) for name in self.streams]
        return {status.state for status in told if status is not None}

    def lags(self) -> dict[str, int]:
        """How many records each group has not handled, as Kafka itself tells."""
        return {
            group: lag(self.bus.bounds(topic), self.bus.committed(topic, group=group))
            for group, topic in GROUPS.items()
        }

    def _in_trouble(self) -> str:
        """Who is not ready, or what waits; empty where nothing does."""
        with suppress(StoreError, BusError):
            return self._not_ready() or self._waiting()
        return AWAY

    def _missing(self) -> str:
        """What is not as it should be; empty where nothing is."""
        with suppress(StoreError, BusError):
            for name in self.streams:
                if not self._is_remembered(name):
                    return f"{name} is not remembered"
            lags = self.lags()
            return self._not_ready() or (f"the lags are {lags}" if any(lags.values()) else "")
        return AWAY

    def _not_ready(self) -> str:
        for name in NAMES:
            told = self.services[name].get("/v1/ready")
            if told.status != 200:
                return f"{name} is not ready: {told.text}"
        return ""

    def _waiting(self) -> str:
        record = self.stores.record
        for name in self.streams:
            spec, status = record.stream(name), record.status(name)
            if status is not None and status.counters["waiting_messages"]:
                return f"messages of {name} are not published"
            waits_ns = captured_until_ns(record, spec) - remembered_until_ns(record, spec)
            if waits_ns >= LAYOUT.clip_length_s * NS_PER_S:
                return f"{waits_ns / NS_PER_S:.0f} s of {name} are not remembered"
        return ""

    def _is_remembered(self, name: str) -> bool:
        record = self.stores.record
        ended_ns = record.ended_ns(name)
        return ended_ns is not None and remembered_until_ns(record, record.stream(name)) >= ended_ns


@contextmanager
def running(kafka: KafkaServer, folder: Path) -> Generator[Topology]:
    """The topology, ready and with nothing to do."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    clocks = {name: WallClockFile(folder / f"clock.{name}") for name in (*NAMES, THIRD)}
    with (
        closing(RedisServer("--port", str(port), "--appendfsync", "always")) as redis,
        mounted(folder / "disk") if may_mount() else nullcontext() as disk,
    ):
        harmed = Harmed(kafka, redis, clocks, disk)
        environment = {
            "LONGWATCH_FOOTAGE_URL": str(folder / "disk" / "footage"),
            "LONGWATCH_DATA": str(folder / "data"),
            "LONGWATCH_KAFKA": kafka.servers,
            "LONGWATCH_KAFKA_PREFIX": f"{folder.name}.",
            "LONGWATCH_REDIS": f"redis://127.0.0.1:{port}/0",
        }
        settings = settings_of(environment)
        commands = {str(name): ("run", str(name)) for name in Service}
        commands |= dict.fromkeys((SECOND, THIRD), ("run", str(Service.ANALYSE)))
        services = Services(
            commands,
            environment={**environment, "SCRIPTED_SLOWNESS_S": SLOWNESS_S},
            logs=folder / "logs",
            own={name: clock.environment for name, clock in clocks.items()},
        )
        with opened(settings, make=True) as stores, opened_bus(settings) as bus:
            for topic in GROUPS.values():
                bus.bounds(topic)  # which makes it
            try:
                services.start(*NAMES)
                services.until_ready()
                yield Topology(harmed, services, stores, bus)
            finally:
                services.clean_up()


def settings_of(environment: dict[str, str]) -> Settings:
    return load_settings(
        **{name.removeprefix("LONGWATCH_").lower(): value for name, value in environment.items()}
    )
