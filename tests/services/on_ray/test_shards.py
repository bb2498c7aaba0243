"""An index in shards on a cluster: it finds what one index finds, also when shards die."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.follow import catch_up
from memory.index import ExactIndex, VectorKind
from memory.record import Within
from memory.shards import ALL
from memory.spans import whole_stream
from memory.values import Hit
from services.console import EXIT_USAGE
from services.locks import Service
from services.on_ray import shards
from services.on_ray.cluster import Placement, connected
from services.on_ray.errors import ShardAway
from services.on_ray.shards import Failed, IndexShard, ShardedIndex
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import Stores, opened
from tests.memory.notes import note, span, spec, unit_vectors
from tests.services.conftest import EPOCH, serve
from tests.services.on_ray.ray_cluster import RAY, RayCluster
from tests.services.processes import Services, measured
from tests.services.scripted_engine import WIDTH, ScriptedEngine
from tests.services.test_cli import run

STREAMS = [f"camera-{number}" for number in range(5)]
ENGINE = ScriptedEngine()


@pytest.fixture
def shared(tmp_path: Path, redis_url: str) -> Settings:
    return load_settings(data=tmp_path / "shared", redis=redis_url)


@pytest.fixture
def stores(shared: Settings) -> Iterator[Stores]:
    with opened(shared, make=True) as stores:
        for stream in STREAMS:
            stores.record.add_stream(spec(stream))
        yield stores


@pytest.fixture
def on_cluster(ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> RayCluster:
    """The cluster that this process uses, if it is not told of another."""
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    return ray_cluster


def remember(stores: Stores, numbers: range) -> None:
    """Clips of every stream; every third of them with the vectors of another."""
    for at, stream in enumerate(STREAMS):
        for number in numbers:
            text, visual = unit_vectors(2, seed=number % 3 or 100 * at + number, width=WIDTH)
            one = note(number, stream=stream, model_id=ENGINE.model_id)
            stores.record.put_clip(one, text_vector=text, visual_vector=visual)


def exactly(stores: Stores) -> ExactIndex:
    index = ExactIndex(width=WIDTH, embedder_id=ENGINE.model_id)
    catch_up(index, stores.record)
    return index


def found(index: ShardedIndex | ExactIndex) -> list[list[tuple[str, float]]]:
    everywhere: list[Within] = [
        None,
        [whole_stream(STREAMS[0])],
        [span(15, 95, stream=STREAMS[1]), span(30, 40, stream=STREAMS[3])],
        [],
    ]
    return [
        rounded(index.search(query, kind=kind, limit=limit, within=within))
        for query in unit_vectors(3, seed=1, width=WIDTH)
        for kind in VectorKind
        for limit in (1, 7, 100)
        for within in everywhere
    ]


def rounded(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.clip_id, round(hit.score, 4)) for hit in hits]


def test_shards_find_what_one_index_finds_also_when_one_dies(
    shared: Settings, stores: Stores, on_cluster: RayCluster
) -> None:
    import ray

    remember(stores, range(10))
    on_cluster.grow(cpus=2)
    try:
        with connected(None):
            index = ShardedIndex(shared, ENGINE, Placement(workers=2)).up_to_date()
            assert found(index) == found(exactly(stores))

            ray.kill(next(iter(index._actors.values())), no_restart=False)
            assert found(index) == found(exactly(stores)), "it is asked again, and has all"

            stores.record.delete_span(span(20, 60, stream=STREAMS[2]))
            remember(stores, range(10, 14))
            assert found(index.up_to_date()) == found(exactly(stores))
    finally:
        on_cluster.kill_node()


def test_a_shard_that_does_not_come_back_is_named(
    shared: Settings, on_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CALL_S", 0.5)
    with connected(None), pytest.raises(ShardAway, match="try again"):
        ShardedIndex(shared, ENGINE, Placement()).up_to_date()


def test_a_shard_that_cannot_open_the_record_says_why(tmp_path: Path) -> None:
    nowhere = load_settings(data=tmp_path, redis=f"unix://{tmp_path}/no-server")
    shard = IndexShard(nowhere, ALL, width=WIDTH, embedder_id=ENGINE.model_id)
    said = shard.follow()

    assert isinstance(said, Failed)
    assert "no-server" in said.reason


def test_questions_are_answered_from_shards(
    shared: Settings, light_film: Path, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    with opened(shared, make=True) as stores:
        for name in ("cam", "other"):
            stores.registry.add(NewStream(name, str(light_film), starts_at=EPOCH))
    serve(shared)
    assert shared.redis_url is not None
    on_ray = ("--on", "ray", "--workers", "2", "--ray", ray_cluster.address)
    services = Services(
        {"answer": ("run", "answer", *on_ray)},
        environment={
            **RAY,
            "LONGWATCH_DATA": str(shared.data),
            "LONGWATCH_REDIS": shared.redis_url,
        },
        logs=tmp_path / "logs",
    )
    question = ("search", "a bright light", "--json")
    without_service = run(shared, *question)
    assert without_service.exit_code == 0
    ray_cluster.grow(cpus=2)
    try:
        services.start()
        answer = services["answer"]
        answer.until_ready()
        assert run(shared, *question).stdout == without_service.stdout
        told = answer.get("/metrics").text
        assert measured(told, "longwatch_answers_total", outcome="searched") == 1
        assert services.stop() == {"answer": 0}
    finally:
        services.clean_up()
        ray_cluster.kill_node()


def test_shards_cannot_read_a_record_in_sqlite(settings: Settings) -> None:
    result = run(settings, "run", Service.ANSWER, "--on", "ray")

    assert result.exit_code == EXIT_USAGE
    assert "--on ray needs LONGWATCH_REDIS" in result.stderr
