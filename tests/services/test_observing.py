"""What a look at engines and streams finds, and how a service waits for what it finds away."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from memory.errors import DamagedRecord, ServerAway
from memory.record import Record
from memory.values import StreamStatus
from services.locks import Service
from services.metrics import Metrics
from services.observing import Observer
from services.parts import Parts
from services.readiness import Readiness
from services.registry import NewStream
from services.run import Starting, Stopped
from services.settings import Settings
from services.wiring import opened, opened_bus, wall_clock
from streaming.bus import Bus
from streaming.errors import BusUnavailable
from streaming.footage import FootageStore
from tests.services.processes import measured

NOW_AT = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def parts(settings: Settings) -> Iterator[Parts]:
    with opened(settings) as stores, opened_bus(settings) as bus:
        yield Parts(stores, bus, wall_clock(), Metrics())


def readiness_of(parts: Parts) -> Readiness:
    readiness = Readiness(parts.metrics, monotonic_ns=lambda: 0)
    readiness.has("service")
    return readiness


def look(parts: Parts, *services: Service) -> str | None:
    """Look once, and say what is missing."""
    readiness = readiness_of(parts)
    Observer(parts, readiness, services, now_at=lambda: NOW_AT).look()
    return readiness.why_not()


class Away:
    """An engine, each of whose answers is an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise self._error

        return fail


class Reading:
    """A record that notes what it is asked."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._record, name)


def test_a_look_finds_lag_and_progress(parts: Parts) -> None:
    assert look(parts, *Service) is None
    text = parts.metrics.exposition().decode()

    assert measured(text, "longwatch_lag_messages", group="analyse", topic="segments") == 0
    assert measured(text, "longwatch_lag_messages", group="index", topic="clips") == 0
    assert measured(text, "longwatch_remembered_seconds", stream="cam") == 45
    assert measured(text, "longwatch_streams", state="ended") == 1
    assert measured(text, "longwatch_behind_live_seconds", stream="cam") is None, "a recording"


def test_what_has_ended_and_is_remembered_is_not_read_again(parts: Parts) -> None:
    reading = Reading(parts.stores.record)
    stores = replace(parts.stores, record=cast(Record, reading))
    observer = Observer(
        replace(parts, stores=stores), readiness_of(parts), [*Service], now_at=lambda: NOW_AT
    )
    observer.look()
    assert reading.asked.count("last_clips") == 1
    parts.stores.registry.add(NewStream("door", "rtsp://camera/door", starts_at=NOW_AT))
    reading.asked.clear()
    observer.look()
    observer.look()

    assert reading.asked.count("last_clips") == 2, "of the door, each time"
    text = parts.metrics.exposition().decode()
    assert measured(text, "longwatch_remembered_seconds", stream="cam") == 45


def test_a_camera_is_behind_by_what_is_not_remembered_yet(parts: Parts) -> None:
    record = parts.stores.record
    begun_at = NOW_AT - timedelta(seconds=90)
    parts.stores.registry.add(NewStream("door", "rtsp://camera/door", starts_at=begun_at))
    record.set_status("door", StreamStatus(state="running", updated_at=NOW_AT))
    look(parts, Service.CAPTURE)
    running = parts.metrics.exposition().decode()

    assert measured(running, "longwatch_behind_live_seconds", stream="door") == 90
    assert measured(running, "longwatch_lag_messages", group="analyse") is None, "not its own"


def test_a_look_finds_how_full_the_disk_is(parts: Parts) -> None:
    look(parts, Service.CAPTURE)
    disk, text = parts.stores.footage.disk(), parts.metrics.exposition().decode()

    assert disk is not None
    assert 0 < disk.used_bytes < disk.usable_bytes
    allowed = measured(text, "longwatch_budget_allowed", of="footage_bytes")
    assert allowed == disk.usable_bytes
    assert measured(text, "longwatch_budget_used", of="footage_bytes")


def test_footage_that_is_on_no_disk_of_this_machine_has_no_budget(parts: Parts) -> None:
    stores = replace(parts.stores, footage=FootageStore("memory://footage"))
    look(replace(parts, stores=stores), Service.CAPTURE)

    assert "footage_bytes" not in parts.metrics.exposition().decode()


def test_what_is_away_is_named(parts: Parts) -> None:
    bus = cast(Bus, Away(BusUnavailable("brokers", reason="nobody is there")))
    record = cast(Record, Away(ServerAway("redis", retry_after_s=1.0, detail="refused")))

    missing = look(replace(parts, bus=bus, stores=replace(parts.stores, record=record)))

    assert missing is not None
    assert "bus: " in missing
    assert "nobody is there" in missing
    assert "record: " in missing


def test_a_start_waits_for_what_is_away(parts: Parts) -> None:
    readiness = readiness_of(parts)
    seen: list[str | None] = []

    def get() -> int:
        seen.append(readiness.why_not())
        if len(seen) < 3:
            raise ServerAway("redis", retry_after_s=1.0, detail="refused")
        return 7

    assert Starting(threading.Event(), readiness).until_there("record", get) == 7
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1].startswith("record: ")
    assert readiness.why_not() is None


def test_a_start_waits_neither_for_what_is_broken_nor_when_it_is_to_stop(parts: Parts) -> None:
    stop = threading.Event()
    starting = Starting(stop, readiness_of(parts))

    def broken() -> None:
        raise DamagedRecord("record.sqlite", detail="it is another program's")

    with pytest.raises(DamagedRecord):
        starting.until_there("record", broken)
    stop.set()
    with pytest.raises(Stopped):
        starting.until_there("record", broken)
