"""An archive is taken in whole, once, and by whatever runs: the memory is that of the service."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from memory.dump import dump
from services.console import EXIT_BUSY, EXIT_FAILED, EXIT_NOT_FOUND
from services.locks import only_one
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.wiring import opened
from tests.services.conftest import EPOCH, STORY, serve
from tests.services.films import film, story
from tests.services.processes import Process, until
from tests.services.test_cli import run

BAD = "gate-bad"
NAMED_AT = datetime(2025, 3, 1, 14, tzinfo=UTC)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films, one of which tells its time by its name, and a file that is no video."""
    root = tmp_path_factory.mktemp("archive")
    (root / "gate").mkdir()
    film(root / "gate" / "2025-03-01T14-00-00Z.mp4", STORY)
    film(root / "gate" / "later.mp4", story(("dim", 13), ("bright", 8)))
    film(root / "yard.mp4", story(("bright", 11)))
    (root / "gate" / "bad.mp4").write_bytes(b"no video at all")
    return root


def said(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def memory_of(settings: Settings) -> bytes:
    with opened(settings) as stores:
        return dump(stores.record)


def watched(settings: Settings, archive: Path) -> bytes:
    """What the service makes of the same files."""
    with opened(settings, make=True) as stores:
        for name, path, starts_at in (
            ("gate-2025-03-01t14-00-00z", "gate/2025-03-01T14-00-00Z.mp4", NAMED_AT),
            ("gate-later", "gate/later.mp4", None),
            ("yard", "yard.mp4", None),
        ):
            stores.registry.add(NewStream(name, str(archive / path), starts_at=starts_at))
    serve(settings)
    return memory_of(settings)


def test_an_archive_is_remembered_as_if_watched(
    empty: Settings, archive: Path, tmp_path: Path
) -> None:
    result = run(empty, "backfill", str(archive), "--json")

    assert result.exit_code == EXIT_FAILED, result.stderr
    *files, counts = said(result)
    assert counts == {"remembered": 3, "known": 0, "failed": 1, "left": 0}
    failures = {one["stream_id"]: one["failure"] for one in files if one["failure"]}
    assert failures.keys() == {BAD}
    assert "bad.mp4" in failures[BAD]
    assert memory_of(empty) == watched(load_settings(data=tmp_path / "served"), archive)
    with opened(empty) as stores:
        spec = stores.registry.stream("gate-2025-03-01t14-00-00z")
        assert spec.epoch_at == NAMED_AT
        assert BAD not in stores.registry.names()


def test_once_more_takes_in_what_is_new(empty: Settings, archive: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(archive, mine, ignore=shutil.ignore_patterns("bad.mp4", "yard.mp4"))
    first = run(empty, "backfill", str(mine))
    before = memory_of(empty)
    again = run(empty, "backfill", str(mine))
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    assert "0 files remembered, 2 were known, 0 failed" in again.stdout
    assert memory_of(empty) == before

    shutil.copy(archive / "yard.mp4", mine)
    (added, counts) = said(run(empty, "backfill", str(mine), "--json"))
    assert (added["stream_id"], added["clips"]) == ("yard", 2)
    assert counts == {"remembered": 1, "known": 2, "failed": 0, "left": 0}


def test_what_a_service_watches_is_left_to_it(settings: Settings, light_film: Path) -> None:
    (counts,) = said(run(settings, "backfill", str(light_film), "--json"))

    assert counts == {"remembered": 0, "known": 1, "failed": 0, "left": 0}


def test_a_service_leaves_an_archive_alone(empty: Settings, archive: Path) -> None:
    """Also one of which a part only was captured when the back-fill was stopped."""
    with opened(empty, make=True) as stores:
        path = str(archive / "yard.mp4")
        stores.registry.add(NewStream("yard", path, starts_at=EPOCH, is_backfill=True))
    serve(empty)
    with opened(empty) as stores:
        assert stores.record.segments() == []

    assert run(empty, "backfill", str(archive / "yard.mp4")).exit_code == 0
    with opened(empty) as stores:
        assert stores.record.counts("yard").clips == 2
    assert run(empty, "forget", "yard", "--yes").exit_code == 0


def test_a_header_may_say_when_a_file_begins(
    empty: Settings, archive: Path, tmp_path: Path
) -> None:
    path = tmp_path / "told.mp4"
    subprocess.run(
        [
            *("ffmpeg", "-loglevel", "error", "-i", str(archive / "yard.mp4"), "-c", "copy"),
            *("-metadata", "creation_time=2024-12-24T18:00:00Z", str(path)),
        ],
        check=True,
    )
    assert run(empty, "backfill", str(path)).exit_code == 0

    with opened(empty) as stores:
        epoch_at = stores.registry.stream("told").epoch_at
    assert epoch_at == datetime(2024, 12, 24, 18, tzinfo=UTC)


def test_a_killed_one_is_taken_up_again(empty: Settings, archive: Path, tmp_path: Path) -> None:
    environment = {"LONGWATCH_DATA": str(empty.data), "SCRIPTED_SLOWNESS_S": "0.3"}
    command = ("backfill", str(archive / "gate" / "2025*"), str(archive / "yard.mp4"))
    process = Process(command, environment=environment, log=tmp_path / "log")
    undisturbed = load_settings(data=tmp_path / "undisturbed")
    assert run(undisturbed, *command).exit_code == 0

    def clips() -> int:
        if not empty.record_path.exists():
            return 0
        with opened(empty) as stores:
            return stores.record.counts().clips

    try:
        until(lambda: clips() > 1, process)
    finally:
        process.kill()
    again = run(empty, *command)

    assert again.exit_code == 0, again.stderr
    assert memory_of(empty) == memory_of(undisturbed)


def test_one_at_a_time(empty: Settings, archive: Path) -> None:
    with only_one(empty, "backfill"):
        result = run(empty, "backfill", str(archive))

    assert result.exit_code == EXIT_BUSY
    assert "another longwatch backfill" in result.stderr


def test_an_archive_that_is_not_there_is_named(empty: Settings, tmp_path: Path) -> None:
    result = run(empty, "backfill", str(tmp_path / "nowhere"))

    assert result.exit_code == EXIT_NOT_FOUND
    assert "nowhere means no video file" in result.stderr
