"""Analysis by workers on a cluster whose nodes die: remembered once, and for ever replaced."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from memory.dump import dump
from services.console import EXIT_USAGE
from services.errors import GpuMissing
from services.on_ray.analyst import AnalysisWorker
from services.on_ray.cluster import Placement, connected
from services.on_ray.errors import ClusterUnreachable
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import load_engine, opened
from tests.conftest import ROOT
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story
from tests.services.on_ray.ray_cluster import RAY, RayCluster
from tests.services.processes import Services, measured, until
from tests.services.test_cli import run
from tests.streaming.servers import free_port


@pytest.fixture
def shared(tmp_path: Path, redis_url: str, kafka_servers: str) -> Settings:
    return load_settings(
        data=tmp_path / "shared",
        redis=redis_url,
        kafka=kafka_servers,
        kafka_prefix=f"{uuid4().hex}.",
    )


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def clips_of(settings: Settings) -> int:
    with opened(settings) as stores:
        return stores.record.counts().clips


def test_a_node_that_dies_costs_nothing(
    shared: Settings, empty: Settings, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    parts = story(("dark", 31), ("bright", 9), ("dim", 45), ("dark", 15))
    path = film(tmp_path / "film.mp4", parts, fps=1)
    for one in (shared, empty):
        with opened(one, make=True) as stores:
            stores.registry.add(NewStream("cam", str(path), starts_at=EPOCH))
    serve(empty)
    assert shared.redis_url is not None
    assert shared.kafka is not None
    services = Services(
        {
            "capture": ("run", "capture"),
            "analyse": ("run", "analyse", "--on", "ray", "--ray", ray_cluster.address),
        },
        environment={
            **RAY,
            "LONGWATCH_DATA": str(shared.data),
            "LONGWATCH_REDIS": shared.redis_url,
            "LONGWATCH_KAFKA": shared.kafka,
            "LONGWATCH_KAFKA_PREFIX": shared.kafka_prefix,
            "SCRIPTED_SLOWNESS_S": "0.5",
        },
        logs=tmp_path / "logs",
    )
    ray_cluster.grow()
    try:
        services.start()
        analyse = services["analyse"]
        until(lambda: clips_of(shared) > 1, services["capture"], analyse)
        analyse.until_ready()
        ray_cluster.kill_node()
        ray_cluster.grow()
        until(lambda: clips_of(shared) == clips_of(empty), analyse)
        restarts = "longwatch_worker_restarts_total"
        until(lambda: measured(analyse.get("/metrics").text, restarts) == 1, analyse)
        until(lambda: analyse.get("/v1/ready").status == 200, analyse)
        assert measured(analyse.get("/metrics").text, "longwatch_workers", state="live") == 1
        assert services.stop() == {"capture": 0, "analyse": 0}
    finally:
        services.clean_up()
        ray_cluster.kill_node()
    assert memory_of(shared) == memory_of(empty)


def test_two_workers_share_a_gpu_and_those_of_a_dead_node_wait_for_another(
    shared: Settings, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    assert shared.redis_url is not None
    assert shared.kafka is not None
    halves = ("--workers", "3", "--gpus-each", "0.5", "--cpus-each", "1")
    services = Services(
        {"analyse": ("run", "analyse", "--on", "ray", "--ray", ray_cluster.address, *halves)},
        environment={
            **RAY,
            "LONGWATCH_DATA": str(shared.data),
            "LONGWATCH_REDIS": shared.redis_url,
            "LONGWATCH_KAFKA": shared.kafka,
            "LONGWATCH_KAFKA_PREFIX": shared.kafka_prefix,
        },
        logs=tmp_path / "logs",
    )

    def live() -> float | None:
        return measured(services["analyse"].get("/metrics").text, "longwatch_workers", state="live")

    def is_so(*workers: int) -> bool:
        return ray_cluster.workers(AnalysisWorker) == list(workers) and live() == sum(workers)

    ray_cluster.grow(cpus=4, gpus=1)
    try:
        services.start()
        analyse = services["analyse"]
        until(lambda: is_so(2), analyse)
        ray_cluster.grow(cpus=4, gpus=1)
        until(lambda: is_so(2, 1), analyse)
        ray_cluster.kill_node()
        until(lambda: is_so(2), analyse)
        ray_cluster.grow(cpus=4, gpus=1)
        until(lambda: is_so(2, 1), analyse)
        assert services.stop() == {"analyse": 0}
    finally:
        services.clean_up()
        ray_cluster.kill_node()
        ray_cluster.kill_node()


def test_a_gpu_that_ray_was_told_of_and_torch_does_not_find_leaves_the_cpu(
    bare: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    placement = Placement(gpus=0.5)
    settings = placement.settings_of_a_worker(bare)
    with pytest.raises(GpuMissing, match="'cuda'"):
        load_engine(settings)

    engine = placement.loading(load_engine)(settings)

    assert engine.model_id == load_engine(bare).model_id
    assert [record.getMessage() for record in caplog.records] == [
        "Ray set a GPU aside, and the model computes on the CPU: torch finds no GPU for 'cuda'"
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("analyse",), "--on ray needs LONGWATCH_KAFKA"),
        (("capture",), "capture does not run on Ray"),
    ],
)
def test_what_cannot_run_there_is_said(given: tuple[str, ...], says: str, empty: Settings) -> None:
    result = run(empty, "run", *given, "--on", "ray")

    assert result.exit_code == EXIT_USAGE
    assert says in result.stderr


@pytest.mark.parametrize(("address", "says"), [("localhost", "HOST:PORT"), (None, "refused")])
def test_a_cluster_that_is_not_there_is_named(address: str | None, says: str) -> None:
    address = address or f"127.0.0.1:{free_port()}"

    with pytest.raises(ClusterUnreachable, match=says) as raised, connected(address):
        pass
    assert raised.value.address == address


def test_without_ray_one_is_told_what_to_install() -> None:
    command = (
        "import sys; sys.modules['ray'] = None; from services.on_ray.cluster import connected;"
        "connected(None).__enter__()"
    )
    told = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "ClusterEngineMissing: Ray is not installed" in told.stderr


def test_a_worker_stays_within_what_was_set_aside(bare: Settings) -> None:
    settings = Placement(cpus=3, gpus=0.25).settings_of_a_worker(bare)

    assert (settings.model_threads, settings.device, settings.health) == (3, "cuda", None)
    assert Placement(cpus=0.5).settings_of_a_worker(bare).device == bare.device
