"""A disk that is really full: a small file system of its own, on which everything lies.

Filled up while a service works, at one place or another. What cannot be written waits, says so, and
goes on by itself when there is room; the memory is then that of a run that nothing disturbed.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.dump import dump
from memory.values import Counts
from services.locks import Service
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import Stores, opened
from tests.services.conftest import EPOCH, Disk, serve
from tests.services.films import film, story
from tests.services.processes import Process, Services, measured, until

STREAMS = ("one", "two")
UP, CAPTURE, ANALYSE = "up", Service.CAPTURE.value, Service.ANALYSE.value
SLOWNESS_S = "0.2"
"""How long a note takes, so that the disk is full before everything is remembered."""


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = story(("dark", 7), ("bright", 9), ("dim", 8), ("dark", 20), ("bright", 37))
    return film(tmp_path_factory.mktemp("films") / "long.mp4", parts, fps=2)


def added(data: Path, path: Path) -> Settings:
    settings = load_settings(data=data)
    with opened(settings, make=True) as stores:
        for name in STREAMS:
            stores.registry.add(NewStream(name, str(path), starts_at=EPOCH))
    return settings


@pytest.fixture(scope="module")
def undisturbed(long_film: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = added(tmp_path_factory.mktemp("undisturbed") / "data", long_film)
    serve(settings)
    return settings


def counts_of(settings: Settings) -> Counts:
    with opened(settings) as stores:
        return stores.record.counts()


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


@pytest.fixture
def service(disk: Disk, tmp_path: Path) -> Iterator[Services]:
    """`longwatch up` on the disk, not started; it ends when everything is remembered."""
    services = Services(
        {UP: ("up", "--until-idle", "--json")},
        environment={
            "LONGWATCH_DATA": str(disk.root / "data"),
            "SCRIPTED_SLOWNESS_S": SLOWNESS_S,
        },
        logs=tmp_path / "logs",
    )
    yield services
    services.clean_up()


def retries(process: Process, reason: str) -> float:
    return measured(process.get("/metrics").text, "longwatch_retries_total", reason=reason) or 0


@pytest.mark.parametrize(
    "commands",
    [{CAPTURE: ("run", CAPTURE), ANALYSE: ("run", ANALYSE)}, {UP: ("up",)}],
    ids=["apart", UP],
)
def test_services_that_start_on_a_full_disk_wait_for_room(
    disk: Disk,
    tmp_path: Path,
    long_film: Path,
    undisturbed: Settings,
    commands: dict[str, tuple[str, ...]],
) -> None:
    settings = added(disk.root / "data", long_film)
    disk.fill()
    services = Services(
        commands,
        environment={"LONGWATCH_DATA": str(settings.data)},
        logs=tmp_path / "logs",
    )
    try:
        services.start()
        processes = [services[name] for name in commands]
        for process in processes:
            until(lambda one=process: "no room left for" in one.get("/v1/ready").text, process)
        disk.clear()
        until(lambda: counts_of(settings) == counts_of(undisturbed), *processes)
        assert set(services.stop().values()) == {0}
    finally:
        services.clean_up()

    assert memory_of(settings) == memory_of(undisturbed)


def test_capture_waits_while_less_is_left_than_it_leaves_free(
    disk: Disk, service: Services, long_film: Path, undisturbed: Settings
) -> None:
    settings = added(disk.root / "data", long_film)
    disk.fill(but_for_bytes=8 * 2**20)
    service.start()
    with opened(settings) as stores:
        until(lambda: all(is_paused(stores, one) for one in STREAMS), service[UP])
        assert stores.record.counts().segments == 0

    disk.clear()

    assert service[UP].wait() == 0
    assert memory_of(settings) == memory_of(undisturbed)


def is_paused(stores: Stores, name: str) -> bool:
    status = stores.record.status(name)
    return status is not None and status.state == "paused" and "is full" in status.detail


def test_a_disk_that_fills_up_while_something_is_analysed(
    disk: Disk, service: Services, long_film: Path, undisturbed: Settings
) -> None:
    settings = added(disk.root / "data", long_film)
    service.start()
    remembered = "longwatch_clips_remembered_total"
    until(
        lambda: bool(measured(service[UP].get("/metrics").text, remembered, stream="one")),
        service[UP],
    )
    disk.fill()
    until(lambda: retries(service[UP], "DiskFull") > 1, service[UP])

    disk.clear()

    assert service[UP].wait() == 0
    assert memory_of(settings) == memory_of(undisturbed)
