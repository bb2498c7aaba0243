"""What docker-compose.yml starts, as processes of this machine: Kafka, Redis and our services.

The commands, variables, volumes and health checks are those of the file; names of containers become
ports of this machine, and volumes folders of the test.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from memory.dump import dump
from services.locks import Service
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import opened
from tests.compose.topology import containers
from tests.memory.redis_server import RedisServer
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story
from tests.services.processes import Services, measured, until
from tests.streaming.servers import free_port

ANY_ADDRESS = "0.0.0.0:8080"
SLOWNESS_S = "0.2"
CLIPS = 12
FILM = story(("dark", 31), ("bright", 9), ("dim", 30), ("dark", 25), ("bright", 25))


@pytest.fixture
def there(tmp_path: Path, kafka_servers: str) -> Iterator[dict[str, str]]:
    """What stands in the file, and what it is on this machine."""
    port = free_port()
    command, *options = containers()["redis"].command
    assert command == "redis-server"
    with closing(RedisServer(*options, "--port", str(port))):
        yield {
            "kafka:9092": kafka_servers,
            "redis:6379": f"127.0.0.1:{port}",
            "/data": str(tmp_path / "data"),
        }


@pytest.fixture
def stack(there: dict[str, str], tmp_path: Path) -> Iterator[Services]:
    (tmp_path / "data").mkdir()
    mapped = {"LONGWATCH_KAFKA_PREFIX": f"compose-{tmp_path.name}."}  # others use the broker, too
    started = [
        one for one in containers().values() if one.is_ours and one.profiles in ((), ("cpu",))
    ]
    for name, value in started[0].environment.items():
        for in_file, here in there.items():
            value = value.replace(in_file, here)
        mapped[name] = value
    del mapped["LONGWATCH_HEALTH"]  # each has a port of its own here, also for the API
    services = Services(
        {one.name: one.command for one in started},
        environment={**mapped, "SCRIPTED_SLOWNESS_S": SLOWNESS_S},
        logs=tmp_path / "logs",
    )
    common = {"LONGWATCH_LISTEN": ANY_ADDRESS, **started[0].environment}
    assert all(common.items() >= one.environment.items() for one in started)
    yield services
    services.clean_up()


def settings_of(stack: Services) -> Settings:
    return load_settings(
        **{
            name.removeprefix("LONGWATCH_").lower(): value
            for name, value in stack.environment.items()
            if name.startswith("LONGWATCH_")
        }
    )


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def clips_of(settings: Settings) -> int:
    with opened(settings) as stores:
        return stores.record.counts().clips


def is_healthy(stack: Services, name: str) -> bool:
    """What the health check of the container says."""
    _, program, *arguments = containers()[name].health_check
    assert program == "python"
    port = str(stack[name].port)
    checked = [argument.replace(":9100", f":{port}") for argument in arguments]
    done = subprocess.run([sys.executable, *checked], capture_output=True, timeout=20)
    return done.returncode == 0


@pytest.mark.timeout(240)
def test_the_topology_remembers_answers_and_outlives_kills(stack: Services, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", FILM, fps=1)
    undisturbed = load_settings(data=tmp_path / "undisturbed")
    with opened(undisturbed, make=True) as stores:
        stores.registry.add(NewStream("cam", str(path), starts_at=EPOCH))
    serve(undisturbed)
    settings = settings_of(stack)

    stack.start("topics")
    assert stack["topics"].wait() == 0, stack["topics"].log
    stack.start(*Service)
    added = stack.command("add", "cam", str(path), "--starts-at", EPOCH.isoformat(), "--json")
    assert added.returncode == 0, added.stderr
    random, victims = Random(3), [*Service]
    random.shuffle(victims)
    until(lambda: clips_of(settings) > 0, *(stack[name] for name in Service))
    for victim in victims:
        time.sleep(random.uniform(0, 0.3))
        stack[victim].kill()
        stack.start(victim)
    until(lambda: clips_of(settings) == CLIPS, *(stack[name] for name in Service))
    for name in Service:
        stack[name].until_ready()
        assert is_healthy(stack, name)

    asked = stack.command("ask", "when: a bright light", "--json")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["evidence"][0]["span"]["start_ns"] == 31_000_000_000
    by_http = asked_by_http(stack)
    assert by_http["evidence"][0]["span"]["start_ns"] == 31_000_000_000
    told = {name: stack[name].get("/metrics").text for name in Service}
    assert measured(told[Service.ANSWER], "longwatch_answers_total", outcome="found") == 2
    assert measured(told[Service.CAPTURE], "longwatch_captured_seconds", stream="cam") == 120
    until(lambda: lag_of(stack, "analyse") == 0, stack["analyse"])
    until(lambda: lag_of(stack, "index") == 0, stack["index"])

    codes = stack.stop()
    assert {codes[name] for name in Service} == {0}
    assert memory_of(settings) == memory_of(undisturbed)
    assert not settings.record_path.exists()
    assert not settings.bus_path.exists()


def asked_by_http(stack: Services) -> dict[str, Any]:
    """The answer that the API gives to whoever has a key, and to nobody else."""
    added = stack.command("key", "add", "me")
    assert added.returncode == 0, added.stderr
    url = f"http://127.0.0.1:{stack['api'].api_port}/v1/chat/completions"
    asked = {"messages": [{"role": "user", "content": "when: a bright light"}]}
    with httpx2.Client(trust_env=False, timeout=60) as client:
        assert client.post(url, json=asked).status_code == 401
        key = {"Authorization": f"Bearer {added.stdout.strip()}"}
        return client.post(url, json=asked, headers=key).json()


def lag_of(stack: Services, group: str) -> float | None:
    return measured(stack[group].get("/metrics").text, "longwatch_lag_messages", group=group)
