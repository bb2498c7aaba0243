"""The whole service in one process: it goes on where it stopped, and says why it cannot."""

import threading
from pathlib import Path

import pytest

from memory.dump import dump
from services.errors import ModelUnavailable, WorkerCrashed
from services.locks import Service
from services.parts import KEEP_MESSAGES_S, trim
from services.progress import StreamProgress
from services.registry import NewStream
from services.settings import Settings
from services.up import Running, run_service
from services.wiring import WatchingEngine, opened
from streaming.bus import MemoryBus
from streaming.messages import NS_PER_S, TOPIC_CLIPS, TOPIC_SEGMENTS
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story
from tests.services.scripted_engine import ScriptedEngine


def test_starting_again_changes_nothing(settings: Settings) -> None:
    with opened(settings) as stores:
        before = dump(stores.record)
    serve(settings)

    with opened(settings) as stores:
        assert dump(stores.record) == before


def test_a_stopped_service_goes_on_where_it_stopped(
    empty: Settings, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = film(tmp_path / "film.mp4", story(("dark", 31), ("bright", 9), ("dim", 60)))
    undisturbed = empty.model_copy(update={"data": tmp_path_factory.mktemp("undisturbed")})
    for settings in (empty, undisturbed):
        with opened(settings, make=True) as stores:
            stores.registry.add(NewStream("cam", str(path), starts_at=EPOCH))
    serve(undisturbed)

    for clips in (1, 3, 6):
        stop = threading.Event()

        def stop_after(
            progress: list[StreamProgress], stop: threading.Event = stop, clips: int = clips
        ) -> None:
            if any(one.clips >= clips for one in progress):
                stop.set()

        run_service(Running(empty, lambda settings: ScriptedEngine(), on_progress=stop_after), stop)
    serve(empty)

    with opened(empty) as stores, opened(undisturbed) as others:
        assert dump(stores.record) == dump(others.record)


def test_a_model_that_cannot_be_loaded_ends_the_service_with_its_reason(
    settings: Settings,
) -> None:
    def load(settings: Settings) -> WatchingEngine:
        raise ModelUnavailable("here", reason="it is damaged")

    with pytest.raises(ModelUnavailable, match="it is damaged"):
        run_service(Running(settings, load), threading.Event())


def test_a_bug_in_the_model_ends_the_service_and_loses_nothing(
    captured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ScriptedEngine, "describe", lambda *_, **__: 1 / 0)
        with pytest.raises(WorkerCrashed, match="analyse failed"):
            serve(captured)
    serve(captured)

    with opened(captured) as stores:
        assert stores.record.counts("cam").clips == 5


def test_progress_tells_how_far_each_stream_is(captured: Settings) -> None:
    told: list[list[StreamProgress]] = []
    running = Running(
        captured, lambda settings: ScriptedEngine(), until_idle=True, on_progress=told.append
    )
    run_service(running, threading.Event())

    (last,) = told[-1]
    assert (last.captured_ns, last.remembered_ns, last.clips) == (45 * NS_PER_S, 45 * NS_PER_S, 5)


def test_handled_messages_are_dropped_in_time_and_no_others() -> None:
    now_ms = 0
    bus = MemoryBus(now_ms=lambda: now_ms)
    for topic in (TOPIC_SEGMENTS, TOPIC_CLIPS):
        for _ in range(5):
            bus.publish(topic, key="cam", value=b"x")
    consumer = bus.consumer(TOPIC_SEGMENTS, group="analyse")
    consumer.commit({0: 3})

    trim(bus)
    assert bus.bounds(TOPIC_SEGMENTS)[0].begin == 0
    now_ms = (KEEP_MESSAGES_S + 1) * 1000
    trim(bus)

    assert bus.bounds(TOPIC_SEGMENTS)[0].begin == 3
    assert bus.bounds(TOPIC_CLIPS)[0].begin == 0


@pytest.mark.parametrize("group", [Service.ALERTS, Service.SUMMARISE])
def test_who_reads_from_the_record_and_runs_no_more_holds_nothing_back(group: Service) -> None:
    now_ms = 0
    bus = MemoryBus(now_ms=lambda: now_ms)
    for _ in range(5):
        bus.publish(TOPIC_CLIPS, key="cam", value=b"x")
    bus.consumer(TOPIC_CLIPS, group=group).commit({0: 1})
    now_ms = (KEEP_MESSAGES_S + 1) * 1000

    trim(bus)
    assert bus.bounds(TOPIC_CLIPS)[0].begin == 0
    bus.consumer(TOPIC_CLIPS, group=Service.INDEX).commit({0: 4})
    trim(bus)
    assert bus.bounds(TOPIC_CLIPS)[0].begin == 4
