"""An archive taken in by workers of which some die: the memory is that of one process."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory.dump import dump
from services.console import EXIT_FAILED
from services.settings import Settings, load_settings
from services.wiring import opened
from tests.services.conftest import STORY
from tests.services.films import film
from tests.services.on_ray.ray_cluster import RAY, RayCluster
from tests.services.processes import Process, until
from tests.services.test_cli import run

FILMS = 4
CLIPS_EACH = 5

Begun = Callable[[Settings], Process]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Films that say when they were made, and a file that is none."""
    (tmp_path / "archive").mkdir()
    for number in range(FILMS):
        film(tmp_path / "archive" / f"{number}-20250301T1400{number:02}Z.mp4", STORY)
    (tmp_path / "archive" / "bad.mp4").write_bytes(b"no video")
    return tmp_path / "archive"


@pytest.fixture
def begun(archive: Path, tmp_path: Path, ray_cluster: RayCluster) -> Iterator[Begun]:
    """A back-fill of the archive on the cluster."""
    processes: list[Process] = []

    def begin(settings: Settings) -> Process:
        command = ("backfill", str(archive), "--json", "--on", "ray", "--workers", "2")
        environment = {
            **RAY,
            "LONGWATCH_DATA": str(settings.data),
            "SCRIPTED_SLOWNESS_S": "0.3",
        }
        processes.append(
            Process(
                (*command, "--ray", ray_cluster.address),
                environment=environment,
                log=tmp_path / "log",
            )
        )
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def clips_of(settings: Settings) -> int:
    with opened(settings) as stores:
        return stores.record.counts().clips


def test_a_node_that_dies_costs_nothing(
    empty: Settings, archive: Path, tmp_path: Path, ray_cluster: RayCluster, begun: Begun
) -> None:
    undisturbed = load_settings(data=tmp_path / "undisturbed")
    assert run(undisturbed, "backfill", str(archive)).exit_code == EXIT_FAILED
    with opened(empty, make=True):
        ray_cluster.grow()
        ray_cluster.grow()
    process = begun(empty)
    until(lambda: clips_of(empty) > 1, process)
    ray_cluster.kill_node()
    until(lambda: process.has_ended)
    ray_cluster.kill_node()

    said = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    assert process.wait() == EXIT_FAILED
    assert said.pop() == {"remembered": FILMS, "known": 0, "failed": 1, "left": 0}
    clips = {one["stream_id"]: one["clips"] for one in said}
    assert clips.pop("bad") == 0
    assert list(clips.values()) == [CLIPS_EACH] * FILMS
    assert memory_of(empty) == memory_of(undisturbed)


def test_where_nothing_has_room_it_can_be_stopped(empty: Settings, begun: Begun) -> None:
    process = begun(empty)
    until((empty.data / "lock.backfill").exists, process)
    process.terminate()

    assert process.wait() == EXIT_FAILED
    assert '"left": 5' in process.log
