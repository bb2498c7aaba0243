"""Writing a local file so that a crash leaves the old one or the new one, never a piece.

The bytes go to a neighbour, reach the disk, and take the name over; then the directory
reaches the disk. The neighbour's name is fixed, so what a crash left is overwritten by the
next attempt; one writer at a time per file is assumed.
"""

import contextlib
import os
from pathlib import Path

from memory.errors import from_os_error

UNFINISHED_SUFFIX = ".unfinished"


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file at `path`, making its directory where there is none."""
    unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise from_os_error(error, str(path)) from error


def sync_directory(directory: Path) -> None:
    """Bring names made and removed in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
