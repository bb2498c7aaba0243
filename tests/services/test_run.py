"""Each service in a process of its own, on embedded engines: together they do what `up` does."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from memory.dump import dump
from memory.faiss_index import FaissIndex
from services.locks import Service, alone, serving
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import opened
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story
from tests.services.processes import Services, measured, until
from tests.services.scripted_engine import WIDTH
from tests.services.test_cli import run

SLOWNESS_S = "0.15"
"""How long a note takes, so that there is something to kill."""

Made = Callable[..., Services]


@pytest.fixture
def services_on(tmp_path: Path) -> Iterator[Made]:
    """All services on a data directory, none of them started."""
    made: list[Services] = []

    def make(settings: Settings, **environment: str) -> Services:
        services = Services(
            {service.value: ("run", service.value) for service in Service},
            environment={"LONGWATCH_DATA": str(settings.data), **environment},
            logs=tmp_path / "logs",
        )
        made.append(services)
        return services

    yield make
    for services in made:
        services.clean_up()


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def texts_of(settings: Settings) -> list[str]:
    with opened(settings) as stores:
        return [note.text for note in stores.record.clips()]


def clips_of(settings: Settings) -> int:
    with opened(settings) as stores:
        return stores.record.counts().clips


def test_processes_of_their_own_remember_and_answer_what_one_does(
    empty: Settings, remembered_once: Path, light_film: Path, services_on: Made
) -> None:
    services = services_on(empty)
    services.start()
    added = services.command("add", "cam", str(light_film), "--starts-at", EPOCH.isoformat())
    assert added.returncode == 0, added.stderr
    until(lambda: clips_of(empty) == 5, services["capture"], services["analyse"])
    services.until_ready()

    asked = services.command("ask", "when: a bright light", "--json")
    assert asked.returncode == 0, asked.stderr
    assert [one["span"]["start_ns"] for one in json.loads(asked.stdout)["evidence"]] == [
        12_000_000_000,
        34_000_000_000,
    ]
    answered = services["answer"].get("/metrics").text
    assert measured(answered, "longwatch_answers_total", outcome="found") == 1
    analysed = services["analyse"].get("/metrics").text
    assert measured(analysed, "longwatch_clips_remembered_total", stream="cam") == 5
    assert measured(analysed, "longwatch_stage_seconds_count", stage="describe") == 5
    (stream,) = json.loads(services.command("streams", "--json").stdout)
    assert stream["state"] == "ended"

    assert services.stop() == dict.fromkeys(Service, 0)
    assert texts_of(empty) == texts_of(load_settings(data=remembered_once))
    saved = FaissIndex.load(empty.index_path, width=WIDTH, embedder_id="scripted@1")
    assert len(saved) == 5
    assert not empty.socket_path.exists()


@pytest.mark.timeout(180)
def test_whichever_is_killed_whenever_the_memory_is_that_of_an_undisturbed_run(
    empty: Settings, tmp_path: Path, services_on: Made
) -> None:
    parts = story(("dark", 31), ("bright", 9), ("dim", 45), ("dark", 15))
    path = film(tmp_path / "film.mp4", parts, fps=1)
    undisturbed = load_settings(data=tmp_path / "undisturbed")
    for one in (empty, undisturbed):
        with opened(one, make=True) as stores:
            stores.registry.add(NewStream("cam", str(path), starts_at=EPOCH))
    serve(undisturbed)

    services, random = services_on(empty, SCRIPTED_SLOWNESS_S=SLOWNESS_S), Random(7)
    services.start()
    victims = [*Service]
    random.shuffle(victims)
    services["analyse"].until_ready()
    for victim in victims:
        time.sleep(random.uniform(0, 0.4))
        services[victim].kill()
        services.start(victim)
    services.until_ready()
    until(lambda: clips_of(empty) == clips_of(undisturbed), services["analyse"])

    assert services.stop() == dict.fromkeys(Service, 0)
    assert memory_of(empty) == memory_of(undisturbed)


def test_a_stream_is_paused_where_only_capture_does_not_run(
    settings: Settings, light_film: Path
) -> None:
    with serving(settings, Service.INDEX):
        added = json.loads(run(settings, "add", "late", str(light_film), "--json").stdout)
        shown = json.loads(run(settings, "streams", "--json").stdout)
        checks = json.loads(run(settings, "doctor", "--json").stdout)

    assert added["is_served"] is False
    assert [stream["state"] for stream in shown] == ["ended", "paused"]
    assert "running: index" in [check["found"] for check in checks]


@pytest.mark.parametrize("command", [("up",), ("run", "index")])
def test_a_second_one_of_its_kind_is_one_too_many(
    settings: Settings, command: tuple[str, ...]
) -> None:
    with serving(settings, Service.INDEX):
        result = run(settings, *command)

    assert result.exit_code == 5
    assert "another longwatch" in result.stderr


@pytest.mark.parametrize("service", Service)
def test_no_service_runs_beside_up(settings: Settings, service: Service) -> None:
    with alone(settings):
        result = run(settings, "run", service)

    assert result.exit_code == 5
    assert "longwatch up runs on" in result.stderr


def test_what_is_forgotten_beside_some_services_is_forgotten_by_all(
    settings: Settings, services_on: Made
) -> None:
    services = services_on(settings)
    services.start("index", "answer")
    services.until_ready()
    assert services.command("ask", "when: a dim light").returncode == 0

    assert services.command("forget", "cam", "0:15", "0:25", "--yes").returncode == 0

    assert services.command("ask", "when: a dim light").returncode == 3
    assert set(services.stop().values()) == {0}
    saved = FaissIndex.load(settings.index_path, width=WIDTH, embedder_id="scripted@1")
    assert len(saved) == 3


def test_a_service_that_cannot_work_says_why_and_ends_with_1(
    settings: Settings, services_on: Made
) -> None:
    shutil.rmtree(settings.index_path, ignore_errors=True)
    settings.record_path.write_bytes(b"not a database, and long enough to be read as one" * 50)
    services = services_on(settings)
    services.start("index")

    assert services["index"].wait() == 1
    assert services.log_of("index")[-1]["level"] == "error"
    assert "record.sqlite" in services.log_of("index")[-1]["message"]


def test_where_no_socket_can_be_made_the_service_that_answers_ends(
    settings: Settings, services_on: Made
) -> None:
    settings.socket_path.mkdir()
    services = services_on(settings)
    services.start("answer")

    assert services["answer"].wait() == 1
    assert "socket" in services.log_of("answer")[-1]["message"]
