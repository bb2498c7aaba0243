"""docker-compose.yml and what stands beside it say nothing that is not so."""

import json
import re
import tomllib

import pytest
import yaml

from services.health import METRICS, READY
from services.locks import Service
from services.settings import Settings, load_settings
from tests.compose.topology import Container, containers, read, shipped
from tests.conftest import ROOT
from tests.test_docs import COMMANDS, OPERATIONS, options_of

ALL = containers()
OURS = [one for one in ALL.values() if one.is_ours]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DOCKERFILE_SGLANG = (ROOT / "deploy" / "sglang.Dockerfile").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
PROVISIONED = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((PROVISIONED / "dashboards" / "longwatch.json").read_text())
PREFIX = "LONGWATCH_"

every = pytest.mark.parametrize("one", ALL.values(), ids=lambda one: one.name)
ours = pytest.mark.parametrize("one", OURS, ids=lambda one: one.name)


def test_every_service_has_its_container() -> None:
    run = [one.command[1] for one in OURS if one.command[0] == "run"]

    assert set(run) == set(Service)
    assert sorted(run) == sorted(["analyse", *Service]), "analysis, on the CPU and on a GPU"


@ours
def test_a_command_exists(one: Container) -> None:
    command, *arguments = one.command

    assert command in COMMANDS
    if command == "run":
        assert arguments in [[service] for service in Service]
    else:
        assert {word for word in arguments if word.startswith("--")} <= options_of(command)


@ours
def test_every_variable_is_a_setting_with_a_value_that_it_takes(one: Container) -> None:
    given = {name.removeprefix(PREFIX).lower(): value for name, value in one.environment.items()}

    assert given.keys() <= Settings.model_fields.keys()
    assert all(name.startswith(PREFIX) for name in one.environment)
    load_settings(**given)


@ours
def test_a_health_check_asks_for_a_path_that_is_served_where_it_is_served(one: Container) -> None:
    if one.command == ("topics",):
        assert one.settings["healthcheck"] == {"disable": True}
        return
    port, path = one.environment["LONGWATCH_HEALTH"].rpartition(":")[2], READY
    if one.name == "model":
        port, path = one.command[-1], "/health"

    assert f'"http://127.0.0.1:{port}{path}"' in one.health_check[-1]


@every
def test_what_a_container_waits_for_exists_and_can_come_true(one: Container) -> None:
    for other, condition in one.after.items():
        if condition == "service_healthy":
            assert ALL[other].health_check
        if condition == "service_completed_successfully":
            assert ALL[other].restart != "unless-stopped"
        assert not ALL[other].profiles or set(one.profiles) <= set(ALL[other].profiles)


@every
def test_a_container_that_ends_is_started_again_and_has_its_health_looked_at(
    one: Container,
) -> None:
    assert one.restart == ("on-failure" if one.name == "topics" else "unless-stopped")
    assert "healthcheck" in one.settings


@every
def test_volumes_are_declared_and_files_are_there(one: Container) -> None:
    for volume in one.volumes:
        source = volume.split(":")[0]
        if source.startswith("./deploy"):
            assert shipped(source).exists()
        elif not source.startswith("."):
            assert source in read()["volumes"]


@every
def test_an_image_is_named_as_on_docker_hub(one: Container) -> None:
    name, _, tag = one.image.partition(":")

    assert re.fullmatch(r"[a-z]+(/[a-z]+)?", name)
    assert tag not in ("", "latest")


def test_analysis_runs_once_whichever_profile_is_chosen() -> None:
    chosen = {one.name: one.profiles for one in OURS if "analyse" in one.command}
    default = dict(line.split("=") for line in (ROOT / ".env").read_text().splitlines())

    assert chosen == {"analyse": ("cpu",), "analyse-gpu": ("gpu",)}
    assert default == {"COMPOSE_PROFILES": "cpu"}
    (device,) = ALL["analyse-gpu"].settings["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["analyse", "analyse-gpu"])
def test_several_containers_may_analyse(name: str) -> None:
    one = ALL[name]

    assert one.environment["LONGWATCH_KAFKA"]  # whose groups share the work
    assert not {"ports", "container_name", "hostname"} & one.settings.keys()


def test_the_api_listens_where_its_port_leads() -> None:
    (port,) = ALL["api"].settings["ports"]

    assert ALL["api"].environment["LONGWATCH_LISTEN"] == f"0.0.0.0:{port.rpartition(':')[2]}"


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for one in ALL.values() for port in one.settings.get("ports", ())]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_redis_loses_and_evicts_nothing() -> None:
    options = dict(zip(ALL["redis"].command[1::2], ALL["redis"].command[2::2], strict=True))

    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_the_model_server_is_the_version_that_the_plug_in_is_written_for() -> None:
    (wanted,) = EXTRAS["sglang"]

    assert f"FROM lmsysorg/sglang:v{wanted.removeprefix('sglang==')}\n" in DOCKERFILE_SGLANG


@pytest.mark.parametrize("dockerfile", [DOCKERFILE, DOCKERFILE_SGLANG])
def test_an_image_is_made_of_what_there_is_and_runs_as_nobody_special(dockerfile: str) -> None:
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    assert dockerfile.index("\nUSER longwatch") < dockerfile.index("\nENTRYPOINT")
    assert 'ENTRYPOINT ["longwatch"]' in dockerfile
    assert "USER" not in dockerfile[dockerfile.index("\nENTRYPOINT") :]


def test_what_is_installed_in_it_are_extras_that_there_are() -> None:
    built = [re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)[0]]
    built += [one.settings["build"]["args"]["EXTRAS"] for one in OURS if one.name != "model"]

    assert all(set(extras.split(",")) <= EXTRAS.keys() for extras in built)


def test_prometheus_asks_every_service_where_it_tells() -> None:
    targets: set[str] = set()
    for job in PROMETHEUS["scrape_configs"]:
        assert job.get("metrics_path", "/metrics") == METRICS
        for known in job.get("static_configs", ()):
            targets |= set(known["targets"])
        for looked_up in job.get("dns_sd_configs", ()):
            targets |= {f"{name}:{looked_up['port']}" for name in looked_up["names"]}

    assert targets == {f"{one.name}:9100" for one in OURS if one.command[0] == "run"}


def test_the_dashboard_shows_what_is_measured() -> None:
    shown = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in re.findall(r"longwatch_\w+", target["expr"])
    }
    told = set(re.findall(r"^\| `(longwatch_\w+)`", OPERATIONS, re.MULTILINE))

    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} <= told
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    (source,) = yaml.safe_load(
        (PROVISIONED / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"]
    (provider,) = yaml.safe_load(
        (PROVISIONED / "provisioning" / "dashboards" / "longwatch.yml").read_text()
    )["providers"]
    mounted = dict(volume.split(":")[:2] for volume in ALL["grafana"].volumes)

    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = ALL["grafana"].environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/longwatch.json"
