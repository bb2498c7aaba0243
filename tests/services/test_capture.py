"""Captures follow the registry, and a kill between record and bus loses no message."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from services.capture import LET_GO, CaptureParts, Supervisor, is_let_go
from services.errors import WorkerCrashed
from services.metrics import Metrics
from services.parts import Parts, supervisor_of
from services.progress import PAUSED, captured_until_ns, cursor_of, position_of
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import Stores, opened, opened_bus, wall_clock
from streaming.bus import Bus
from streaming.errors import BusUnavailable
from streaming.messages import NS_PER_S, TOPIC_SEGMENTS
from streaming.progress import StreamState
from tests.services.films import film
from tests.services.processes import measured
from tests.streaming.media import pieces
from tests.streaming.servers import LivePlaylist, http_server

PATIENCE_S = 20.0


@contextmanager
def supervised(
    settings: Settings, metrics: Metrics | None = None
) -> Generator[tuple[Stores, Bus, Supervisor]]:
    """A supervisor at work in a thread of its own."""
    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        supervisor = Supervisor(parts_of(stores, bus, metrics))
        stop = threading.Event()
        thread = threading.Thread(target=supervisor.run, args=(stop,))
        thread.start()
        try:
            yield stores, bus, supervisor
        finally:
            stop.set()
            thread.join()


def parts_of(stores: Stores, bus: Bus, metrics: Metrics | None = None) -> CaptureParts:
    return CaptureParts(
        *(stores.record, stores.registry, bus, stores.footage, wall_clock()),
        metrics=metrics or Metrics(),
    )


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail("it did not happen")


def state_of(stores: Stores, name: str) -> str | None:
    status = stores.record.status(name)
    return status.state if status else None


def test_a_stream_that_is_added_while_running_is_captured(
    empty: Settings, light_film: Path
) -> None:
    with supervised(empty) as (stores, bus, _):
        stores.registry.add(NewStream("cam", str(light_film)))
        wait_for(lambda: state_of(stores, "cam") == StreamState.ENDED)

        spec = stores.record.stream("cam")
        assert spec.epoch_at is not None
        assert captured_until_ns(stores.record, spec) == 45 * NS_PER_S
        assert stores.record.ended_ns("cam") == 45 * NS_PER_S
        assert bus.bounds(TOPIC_SEGMENTS)[0].end == stores.record.counts("cam").segments + 1


def test_a_source_that_fails_is_named_and_harms_no_other(empty: Settings, tmp_path: Path) -> None:
    first, second = film(tmp_path / "a.mp4", "dark " * 12), film(tmp_path / "b.mp4", "dim " * 12)
    with opened(empty, make=True) as stores:
        stores.registry.add(NewStream("bad", str(first)))
        stores.registry.add(NewStream("good", str(second)))
    first.unlink()

    with supervised(empty) as (stores, _, _):
        wait_for(lambda: state_of(stores, "bad") == StreamState.FAILED)
        wait_for(lambda: state_of(stores, "good") == StreamState.ENDED)
        status = stores.record.status("bad")
        assert status is not None
        assert "does not exist" in status.detail


def test_a_stream_is_let_go_of_when_somebody_wants_to_forget_it(
    empty: Settings, light_film: Path
) -> None:
    with supervised(empty) as (stores, _, supervisor):
        spec = stores.registry.add(NewStream("cam", str(light_film), realtime=True))
        wait_for(lambda: bool(supervisor.captures))
        stores.record.set_cursor(cursor_of(PAUSED, spec), 1)
        wait_for(lambda: is_let_go(stores.record.status("cam")))

        status = stores.record.status("cam")
        assert status is not None
        assert status.detail == LET_GO
        assert supervisor.captures == []


@pytest.mark.parametrize("is_let_go", [True, False])
def test_a_stream_that_is_forgotten_while_it_is_looked_at_harms_no_other(
    empty: Settings, light_film: Path, monkeypatch: pytest.MonkeyPatch, is_let_go: bool
) -> None:
    with opened(empty, make=True) as stores, opened_bus(empty) as bus:
        record, stop = stores.record, threading.Event()
        supervisor = Supervisor(parts_of(stores, bus))
        gone = stores.registry.add(NewStream("gone", str(light_film)))
        record.set_cursor(cursor_of(PAUSED, gone), int(is_let_go))
        record.remove_stream("gone")
        stores.registry.add(NewStream("cam", str(light_film)))
        read, stale = record.streams, iter([[gone]])
        monkeypatch.setattr(record, "streams", lambda: next(stale, None) or read())
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(supervisor.run, stop)
            wait_for(lambda: running.done() or state_of(stores, "cam") == StreamState.ENDED)
            stop.set()

        running.result()
        assert record.counts("cam").segments > 0


def test_time_that_a_playlist_lost_is_counted(empty: Settings, tmp_path: Path) -> None:
    filmed = pieces(tmp_path, count=12, first_tick=900_000)
    camera = LivePlaylist(*filmed[:3], to_come=[filmed[3:9], *filmed[9:], None])
    metrics, lost = Metrics(), "longwatch_lost_seconds_total"
    with (
        http_server(camera.answer) as base,
        supervised(empty, metrics) as (stores, _, _),
    ):
        stores.registry.add(NewStream("cam", f"{base}/live.m3u8"))

        def lost_s() -> float | None:
            told = metrics.exposition().decode()
            return measured(told, lost, stream="cam", reason="source jumped")

        wait_for(lambda: lost_s() is not None)
        assert lost_s() == pytest.approx(3)


def test_the_last_messages_are_published_again_at_the_start(captured: Settings) -> None:
    with opened_bus(captured) as bus:
        before = bus.bounds(TOPIC_SEGMENTS)[0].end
    with supervised(captured) as (_, bus, supervisor):
        wait_for(lambda: bool(supervisor.captures))
        consumer = bus.consumer(TOPIC_SEGMENTS, group="test")
        values = [record.value for record in consumer.poll(max_records=99, timeout_s=0)]

    assert values[before:] == values[before - 2 : before]


def test_a_capture_goes_on_where_the_catalogue_ends(captured: Settings) -> None:
    with opened(captured) as stores:
        spec = stores.record.stream("cam")
        position = position_of(stores.record, spec)

        assert position is not None
        assert position.end_ns == 45 * NS_PER_S
        assert position.next_sequence == stores.record.counts("cam").segments
        assert position.has_ended


def test_a_bug_in_a_capture_ends_the_service(
    empty: Settings, light_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(empty, make=True) as stores, opened_bus(empty) as bus:
        stores.registry.add(NewStream("cam", str(light_film)))
        monkeypatch.setattr(stores.record, "put_segment", lambda message: 1 / 0)

        with pytest.raises(WorkerCrashed, match="capture failed"):
            Supervisor(parts_of(stores, bus)).run(threading.Event())


def test_a_bus_that_is_away_at_the_start_is_waited_for(
    captured: Settings, light_film: Path
) -> None:
    with opened(captured) as stores, opened_bus(captured) as bus:
        stores.registry.add(NewStream("late", str(light_film)))
        away = AwayBus(bus)
        supervisor, stop = Supervisor(parts_of(stores, cast(Bus, away))), threading.Event()
        thread = threading.Thread(target=supervisor.run, args=(stop,))
        before = bus.bounds(TOPIC_SEGMENTS)[0].end
        thread.start()
        try:
            wait_for(lambda: state_of(stores, "late") == StreamState.PAUSED)
            assert bus.bounds(TOPIC_SEGMENTS)[0].end == before
            away.is_back = True
            wait_for(lambda: state_of(stores, "late") == StreamState.ENDED)
        finally:
            stop.set()
            thread.join()
        keys = [
            record.key
            for record in bus.consumer(TOPIC_SEGMENTS, group="test").poll(
                max_records=100, timeout_s=0
            )
        ]

    assert "late" in keys
    assert "cam" in keys[before:], "its last messages were announced again"


class AwayBus:
    """A bus that takes nothing until it is back."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.is_back = False

    def publish(self, topic: str, **record: Any) -> int:
        if not self.is_back:
            raise BusUnavailable("bus", reason="it is away")
        return self._bus.publish(topic, **record)


def test_cameras_are_held_to_the_authorities_that_are_set(
    empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file = tmp_path / "authorities.pem"
    settings, given = load_settings(data=empty.data, camera_ca_file=ca_file), list[CaptureParts]()
    monkeypatch.setattr("services.parts.Supervisor", given.append)

    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        supervisor_of(Parts(stores, bus, wall_clock(), Metrics()), stood_in=())

    assert [parts.registry.options.ca_file for parts in given] == [ca_file]
