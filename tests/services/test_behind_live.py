"""A real camera, and analysis that comes late to it: it drops the oldest, and catches up."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory.values import WhenBehind
from services.metrics import Metrics
from services.parts import Parts, analyst_of, supervisor_of
from services.registry import NewStream
from services.settings import load_settings
from services.threads import Threads
from services.wiring import opened, opened_bus, wall_clock
from streaming.decode import Decoding
from streaming.messages import NS_PER_S, GapReason
from tests.services.scripted_engine import ScriptedEngine
from tests.streaming.live_server import Camera, clock_film, switched_on

PATIENCE_S = 90.0


def test_analysis_that_comes_late_drops_the_oldest_and_catches_up(tmp_path: Path) -> None:
    film = clock_film(tmp_path / "clock.h264", rate=10, frames=600)
    settings = load_settings(data=tmp_path / "data", when_behind=WhenBehind.DROP_OLDEST)
    settings = settings.model_copy(update={"behind_s": 8.0})  # a person may not be so hasty
    threads = Threads()
    with (
        switched_on(Camera(tmp_path, {"/1": film})) as camera,
        opened(settings, make=True) as stores,
        opened_bus(settings) as bus,
    ):
        parts = Parts(stores, bus, wall_clock(), Metrics())
        record = stores.record
        stores.registry.add(NewStream("door", camera.url()))
        running = [threads.start("capture", supervisor_of(parts, stood_in=()).run)]
        try:
            until(threads, lambda: len(record.segments()) >= 5)
            analyst = analyst_of(parts, ScriptedEngine, Decoding())
            running.append(threads.start("analyse", analyst.run))
            until(threads, lambda: bool(record.clips()))
        finally:
            threads.stop.set()
            for thread in running:
                thread.join()

        skipped = next(gap.span for gap in record.gaps() if gap.reason is GapReason.SKIPPED)
        assert skipped.start_ns == record.segments()[0].span.start_ns
        assert skipped.duration_s > 8
        first = record.clips()[0].span
        assert first.start_ns == skipped.end_ns
        epoch_at = record.stream("door").epoch_at
        assert epoch_at is not None
        assert (datetime.now(UTC) - epoch_at).total_seconds() > first.end_ns / NS_PER_S


def until(threads: Threads, is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.1)):
        if threads.failure is not None:
            raise threads.failure
        if is_so():
            return
        pause.wait(0.1)
    pytest.fail("it did not happen")
