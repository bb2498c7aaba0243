"""A client of the API on a memory of a film of light, in which it is "cam"."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from services.api.keys import KeyRing, Role
from services.settings import Settings, load_settings
from services.wiring import now_at
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


@pytest.fixture
def make_key(settings: Settings) -> Callable[..., dict[str, str]]:
    """Makes a key, and gives the headers that carry it."""

    def make(role: Role, *streams: str) -> dict[str, str]:
        ring = KeyRing(settings.keys_path)
        key = ring.add(
            f"key{len(ring.grants())}",
            role,
            streams=streams or None,
            added_at=now_at(),
            draw=os.urandom,
        )
        return {"Authorization": f"Bearer {key}"}

    return make
