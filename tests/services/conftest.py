"""A memory to ask: a film of light, captured, analysed and remembered by the real service."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memory.values import StreamSpec, WhenBehind
from services.capture import CaptureParts, StreamCapture
from services.registry import NewStream
from services.settings import Settings, load_settings
from services.up import Running, run_service
from services.wiring import Stores, WatchingEngine, opened, opened_bus, wall_clock
from streaming.footage import RESERVE_BYTES
from streaming.messages import NS_PER_S
from tests.conftest import may_mount
from tests.services.analysing import EPOCH as EPOCH
from tests.services.analysing import changed
from tests.services.films import film, story
from tests.services.scripted_engine import ScriptedEngine

STORY = story(
    ("dark", 12), ("bright", 3), ("dark", 4), ("dim", 5), ("dark", 10), ("bright", 2), ("dark", 9)
)
"""Bright at 12-15 and 34-36, dim at 19-24, over at 45 seconds."""
MAY_NOT_MOUNT = "who runs this may not mount a file system"
DISK_BYTES = RESERVE_BYTES + 32 * 2**20
Footage = Callable[..., Settings]


def serve(settings: Settings, engine: WatchingEngine | None = None) -> None:
    """Run the service in this process until everything is remembered."""
    running = Running(
        settings=settings,
        load_engine=lambda settings: engine or ScriptedEngine(),
        until_idle=True,
    )
    run_service(running, threading.Event())


def remember(
    settings: Settings, name: str, path: Path, engine: WatchingEngine | None = None
) -> None:
    with opened(settings, make=True) as stores:
        stores.registry.add(NewStream(name, str(path)))
    serve(settings, engine)


@pytest.fixture(scope="session")
def light_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "light.mp4", STORY)


@pytest.fixture(scope="session")
def remembered_once(light_film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("memory") / "data"
    remember(load_settings(data=data), "cam", light_film)
    return data


@pytest.fixture(scope="session")
def captured_once(light_film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film captured, and nothing of it analysed."""
    data = tmp_path_factory.mktemp("footage") / "data"
    settings = load_settings(data=data)
    with opened(settings, make=True) as stores, opened_bus(settings) as bus:
        spec = stores.registry.add(NewStream("cam", str(light_film), starts_at=EPOCH))
        parts = CaptureParts(stores.record, stores.registry, bus, stores.footage, wall_clock())
        capture = StreamCapture(spec, parts)
        capture.join(30)
        assert capture.crash is None
    return data


@pytest.fixture
def captured(captured_once: Path, tmp_path: Path) -> Settings:
    shutil.copytree(captured_once, tmp_path / "captured")
    return load_settings(data=tmp_path / "captured")


@pytest.fixture
def camera(captured: Settings) -> Footage:
    """The film as if a camera had sent it, in segments of 8 s, the last of 5.

    With the clock at 45 s the first four lie more than 10 s behind, the last two not even half.
    """

    def make(when_behind: str, *, of_stream: str | None = None) -> Settings:
        with changed(captured) as (stores, _):
            record = stores.record
            segments = record.segments()
            assert [one.span.end_ns // NS_PER_S for one in segments] == [8, 16, 24, 32, 40, 45]
            spec = StreamSpec(
                stream_id="cam",
                url="rtsp://camera/1",
                realtime=True,
                added_at=EPOCH,
                epoch_at=EPOCH,
                when_behind=None if of_stream is None else WhenBehind(of_stream),
            )
            record.remove_stream("cam")
            record.add_stream(spec)
            for segment in segments:
                record.put_segment(segment)
        policy = {"when_behind": WhenBehind(when_behind), "behind_s": 10.0}
        return captured.model_copy(update=policy)

    return make


@pytest.fixture
def settings(remembered_once: Path, tmp_path: Path) -> Settings:
    """A data directory of this test's own, in which the film is remembered as "cam"."""
    shutil.copytree(remembered_once, tmp_path / "data")
    return load_settings(data=tmp_path / "data")


@pytest.fixture
def bare(tmp_path: Path) -> Settings:
    """A data directory in which nothing is."""
    return load_settings(data=tmp_path)


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    """A data directory that does not exist yet."""
    return load_settings(data=tmp_path / "data")


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    with opened(settings) as stores:
        yield stores


class Disk:
    """A file system in memory, of which something can take all that is left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self, *, but_for_bytes: int = 0) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            if but_for_bytes:
                free_bytes = shutil.disk_usage(self.root).free
                os.posix_fallocate(file.fileno(), 0, free_bytes - but_for_bytes)
                return
            for block_bytes in (2**20, 4096):
                try:
                    while True:
                        file.write(bytes(block_bytes))
                except OSError:
                    continue

    def clear(self) -> None:
        self._ballast.unlink()


@contextmanager
def mounted(root: Path) -> Generator[Disk]:
    root.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(root)]
    subprocess.run(mounting, check=True)
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", str(root)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not may_mount():
        pytest.skip(MAY_NOT_MOUNT)
    with mounted(tmp_path / "disk") as disk:
        yield disk
