"""What is installed is what was tested: pins for every requirement, and no data file left out."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)
REQUIREMENTS = PROJECT["dependencies"] + [
    requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra
]


@pytest.mark.parametrize("text", dict.fromkeys(REQUIREMENTS))
def test_every_requirement_is_pinned_within_its_range(text: str) -> None:
    requirement = Requirement(text)

    assert PINS[requirement.name] in requirement.specifier


def test_pins_name_public_versions_only() -> None:
    for name, version in PINS.items():
        assert re.fullmatch(r"[a-z0-9.-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


def test_pins_of_what_is_not_installed_here_are_kept(tmp_path: Path) -> None:
    extras = '[project]\nname = "x"\n[project.optional-dependencies]\ngpu = ["Search_GPU>=1,<2"]\n'
    (tmp_path / "pyproject.toml").write_text(extras)
    (tmp_path / "constraints.txt").write_text(
        "# Kept.\nno-longer==1.0\npytest==0.1\nsearch-gpu==1.5\n"
    )

    locked = subprocess.run(
        [sys.executable, ROOT / ".ci" / "lock.py"], cwd=tmp_path, capture_output=True, check=True
    )
    comment, *lines = locked.stdout.decode().splitlines()
    pins = dict(line.split("==") for line in lines)

    assert comment == "# Kept."
    assert pins["search-gpu"] == "1.5"
    assert pins["pytest"] == metadata.version("pytest")
    assert "no-longer" not in pins
    assert list(pins) == sorted(pins)


def test_every_data_file_is_packaged() -> None:
    packaged = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    for package in ("streaming", "memory", "models", "services"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                assert path in packaged, path
