"""Recordings that were uploaded: files in the data directory, each of which is a stream.

Capture reads such a file as any other. It stays as it came until something of the stream is
forgotten: then all of it goes, for what was forgotten is in it.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from memory.errors import DiskFull, from_os_error
from memory.values import StreamSpec
from services.errors import BadStreamName, StreamNameTaken
from services.registry import NAME, NewStream, Registry
from services.settings import Settings
from streaming.containers import suffix_of
from streaming.footage import RESERVE_BYTES

ASIDE = ".part-"

_keeping = threading.Lock()


@contextmanager
def incoming(settings: Settings) -> Generator[IO[bytes]]:
    """A file to write an upload to; gone at the end, unless it was kept.

    Raises:
        StoreError
    """
    folder = settings.uploads_path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=ASIDE, buffering=0) as file:
            yield file
    except OSError as error:
        raise from_os_error(error, str(folder)) from error


def write(file: IO[bytes], data: bytes, *, reserve_bytes: int = RESERVE_BYTES) -> None:
    """Write some of an upload, where that leaves room for what else is written.

    Raises:
        DiskFull, OSError
    """
    if shutil.disk_usage(file.name).free < reserve_bytes + len(data):
        raise DiskFull(str(Path(file.name).parent))
    file.write(data)


def keep(file: IO[bytes], name: str, registry: Registry) -> StreamSpec:
    """Have a file that came be a stream of that name.

    Raises:
        BadStreamName, StreamNameTaken, SourceError, MediaError, StoreError
    """
    if not NAME.fullmatch(name):
        raise BadStreamName(name)
    written = Path(file.name)
    path = written.with_name(name + suffix_of(written, shown=name))
    with _keeping:
        if registry.has(name):
            raise StreamNameTaken(name)
        with suppress(FileNotFoundError):
            path.unlink()  # left behind by a process that was killed
        os.link(written, path)
        try:
            return registry.add(NewStream(name, str(path)))
        except BaseException:
            path.unlink()
            raise


def path_of(settings: Settings, spec: StreamSpec) -> Path | None:
    """Where a stream's upload is; None if it is no upload."""
    path = Path(spec.url)
    return path if path.parent == settings.uploads_path.absolute() else None


def drop(settings: Settings, spec: StreamSpec) -> None:
    """Delete the upload of a stream, if it is one."""
    if (path := path_of(settings, spec)) is not None:
        path.unlink(missing_ok=True)


def sweep(settings: Settings) -> None:
    """Delete what uploads left behind that were under way when the process was killed."""
    for path in settings.uploads_path.glob(f"{ASIDE}*"):
        path.unlink(missing_ok=True)
