"""The record in each of its engines."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memory.dict_record import DictRecord
from memory.record import Record
from memory.redis_record import RedisRecord
from memory.sqlite_record import SqliteRecord
from tests.memory.notes import spec
from tests.memory.redis_server import RedisServer


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may harm; what it acknowledged is on the disk."""
    with closing(RedisServer("--appendfsync", "always")) as server:
        yield server


@pytest.fixture(params=["dict", "sqlite", "redis"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    made: Record
    match request.param:
        case "dict":
            made = DictRecord()
        case "sqlite":
            made = SqliteRecord(tmp_path / "record.sqlite")
        case _:
            made = RedisRecord(request.getfixturevalue("redis_url"))
    made.add_stream(spec("pond"))
    made.add_stream(spec("hill"))
    yield made
    made.close()
