"""A service that is to work on a GPU that is not there: the same memory, and one word for each."""

import logging
from pathlib import Path
from typing import Any

import pytest

from services.settings import Settings, load_settings
from services.wiring import opened
from tests.services.analysing import memory_of
from tests.services.conftest import remember


def test_where_no_gpu_decodes_or_searches_the_memory_is_the_same(
    light_film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="services")
    memories = [
        memory_after(load_settings(data=tmp_path / device, device=device), light_film)
        for device in ("cpu", "cuda:99")
    ]

    assert memories[0] == memories[1]
    said = [one.getMessage() for one in caplog.records if "CPU" in one.getMessage()]
    assert len(said) == 2
    assert said[0].startswith("video is decoded on the CPU: NVDEC of cuda:99 cannot be used: ")
    assert said[1].startswith("vectors are searched on the CPU: FAISS cannot search on cuda:99: ")


def memory_after(settings: Settings, film: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    remember(settings, "cam", film)
    with opened(settings) as stores:
        notes = [note.model_dump(exclude={"epoch_at"}) for note in stores.record.clips()]
    return notes, memory_of(settings)[1]
