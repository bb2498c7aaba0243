"""Several processes analyse for one memory, on Kafka, and remember what one would have."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient

from memory.dump import dump
from services.capture import CaptureParts, StreamCapture
from services.following import FOLLOWED
from services.locks import Service, is_running, serving
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import opened, opened_bus, wall_clock
from streaming.bus import lag
from streaming.kafka_growth import partition_of
from streaming.kafka_link import Admin
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story
from tests.services.processes import Process, Services, measured, until
from tests.services.test_cli import run
from tests.streaming.kafka_server import LITTERED

pytestmark = LITTERED

STREAMS = tuple(f"cam-{number}" for number in (0, 1, 4, 5, 7, 8, 15, 45))
"""One for each partition, so that whoever has a partition has something to do."""
CLIPS = 4 * len(STREAMS)
FILM = story(("dark", 7), ("bright", 9), ("dim", 8), ("dark", 4), ("bright", 7))
SLOWNESS_S = "0.2"
"""How long a note takes, so that all have something to do."""
ONE, TWO, THREE = "analyse-1", "analyse-2", "analyse-3"


@pytest.fixture(scope="session")
def shared_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "shared.mp4", FILM, fps=1)


@pytest.fixture(scope="session")
def undisturbed(shared_film: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one process remembers, on the embedded bus."""
    settings = load_settings(data=tmp_path_factory.mktemp("undisturbed") / "data")
    with opened(settings, make=True) as stores:
        for name in STREAMS:
            stores.registry.add(NewStream(name, str(shared_film), starts_at=EPOCH))
    serve(settings)
    return memory_of(settings)


@pytest.fixture
def on_kafka(kafka_servers: str, tmp_path: Path) -> Settings:
    return load_settings(
        data=tmp_path / "data",
        kafka=kafka_servers,
        kafka_prefix=f"{uuid4().hex}.",
        kafka_partitions=len(STREAMS),
    )


@pytest.fixture
def crew(on_kafka: Settings, tmp_path: Path) -> Iterator[Services]:
    """Three that could analyse, none of them started; the second works at several streams."""
    services = Services(
        dict.fromkeys((ONE, TWO, THREE), ("run", Service.ANALYSE.value)),
        environment={
            "LONGWATCH_DATA": str(on_kafka.data),
            "LONGWATCH_KAFKA": on_kafka.kafka or "",
            "LONGWATCH_KAFKA_PREFIX": on_kafka.kafka_prefix,
            "LONGWATCH_KAFKA_PARTITIONS": str(on_kafka.kafka_partitions),
            "SCRIPTED_SLOWNESS_S": SLOWNESS_S,
        },
        logs=tmp_path / "logs",
        own={TWO: {"LONGWATCH_ANALYSTS": "3"}},
    )
    yield services
    services.clean_up()


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def clips_of(settings: Settings) -> int:
    with opened(settings) as stores:
        return stores.record.counts().clips


def lag_of(settings: Settings) -> int:
    topic, group = FOLLOWED[0]
    with opened_bus(settings) as bus:
        return lag(bus.bounds(topic), bus.committed(topic, group=group))


def capture(settings: Settings, path: Path) -> None:
    """Have each stream captured, in threads of this process."""
    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        parts = CaptureParts(stores.record, stores.registry, bus, stores.footage, wall_clock())
        captures = [
            StreamCapture(stores.registry.add(NewStream(name, str(path), starts_at=EPOCH)), parts)
            for name in STREAMS
        ]
        for one in captures:
            one.join(60)
            assert not one.is_running
            assert one.crash is None


def partitions_of(process: Process) -> float:
    return measured(process.get("/metrics").text, "longwatch_partitions", group="analyse") or 0


def members_of(settings: Settings, group: str) -> int:
    name = settings.kafka_prefix + group
    admin: Admin = KafkaAdminClient(bootstrap_servers=settings.kafka or "")
    with closing(admin):
        return len(admin.describe_groups([name])[name]["members"])


def until_shared(settings: Settings, *processes: Process) -> None:
    """Wait until each has its part, and all of it is given out."""

    def is_shared() -> bool:
        counts = [partitions_of(process) for process in processes]
        return min(counts) > 0 and sum(counts) == settings.kafka_partitions

    until(is_shared, *processes)


def until_remembered(settings: Settings, *processes: Process) -> None:
    until(lambda: clips_of(settings) == CLIPS and lag_of(settings) == 0, *processes)


def test_each_partition_has_a_stream() -> None:
    assert {partition_of(name.encode(), len(STREAMS)) for name in STREAMS} == {*range(len(STREAMS))}


def test_two_share_the_work_and_one_that_is_killed_is_replaced_by_the_other(
    on_kafka: Settings, shared_film: Path, undisturbed: bytes, crew: Services
) -> None:
    crew.start(ONE, TWO)
    until_shared(on_kafka, crew[ONE], crew[TWO])
    capture(on_kafka, shared_film)
    until(lambda: all(remembered_by(crew[name]) for name in (ONE, TWO)), crew[ONE], crew[TWO])
    crew[ONE].kill()
    until_remembered(on_kafka, crew[TWO])

    assert partitions_of(crew[TWO]) == on_kafka.kafka_partitions
    assert memory_of(on_kafka) == undisturbed


def test_one_process_works_at_several_streams_at_once(
    on_kafka: Settings, shared_film: Path, undisturbed: bytes, crew: Services
) -> None:
    crew.start(TWO)
    until_shared(on_kafka, crew[TWO])
    capture(on_kafka, shared_film)
    until_remembered(on_kafka, crew[TWO])

    assert members_of(on_kafka, Service.ANALYSE) == 3
    assert memory_of(on_kafka) == undisturbed
    assert crew.stop() == {TWO: 0}


def test_one_that_froze_and_comes_back_disturbs_nobody(
    on_kafka: Settings, shared_film: Path, undisturbed: bytes, crew: Services
) -> None:
    crew.start(ONE, TWO)
    until_shared(on_kafka, crew[ONE], crew[TWO])
    capture(on_kafka, shared_film)
    until(lambda: remembered_by(crew[ONE]), crew[ONE], crew[TWO])
    crew[ONE].freeze()
    until(lambda: partitions_of(crew[TWO]) == on_kafka.kafka_partitions, crew[TWO])
    crew[ONE].thaw()
    until_remembered(on_kafka, crew[ONE], crew[TWO])
    until_shared(on_kafka, crew[ONE], crew[TWO])

    assert "partitions went to others" in crew[ONE].log
    assert memory_of(on_kafka) == undisturbed
    assert crew.stop() == {ONE: 0, TWO: 0}


def test_one_joins_in_the_middle_and_one_leaves(
    on_kafka: Settings, shared_film: Path, undisturbed: bytes, crew: Services
) -> None:
    crew.start(ONE, TWO)
    until_shared(on_kafka, crew[ONE], crew[TWO])
    capture(on_kafka, shared_film)
    crew.start(THREE)
    until_shared(on_kafka, crew[ONE], crew[TWO], crew[THREE])
    crew[ONE].terminate()
    assert crew[ONE].wait() == 0
    until_shared(on_kafka, crew[TWO], crew[THREE])
    until_remembered(on_kafka, crew[TWO], crew[THREE])

    assert memory_of(on_kafka) == undisturbed


def test_topics_may_grow_while_some_is_analysed_and_some_is_not(
    on_kafka: Settings, shared_film: Path, undisturbed: bytes, crew: Services
) -> None:
    capture(on_kafka.model_copy(update={"kafka_partitions": 2}), shared_film)
    crew.start(ONE)
    until(lambda: remembered_by(crew[ONE]), crew[ONE])
    assert run(on_kafka, "topics", "--grow").exit_code == 5
    crew[ONE].terminate()
    assert crew[ONE].wait() == 0
    assert clips_of(on_kafka) < CLIPS

    assert run(on_kafka, "topics", "--grow").exit_code == 0
    crew.start(TWO, THREE)
    until_shared(on_kafka, crew[TWO], crew[THREE])
    until_remembered(on_kafka, crew[TWO], crew[THREE])

    assert memory_of(on_kafka) == undisturbed


def remembered_by(process: Process) -> bool:
    """Whether it has remembered any clip."""
    text = process.get("/metrics").text
    return any(measured(text, "longwatch_clips_remembered_total", stream=name) for name in STREAMS)


def test_on_kafka_several_analyse_and_elsewhere_one(bare: Settings) -> None:
    on_kafka = bare.model_copy(update={"kafka": "127.0.0.1:9092"})
    with serving(on_kafka, Service.ANALYSE):
        with serving(on_kafka, Service.ANALYSE):
            assert is_running(on_kafka, Service.ANALYSE)
        assert is_running(on_kafka, Service.ANALYSE)
        assert run(bare, "run", "analyse").exit_code == 5
    assert not is_running(on_kafka, Service.ANALYSE)
    with serving(bare, Service.ANALYSE):
        assert is_running(bare, Service.ANALYSE)
        assert run(on_kafka, "run", "analyse").exit_code == 5
    with serving(on_kafka, Service.INDEX):
        assert run(on_kafka, "run", "index").exit_code == 5
