"""A checkpoint that nobody has trained, and what it remembers of a film of light."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from services.console import Tools
from services.settings import Settings, load_settings
from services.wiring import load_engine
from tests.services.training.light import remember_light, save_light_checkpoint, wordless

WIDE = 300


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("light") / "checkpoint"
    save_light_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def light_once(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the film's memory in `data`, and its labels."""
    folder = tmp_path_factory.mktemp("light-memory")
    settings = load_settings(data=folder / "data", model=checkpoint)
    remember_light(settings, folder, wordless(checkpoint))
    return folder


@pytest.fixture
def light(light_once: Path, checkpoint: Path, tmp_path: Path) -> Settings:
    """A data directory of this test's own, and beside it `labels.jsonl`."""
    shutil.copytree(light_once, tmp_path / "light")
    return load_settings(data=tmp_path / "light" / "data", model=checkpoint)


def real_tools(settings: Settings) -> Tools:
    """Commands with the real model."""
    return Tools(
        load_engine=load_engine,
        settings=settings,
        out=Console(width=WIDE),
        err=Console(width=WIDE, stderr=True),
    )
