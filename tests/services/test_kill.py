"""Kill the service at random moments; the memory afterwards is that of an undisturbed run."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from memory.dump import dump
from services.registry import NewStream
from services.settings import load_settings
from services.wiring import opened
from tests.conftest import ROOT
from tests.services.conftest import EPOCH, serve
from tests.services.films import film, story

KILLS = 20
SLOWNESS_S = 0.05
"""How long a note takes: sixty of them are three seconds in which to be killed."""


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes in which something shines now and then, for uneven times."""
    random = Random(5)
    parts: list[tuple[str, int]] = []
    while sum(count for _, count in parts) < 600:
        parts += [
            ("dark", random.randint(1, 9)),
            (random.choice(("dim", "bright")), random.randint(1, 7)),
        ]
    return film(tmp_path_factory.mktemp("films") / "long.mp4", story(*parts), fps=2)


def watching(data: Path, path: Path) -> Path:
    """A data directory with the film added twice, and nothing captured yet."""
    with opened(load_settings(data=data), make=True) as stores:
        for name in ("one", "two"):
            stores.registry.add(NewStream(name, str(path), starts_at=EPOCH))
    return data


def service(data: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.services.scripted_service", "--data", str(data)),
            *("up", "--until-idle", "--json"),
        ],
        cwd=ROOT,
        env={"SCRIPTED_SLOWNESS_S": str(SLOWNESS_S), "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def remembered(data: Path) -> tuple[bytes, dict[str, bytes]]:
    settings = load_settings(data=data)
    folder = Path(settings.tokens)
    tokens = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.tokens")}
    with opened(settings) as stores:
        return dump(stores.record), tokens


@pytest.mark.timeout(240)
def test_a_killed_service_remembers_what_an_undisturbed_one_does(
    long_film: Path, tmp_path: Path
) -> None:
    undisturbed = watching(tmp_path / "undisturbed", long_film)
    serve(load_settings(data=undisturbed))
    data = watching(tmp_path / "killed", long_film)
    random = Random(20)

    kills = 0
    for _ in range(KILLS):
        with service(data) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it says something once it has begun
            try:
                process.communicate(timeout=random.uniform(0.0, 0.6))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    with service(data) as process:
        assert process.wait(120) == 0

    assert kills >= KILLS // 2
    assert remembered(data) == remembered(undisturbed)
