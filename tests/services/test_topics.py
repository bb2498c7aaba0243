"""The topics, shown and made: in Kafka, and in the bus that needs no making."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from services.cli import app
from services.console import EXIT_FAILED, EXIT_NOT_FOUND
from services.doctor import Health, examine
from services.settings import Settings, load_settings
from services.topics import prepare_topics
from services.wiring import kafka, opened_bus
from streaming.errors import BusEngineMissing
from streaming.topics import TOPICS
from tests.streaming.reading import joined, taken
from tests.streaming.servers import free_port


@pytest.fixture
def in_kafka(kafka_servers: str, tmp_path: Path) -> Settings:
    return load_settings(
        data=tmp_path / "data", kafka=kafka_servers, kafka_prefix=f"{uuid4().hex}."
    )


def run(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> tuple[int, Any]:
    """Exit code and output of `longwatch topics --json`."""
    for field, value in settings.model_dump(exclude_defaults=True).items():
        monkeypatch.setenv(f"LONGWATCH_{field.upper()}", str(value))
    result = CliRunner().invoke(app, ["topics", "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_topics_in_kafka_are_made_once(in_kafka: Settings, monkeypatch: pytest.MonkeyPatch):
    code, states = run(monkeypatch, in_kafka)
    assert (code, [state["topic"] for state in states]) == (0, list(TOPICS))
    assert all(state["is_changed"] and state["records"] == 0 for state in states)
    assert [len(state["partitions"]) for state in states] == [16, 16, 16, 1, 1, 1]
    kept = {state["topic"]: (state["keep_s"], state["is_compacted"]) for state in states}
    assert kept["segments"] == (None, False)
    assert kept["control"] == (None, True)
    assert kept["alerts"] == (30 * 86_400, False)

    _, again = run(monkeypatch, in_kafka)
    assert not any(state["is_changed"] for state in again)


def test_offsets_and_lag_of_groups_are_shown(in_kafka: Settings):
    with opened_bus(in_kafka) as bus:
        for key in ("k", "k", "k", "another"):
            bus.publish("segments", key=key, value=b"{}")
        consumer = joined(bus)
        first = next(one for one in taken(consumer, 4) if one.key == "k")
        assert consumer.commit({first.partition: 1})
    segments = prepare_topics(in_kafka)[0].as_json()
    assert segments["records"] == 4
    ends = {one["partition"]: one["end_offset"] for one in segments["partitions"]}
    assert (ends[first.partition], sum(ends.values())) == (3, 4)
    group = {"group": "analyse", "committed": {first.partition: 1}, "lag": 3}
    assert segments["groups"] == [group]


def test_the_embedded_bus_shows_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    settings = load_settings(data=tmp_path)
    assert run(monkeypatch, settings)[0] == EXIT_NOT_FOUND
    with opened_bus(settings) as bus:
        bus.publish("clips", key="k", value=b"{}")
        bus.consumer("clips", group="index").commit({0: 0})
    code, states = run(monkeypatch, settings)
    assert code == 0
    assert states[1]["groups"] == [{"group": "index", "committed": {"0": 0}, "lag": 1}]
    table = CliRunner().invoke(app, ["topics"]).stdout
    assert "index" in table
    assert "until handled, and 7 days more" in table


def test_brokers_that_are_away_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    settings = load_settings(data=tmp_path, kafka=f"127.0.0.1:{free_port()}")
    code, said = run(monkeypatch, settings)
    assert code == EXIT_FAILED
    assert "check that a broker runs there" in said["error"]["message"]


def log_check(settings: Settings) -> tuple[Health, str, str]:
    [check] = [check for check in examine(settings) if check.name == "log between services"]
    return check.health, check.found, check.remedy


def test_the_doctor_finds_the_brokers(in_kafka: Settings):
    health, found, _ = log_check(in_kafka)
    assert health is Health.OK
    assert f"Kafka, {in_kafka.kafka}, 1 broker; client 3." in found


def test_the_doctor_says_what_to_do_when_they_are_away(tmp_path: Path):
    health, found, remedy = log_check(
        load_settings(data=tmp_path, kafka=f"127.0.0.1:{free_port()}")
    )
    assert health is Health.MISSING
    assert "refused" in found
    assert "LONGWATCH_KAFKA" in remedy


def test_without_the_client_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "streaming.kafka_bus", None)
    settings = load_settings(data=tmp_path, kafka="127.0.0.1:9092")
    with pytest.raises(BusEngineMissing, match=r"longwatch\[kafka\]"):
        kafka(settings)
    assert ".[kafka]" in log_check(settings)[2]


def test_the_password_reaches_kafka_and_nobody_else(tmp_path: Path):
    settings = load_settings(
        data=tmp_path,
        kafka="127.0.0.1:9092",
        kafka_security="SASL_SSL",
        kafka_username="longwatch",
        kafka_password="s3cret-of-the-test",
    )
    assert "s3cret-of-the-test" not in repr(settings) + settings.model_dump_json()
    with closing(kafka(settings)) as bus:
        assert "s3cret-of-the-test" not in repr(vars(bus))
