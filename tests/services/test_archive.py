"""Which files an archive holds, what their streams are called, and when they begin."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.archive import ArchiveFile, files_of, plan_of, time_in
from services.errors import NoSuchFiles
from services.registry import NAME


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Files of an archive, and such as are none."""
    for name in (
        "gate/2025-03-01_14-00-00.mp4",
        "gate/2025-03-01_15-00-00.MP4",
        "Büro 2/Tür.mkv",
        "notes.txt",
        ".trash/old.mp4",
        "gate/.partial.mp4",
    ):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "archive"


@pytest.fixture
def five_hours_west(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def below(sources: list[str]) -> list[str]:
    return [name for _, name in files_of(sources)]


def test_a_directory_is_its_videos_and_nothing_else(archive: Path) -> None:
    assert below([str(archive)]) == [
        "Büro 2/Tür.mkv",
        "gate/2025-03-01_14-00-00.mp4",
        "gate/2025-03-01_15-00-00.MP4",
    ]


def test_a_pattern_and_a_name_are_taken_at_their_word(archive: Path) -> None:
    assert below([f"{archive}/*/*_14-*"]) == ["gate/2025-03-01_14-00-00.mp4"]
    assert below([f"{archive}/**/notes*"]) == ["notes.txt"]
    assert below([str(archive / "notes.txt")]) == ["notes.txt"]


def test_a_file_that_is_meant_twice_is_one(archive: Path) -> None:
    assert len(below([str(archive), str(archive / "gate")])) == 3


@pytest.mark.parametrize("name", ["nowhere", "*.mov", "notes.txt/x"])
def test_what_means_no_file_is_named(archive: Path, name: str) -> None:
    with pytest.raises(NoSuchFiles, match="means no video file") as raised:
        files_of([str(archive), f"{archive}/{name}"])
    assert raised.value.source == f"{archive}/{name}"


def names_of(*below: str, known: dict[str, str] | None = None) -> list[str]:
    plan = plan_of([(Path("/a") / name, name) for name in below], known or {})
    return [file.stream_id for file in plan]


def test_streams_are_named_after_their_files() -> None:
    assert names_of("gate/2025-03-01_14.mp4", "Büro 2/Tür.mkv") == [
        "gate-2025-03-01_14",
        "b-ro-2-t-r",
    ]


def test_no_two_streams_have_one_name() -> None:
    names = names_of(
        "a/b.mp4", "a-b.mp4", "a b.mkv", "猫.mp4", "犬.mp4", f"{'long' * 30}.mp4", "_.ts"
    )

    assert len(set(names)) == len(names)
    assert names[0] == "a-b"
    assert all(NAME.fullmatch(name) for name in names)


def test_a_file_keeps_the_name_that_it_has() -> None:
    assert names_of("a/b.mp4", "a-b.mp4", known={"/a/a-b.mp4": "a-b", "/x": "other"})[1] == "a-b"
    assert names_of("a.mp4", known={"/x": "a"}) != ["a"]


@pytest.mark.parametrize(
    "name",
    [
        "2025-03-01_14-05-09.mp4",
        "gate_20250301140509.mp4",
        "gate/20250301-140509-motion.mp4",
        "2025-03-01T14:05:09.mp4",
        "2025/03/01/14/05.09.mp4",
        "VID_20250301_140509123.mp4",
        "cam17 2025.03.01 14h05m09s.mp4",
    ],
)
@pytest.mark.usefixtures("five_hours_west")
def test_a_name_may_say_when_it_begins(name: str) -> None:
    assert time_in(name) == datetime(2025, 3, 1, 19, 5, 9, tzinfo=UTC)


@pytest.mark.usefixtures("five_hours_west")
def test_a_name_may_say_so_in_utc_or_to_the_minute() -> None:
    assert time_in("20250301T140509Z.mp4") == datetime(2025, 3, 1, 14, 5, 9, tzinfo=UTC)
    assert time_in("2025-03-01 14-05.mp4") == datetime(2025, 3, 1, 19, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["gate.mp4", "2025-03-01.mp4", "20251399996060.mp4", "00010203040506.mp4", "123.mp4"]
)
def test_most_names_say_nothing(name: str) -> None:
    assert time_in(name) is None


def test_a_plan_says_all_there_is_to_say(archive: Path) -> None:
    plan = plan_of(files_of([str(archive / "gate")]), {})

    assert plan[0] == ArchiveFile(
        str(archive / "gate" / "2025-03-01_14-00-00.mp4"),
        "2025-03-01_14-00-00",
        time_in("2025-03-01_14-00-00"),
    )
