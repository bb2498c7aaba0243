"""The record in each of its engines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.dict_record import DictRecord
from memory.record import Record
from memory.sqlite_record import SqliteRecord
from tests.memory.notes import spec


@pytest.fixture(params=["dict", "sqlite"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    made = DictRecord() if request.param == "dict" else SqliteRecord(tmp_path / "record.sqlite")
    made.add_stream(spec("pond"))
    made.add_stream(spec("hill"))
    yield made
    made.close()
