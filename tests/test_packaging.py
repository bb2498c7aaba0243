"""What is installed is what was tested: pins for every requirement, and no data file left out."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
INSTALLED_EXTRAS = ("cpu", "dev", "bench")  # by `make setup` and `make bench`
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)
REQUIREMENTS = PROJECT["dependencies"] + [
    requirement
    for extra in INSTALLED_EXTRAS
    for requirement in PROJECT["optional-dependencies"][extra]
]


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_every_requirement_is_pinned_within_its_range(text: str) -> None:
    requirement = Requirement(text)

    assert PINS[requirement.name] in requirement.specifier


def test_pins_name_public_versions_only() -> None:
    for name, version in PINS.items():
        assert re.fullmatch(r"[a-z0-9.-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


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
