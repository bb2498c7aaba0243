"""Analyse captured footage in this process, with or without a power cut, and read the memory."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memory.dump import dump
from services.alerts.early import claims_early
from services.analyse import Analyst, Sampling, policy_of
from services.behind import BackPressure, Limit
from services.glimpses import Glimpser
from services.metrics import Metrics
from services.patient import PatientRememberer
from services.remember import Rememberer
from services.settings import Settings
from services.wiring import Stores, opened, opened_bus, rules_of, wall_clock
from services.worker import Worker
from streaming.bus import Bus
from streaming.clock import WallClock
from streaming.decode import Decoding
from streaming.messages import NS_PER_S, TOPIC_SEGMENTS, Span
from tests.services.scripted_engine import LAYOUT, ScriptedEngine

GROUP = "analyse"
EPOCH = datetime(2025, 6, 1, 12, tzinfo=UTC)
WRITES = ("put_clip", "put_gap", "set_cursor", "put", "delete", "publish", "commit")


def at(media_s: float) -> WallClock:
    """A clock that stands still where the camera's time is `media_s`."""
    return WallClock(now_ns=lambda: round((EPOCH.timestamp() + media_s) * NS_PER_S))


class Fuse:
    """Lets so many writes pass, and cuts the power before the next one."""

    def __init__(self, writes: int | None = None) -> None:
        self.passed = 0
        self._left = writes

    def guard(self, thing: Any) -> Any:
        return Guarded(thing, self)

    def spend(self) -> None:
        if self._left is not None and self.passed >= self._left:
            raise PowerCut
        self.passed += 1


class PowerCut(Exception):
    """Not an error that anybody foresaw."""


class Guarded:
    """A store whose writes go through a fuse."""

    def __init__(self, thing: Any, fuse: Fuse) -> None:
        self._thing = thing
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._thing, name)
        if name not in WRITES:
            return real

        def guarded(*args: Any, **kwargs: Any) -> Any:
            self._fuse.spend()
            return real(*args, **kwargs)

        return guarded


def analyse(
    settings: Settings,
    *,
    fuse: Fuse | None = None,
    engine: ScriptedEngine | None = None,
    clock: WallClock | None = None,
    metrics: Metrics | None = None,
) -> None:
    """Analyse all that is on the bus, or until the fuse goes."""
    fuse = fuse or Fuse()
    with opened(settings) as stores, opened_bus(settings) as bus:
        worker, stop = worker_of(
            stores, bus, fuse, engine or ScriptedEngine(), clock or wall_clock(), metrics
        )
        worker.run(stop)


def worker_of(
    stores: Stores,
    bus: Bus,
    fuse: Fuse,
    engine: ScriptedEngine,
    clock: WallClock,
    metrics: Metrics | None,
) -> tuple[Worker[Any], threading.Event]:
    analyst = analyst_of(stores, bus, fuse, engine, clock, metrics)
    analyst.stop = stop = threading.Event()
    consumer = fuse.guard(bus.consumer(TOPIC_SEGMENTS, group=GROUP))
    return Worker(GROUP, bus=fuse.guard(bus), consumer=consumer, handler=analyst), stop


def analyst_of(
    stores: Stores,
    bus: Bus,
    fuse: Fuse,
    engine: ScriptedEngine,
    clock: WallClock,
    metrics: Metrics | None = None,
) -> "StoppingAnalyst":
    record = fuse.guard(stores.record)
    rememberer = Rememberer(
        engine=engine,
        record=record,
        tokens=fuse.guard(stores.tokens),
        bus=fuse.guard(bus),
        metrics=metrics,
    )
    glimpser = Glimpser(
        rememberer=lambda: rememberer,
        tokens=fuse.guard(stores.tokens),
        bus=fuse.guard(bus),
        clock=clock,
        claims=lambda stream_id, at: claims_early(rules_of(stores).rules(), stream_id, at),
        metrics=metrics or Metrics(),
    )
    return StoppingAnalyst(
        record=record,
        footage=stores.footage,
        rememberer=PatientRememberer(lambda: rememberer, glimpser, monotonic_ns=clock.monotonic_ns),
        sampling=Sampling(policy_of(LAYOUT), Decoding()),
        pressure=BackPressure(
            record, Limit(stores.settings.when_behind, stores.settings.behind_s), clock
        ),
        metrics=metrics,
    )


class StoppingAnalyst(Analyst):
    """Stops its worker when there is nothing left to do."""

    stop: threading.Event

    def idle(self) -> None:
        super().idle()
        if not self.is_waiting:
            self.stop.set()


def memory_of(settings: Settings) -> tuple[bytes, dict[str, bytes]]:
    """All that is remembered: the record, and every file of tokens."""
    with opened(settings) as stores:
        folder = Path(settings.tokens)
        tokens = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return dump(stores.record), tokens


@contextmanager
def changed(settings: Settings) -> Generator[tuple[Stores, Bus]]:
    with opened(settings) as stores, opened_bus(settings) as bus:
        yield stores, bus


def gaps_of(settings: Settings) -> list[tuple[float, float, str]]:
    with opened(settings) as stores:
        return [
            (gap.span.start_ns / NS_PER_S, gap.span.end_ns / NS_PER_S, gap.reason.value)
            for gap in stores.record.gaps()
        ]


def clips_of(settings: Settings) -> list[tuple[float, float]]:
    with opened(settings) as stores:
        return [
            (note.span.start_ns / NS_PER_S, note.span.end_ns / NS_PER_S)
            for note in stores.record.clips()
        ]


def span(start_s: float, end_s: float) -> Span:
    return Span(stream_id="cam", start_ns=round(start_s * NS_PER_S), end_ns=round(end_s * NS_PER_S))
