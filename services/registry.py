"""The streams that are watched: added by a person, found by capture, in this process or another.

The record holds each stream's name and its URL without credentials. Where there are any, the whole
URL lies beside it in a file that only its owner may read, so that the record, and whatever is
printed, can be shown to anybody.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from memory.errors import StreamExists, UnknownStream, from_os_error
from memory.record import Record
from memory.values import StreamSpec, WhenBehind
from services.errors import BadStreamName, NoSuchStream, StreamNameTaken
from streaming.sources import SourceOptions, check_source, open_source, parse_source, redact

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class NewStream:
    """What a person says of a stream. `starts_at` is when a recording was made, if that is told."""

    name: str
    url: str
    realtime: bool | None = None
    starts_at: datetime | None = None
    when_behind: WhenBehind | None = None
    is_backfill: bool = False


class Registry:
    """Adds, finds and removes streams."""

    def __init__(
        self,
        record: Record,
        credentials: Path,
        *,
        now_at: Callable[[], datetime],
        options: SourceOptions,
    ) -> None:
        """`options` are how sources are opened, by whoever opens them."""
        self.options = options
        self._record = record
        self._credentials = credentials
        self.now_at = now_at

    def add(self, new: NewStream) -> StreamSpec:
        """Register a stream. A file is opened once, so that a bad one is refused at once.

        Raises:
            BadStreamName, StreamNameTaken, SourceError, MediaError
        """
        if not NAME.fullmatch(new.name):
            raise BadStreamName(new.name)
        if self.has(new.name):
            raise StreamNameTaken(new.name)
        address = check_source(new.url, file_roots=self.options.file_roots)
        is_file = address.scheme == "file"
        if is_file:
            with open_source(new.url, self.options):
                pass
        path = parse_source(new.url).path  # links in it are followed whenever it is opened
        url = str(path) if path else new.url
        spec = StreamSpec(
            stream_id=new.name,
            url=redact(url),
            realtime=bool(new.realtime) if is_file else True,
            added_at=self.now_at(),
            epoch_at=new.starts_at,
            when_behind=new.when_behind,
            is_backfill=new.is_backfill,
        )
        if spec.url != url:
            self._seal(new.name, url)
        try:
            self._record.add_stream(spec)
        except StreamExists as error:
            raise StreamNameTaken(new.name) from error
        return spec

    def names(self) -> tuple[str, ...]:
        return tuple(spec.stream_id for spec in self._record.streams())

    def has(self, name: str) -> bool:
        try:
            self._record.stream(name)
        except UnknownStream:
            return False
        return True

    def stream(self, name: str) -> StreamSpec:
        try:
            return self._record.stream(name)
        except UnknownStream as error:
            raise NoSuchStream(name, known=self.names()) from error

    def begin(self, spec: StreamSpec) -> datetime:
        """Let the stream's media time begin now, and say when that was."""
        epoch_at = self.now_at()
        self._record.set_epoch(spec.stream_id, epoch_at)
        return epoch_at

    def url_of(self, spec: StreamSpec) -> str:
        """The whole URL, credentials included: for opening, never for showing."""
        try:
            return (self._credentials / spec.stream_id).read_text()
        except FileNotFoundError:
            return spec.url
        except OSError as error:
            raise from_os_error(error, str(self._credentials / spec.stream_id)) from error

    def forget_credentials(self, name: str) -> None:
        (self._credentials / name).unlink(missing_ok=True)

    def _seal(self, name: str, url: str) -> None:
        path = self._credentials / name
        try:
            self._credentials.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(url)
        except OSError as error:
            raise from_os_error(error, str(path)) from error
