"""A client of the API on a memory of a film of light, in which it is "cam"."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.settings import Settings, load_settings
from tests.services.api.serving import api


@pytest.fixture(scope="module")
def shared(remembered_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A data directory for tests that change nothing."""
    data = tmp_path_factory.mktemp("api") / "data"
    shutil.copytree(remembered_once, data)
    yield load_settings(data=data)


@pytest.fixture(scope="module")
def client(shared: Settings) -> Iterator[httpx2.Client]:
    with api(shared) as client:
        yield client
