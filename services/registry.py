"""The streams that are watched: added by a person, found by capture, in this process or another.

The record holds each stream's name and its URL without credentials. Where there are any, the whole
URL is sealed beside it, so that the record, and whatever is printed, can be shown to anybody.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from memory.errors import StreamExists, UnknownStream
from memory.record import Record
from memory.values import StreamSpec, WhenBehind
from services.errors import BadStreamName, NoSuchStream, SecretUnreadable, StreamNameTaken
from services.secrets import Secrets
from streaming.sources import HIDDEN, SourceOptions, check_source, open_source, parse_source, redact

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
        secrets: Secrets,
        *,
        now_at: Callable[[], datetime],
        options: SourceOptions,
    ) -> None:
        """`options` are how sources are opened, by whoever opens them."""
        self.options = options
        self._record = record
        self._secrets = secrets
        self.now_at = now_at

    def add(self, new: NewStream) -> StreamSpec:
        """Register a stream. A file is opened once, so that a bad one is refused at once.

        A stream whose credentials cannot be opened any more gets those that it is added with again.

        Raises:
            BadStreamName, StreamNameTaken, SourceError, MediaError, SettingsError, StoreError
        """
        if not NAME.fullmatch(new.name):
            raise BadStreamName(new.name)
        if (held := self._locked_out(new)) is not None:
            self._secrets.put(new.name, new.url)
            return held
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
        if HIDDEN in spec.url:
            self._secrets.put(new.name, url)
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
        """The whole URL, credentials included: for opening, never for showing.

        Raises:
            SecretUnreadable
        """
        url = self._secrets.get(spec.stream_id)
        if url is None and HIDDEN in spec.url:
            raise SecretUnreadable(spec.stream_id, reason="they are gone")
        return url or spec.url

    def forget_credentials(self, name: str) -> None:
        self._secrets.delete(name)

    def _locked_out(self, new: NewStream) -> StreamSpec | None:
        """The stream that is added again, if its credentials cannot be opened any more."""
        if not self.has(new.name):
            return None
        held = self.stream(new.name)
        try:
            if held.url == redact(new.url):
                self.url_of(held)
        except SecretUnreadable:
            return held
        return None
