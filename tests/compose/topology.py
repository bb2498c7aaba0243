"""docker-compose.yml as it is written: read, with its variables at their defaults."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
IMAGE = re.compile(r"longwatch:\w+")
SECONDS = re.compile(r"(\d+)s")


@dataclass(frozen=True, slots=True)
class Container:
    """One service of the file."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    health_check: tuple[str, ...]
    after: dict[str, str]
    """What it waits for, and in which condition that must be."""
    volumes: tuple[str, ...]
    profiles: tuple[str, ...]
    restart: str
    settings: dict[str, Any] = field(repr=False)

    @property
    def is_ours(self) -> bool:
        return bool(IMAGE.fullmatch(self.image))


def read() -> dict[str, Any]:
    return yaml.safe_load(VARIABLE.sub(r"\1", (ROOT / "docker-compose.yml").read_text()))


def containers() -> dict[str, Container]:
    return {name: container_of(name, body) for name, body in read()["services"].items()}


def container_of(name: str, body: dict[str, Any]) -> Container:
    after = body.get("depends_on", {})
    if isinstance(after, list):
        after = {other: {"condition": "service_started"} for other in after}
    return Container(
        name=name,
        image=body["image"],
        command=tuple(map(str, body.get("command", ()))),
        environment={key: str(value) for key, value in body.get("environment", {}).items()},
        health_check=tuple(body.get("healthcheck", {}).get("test", ())),
        after={other: wanted["condition"] for other, wanted in after.items()},
        volumes=tuple(body.get("volumes", ())),
        profiles=tuple(body.get("profiles", ())),
        restart=body.get("restart", "no"),
        settings=body,
    )


def shipped(path: str) -> Path:
    """A file of the repository that a volume names."""
    return ROOT / path.removeprefix("./")
