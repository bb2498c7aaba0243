"""A service with its record in Redis remembers what one with a file does, and outlives it."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memory.dump import dump
from services.progress import StreamProgress
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.up import Running, run_service
from services.wiring import opened
from tests.memory.redis_server import RedisServer
from tests.services.conftest import EPOCH, serve
from tests.services.scripted_engine import ScriptedEngine


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with closing(RedisServer("--appendfsync", "always")) as made:
        yield made


@pytest.fixture
def in_redis(server: RedisServer, tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path / "shared", redis=server.url())


def watch(settings: Settings, path: Path) -> None:
    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream("cam", str(path), starts_at=EPOCH))


def remembered(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def test_a_record_in_redis_holds_the_same_memory(
    in_redis: Settings, empty: Settings, light_film: Path
) -> None:
    for settings in (in_redis, empty):
        watch(settings, light_film)
        serve(settings)

    assert remembered(in_redis) == remembered(empty)
    assert not in_redis.record_path.exists()


def test_a_service_goes_on_when_its_server_is_back(
    in_redis: Settings,
    empty: Settings,
    light_film: Path,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Away for longer than a call is patient, so that every worker meets the error itself."""
    monkeypatch.setattr("memory.redis_client.PATIENCE_S", 0.1)
    for settings in (in_redis, empty):
        watch(settings, light_film)
    serve(empty)
    failures: list[Exception] = []
    has_begun = threading.Event()

    def look(progress: list[StreamProgress]) -> None:
        if any(one.clips for one in progress):
            has_begun.set()

    def run() -> None:
        engine = ScriptedEngine()
        running = Running(in_redis, lambda settings: engine, until_idle=True, on_progress=look)
        try:
            run_service(running, threading.Event())
        except Exception as error:  # noqa: BLE001 - the top of a thread
            failures.append(error)
        has_begun.set()

    thread = threading.Thread(target=run)
    thread.start()
    has_begun.wait()
    while thread.is_alive():
        server.kill()
        time.sleep(0.5)
        server.start()
        thread.join(1.0)

    assert failures == []
    assert remembered(in_redis) == remembered(empty)
