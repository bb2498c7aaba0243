"""The footage store: encoded segments as files under any fsspec URL, a directory by default.

An address ("uri") is relative to the store, so the store can be moved:

    STREAM/DAY/START-END.mp4      media times in nanoseconds, the day of media time as d00000

Names are derived from spans: the same span written twice is one file, and a listing needs no
index. A local file appears whole or not at all, and is on the disk when `put` returns (written
aside, renamed, then one fsync, by which journalling file systems keep the contents and the new
name); other stores promise that themselves for single objects.

Knows neither video nor the bus. Other packages delete through it and read through `open_local`.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from streaming.errors import BadFootageAddress, FootageFull, FootageMissing, FootageUnavailable
from streaming.messages import NS_PER_S, Span

DAY_NS = 86_400 * NS_PER_S
RESERVE_BYTES = 64 * 2**20  # left free, so that the databases beside the footage can still write
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ASIDE = ".part"


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment as its name tells."""

    uri: str
    span: Span
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk with footage: what of it is used, by whatever, and how much may be."""

    used_bytes: int
    usable_bytes: int


class FootageStore:
    """Segments of all streams."""

    def __init__(self, url: str, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        """
        Args:
            reserve_bytes: how much of a local disk stays free; below it the store is full.
        """
        self.url = url
        self._reserve_bytes = reserve_bytes
        fs, root = url_to_fs(url)
        self._fs: Any = fs
        self._root = str(root).rstrip("/")
        self._is_local = isinstance(fs, LocalFileSystem)

    def put(self, data: bytes, *, span: Span, suffix: str = ".mp4") -> str:
        """Store a segment; its address is returned once it is safely there.

        Raises:
            FootageFull, FootageUnavailable
        """
        uri = address_of(span, suffix)
        try:
            if self._is_local:
                self._write_local(Path(self._root, uri), data)
            else:
                path = f"{self._root}/{uri}"
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._fs.pipe_file(path, data)
        except OSError as error:
            self._refuse(error)
        return uri

    @contextmanager
    def open_local(self, uri: str) -> Generator[Path]:
        """A path at which the segment can be read while the context lasts.

        Raises:
            FootageMissing, FootageUnavailable, BadFootageAddress
        """
        path = self._path(uri)
        if self._is_local:
            if not Path(path).exists():
                raise FootageMissing(uri)
            yield Path(path)
            return
        with tempfile.TemporaryDirectory(prefix="longwatch-") as scratch:
            copy = Path(scratch, uri.rpartition("/")[2])
            try:
                self._fs.get_file(path, str(copy))
            except FileNotFoundError as error:
                raise FootageMissing(uri) from error
            except OSError as error:
                raise FootageUnavailable(self.url, reason=_reason(error)) from error
            yield copy

    def head(self, uri: str, size_bytes: int) -> bytes:
        """The first bytes of a segment.

        Raises:
            FootageMissing, FootageUnavailable, BadFootageAddress
        """
        path = self._path(uri)
        try:
            return bytes(self._fs.cat_file(path, start=0, end=size_bytes))
        except FileNotFoundError as error:
            raise FootageMissing(uri) from error
        except OSError as error:
            raise FootageUnavailable(self.url, reason=_reason(error)) from error

    def delete(self, uri: str) -> None:
        """Remove a segment; one that is gone already is no error."""
        path = self._path(uri)
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FootageUnavailable(self.url, reason=_reason(error)) from error
        if self._is_local:
            with contextlib.suppress(OSError):  # not empty yet: other segments of the day
                Path(path).parent.rmdir()
                Path(path).parent.parent.rmdir()

    def segments(self, stream_id: str, *, from_ns: int = 0) -> list[StoredSegment]:
        """The segments of a stream that end after `from_ns`, in order of time."""
        first_day = f"d{max(0, from_ns // DAY_NS - 1):05}"  # one may begin the day before
        return [one for one in self.oldest(stream_id, first_day) if one.span.end_ns > from_ns]

    def oldest(self, stream_id: str, first_day: str = "") -> Iterator[StoredSegment]:
        """The segments of a stream in order of time; each day is looked at when it is reached."""
        for day in self._children(stream_id):
            if self._name(day) >= first_day:
                yield from sorted(
                    self._segments_of(stream_id, day),
                    key=lambda segment: (segment.span.start_ns, segment.span.end_ns),
                )

    def usage_bytes(self, stream_id: str | None = None) -> int:
        """How much is stored, of one stream or of all."""
        streams = [stream_id] if stream_id else [self._name(path) for path in self._children("")]
        return sum(segment.size_bytes for stream in streams for segment in self.segments(stream))

    def disk(self) -> Disk | None:
        """How full the disk is; None where it is none of this machine, or nothing is stored yet.

        Raises:
            FootageUnavailable
        """
        if not self._is_local:
            return None
        try:
            disk = shutil.disk_usage(self._root)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FootageUnavailable(self.url, reason=_reason(error)) from error
        return Disk(disk.total - disk.free, disk.total - self._reserve_bytes)

    def clean(self, stream_id: str) -> int:
        """Remove what an interrupted write left; returns how many files. For the sole writer."""
        if not self._is_local:
            return 0
        leftovers = list(Path(self._root, stream_id).glob(f"*/*{ASIDE}"))
        try:
            for path in leftovers:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise FootageUnavailable(self.url, reason=_reason(error)) from error
        return len(leftovers)

    def _write_local(self, target: Path, data: bytes) -> None:
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(target.parent).free
        if free_bytes < len(data) + self._reserve_bytes:
            raise OSError(errno.ENOSPC, f"{free_bytes // 2**20} MiB free")
        aside = target.with_name(target.name + ASIDE)
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                aside.replace(target)
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
            raise

    def _refuse(self, error: OSError) -> NoReturn:
        if error.errno in FULL:
            raise FootageFull(self.url, reason=_reason(error)) from error
        raise FootageUnavailable(self.url, reason=_reason(error)) from error

    def _path(self, uri: str) -> str:
        parts = uri.split("/")
        if len(parts) != 3 or any(part in ("", ".", "..") for part in parts) or "\\" in uri:
            raise BadFootageAddress(uri)
        return f"{self._root}/{uri}"

    def _children(self, below: str) -> list[str]:
        path = f"{self._root}/{below}".rstrip("/")
        try:
            return sorted(str(child) for child in self._fs.ls(path, detail=False, refresh=True))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise FootageUnavailable(self.url, reason=_reason(error)) from error

    def _segments_of(self, stream_id: str, day: str) -> Iterator[StoredSegment]:
        try:
            entries = self._fs.ls(day, detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise FootageUnavailable(self.url, reason=_reason(error)) from error
        for entry in entries:
            name = self._name(str(entry["name"]))
            span = _span_named(stream_id, name)
            if span is not None:
                uri = f"{stream_id}/{self._name(day)}/{name}"
                yield StoredSegment(uri=uri, span=span, size_bytes=int(entry["size"]))

    @staticmethod
    def _name(path: str) -> str:
        return path.rstrip("/").rpartition("/")[2]


def address_of(span: Span, suffix: str) -> str:
    """Where a span's segment lies in the store."""
    day = span.start_ns // DAY_NS
    return f"{span.stream_id}/d{day:05}/{span.start_ns:019}-{span.end_ns:019}{suffix}"


def _span_named(stream_id: str, name: str) -> Span | None:
    stem, _, suffix = name.partition(".")
    start, _, end = stem.partition("-")
    if suffix not in ("mp4", "mkv") or not (start.isdigit() and end.isdigit()):
        return None
    if int(start) >= int(end):
        return None
    return Span(stream_id=stream_id, start_ns=int(start), end_ns=int(end))


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
