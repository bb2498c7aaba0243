"""Where visual tokens live: one file per clip, under any fsspec URL.

    ROOT/STREAM/DAY/START-END.LAYOUT.tokens      day and times in media time

It keeps named arrays and knows nothing of what they mean, nor of torch. The same tokens give
the same bytes. A file is read back whole and checked; tokens of another layout or of other
weights are refused, since a model would read them as noise. Written locally, a file appears
at once or not at all; object stores promise the same of a single put.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from memory.array_file import Arrays, pack, unpack
from memory.durable import UNFINISHED_SUFFIX, write_durably
from memory.errors import DamagedTokens, ForeignTokens, TokensMissing, from_os_error
from memory.values import DAY_NS, Removed
from streaming.messages import Span

_SUFFIX = ".tokens"


@dataclass(frozen=True, slots=True, eq=False)
class StoredTokens:
    """The visual tokens of one clip: arrays, and what made them."""

    clip_id: str
    layout_id: str
    encoder_id: str
    arrays: Arrays


class _Piece(NamedTuple):
    path: str
    start_ns: int
    end_ns: int
    size_bytes: int


class TokenStore:
    """Visual tokens by clip id. Safe to call from several threads and processes.

    Clip ids are those of `streaming.messages.clip_id_of`; another is a `ValueError`.
    """

    def __init__(self, url: str) -> None:
        fs, root = fsspec.core.url_to_fs(url)
        self._fs: Any = fs
        self._root = str(root).rstrip("/")
        self._is_local = isinstance(fs, LocalFileSystem)

    def put(self, tokens: StoredTokens) -> int:
        """Store a clip's tokens, replacing those stored before, and return the size in bytes."""
        header = {
            "clip_id": tokens.clip_id,
            "layout_id": tokens.layout_id,
            "encoder_id": tokens.encoder_id,
        }
        data = pack(header, tokens.arrays)
        path = self._path(tokens.clip_id)
        if self._is_local:
            write_durably(Path(path), data)
            return len(data)
        try:
            self._fs.pipe_file(path, data)
        except OSError as error:
            raise from_os_error(error, path) from error
        return len(data)

    def get(self, clip_id: str, *, layout_id: str, encoder_id: str) -> StoredTokens:
        """A clip's tokens as they were put, if that layout and that encoder made them.

        Raises:
            TokensMissing, DamagedTokens, ForeignTokens
        """
        path = self._path(clip_id)
        try:
            header, arrays = unpack(self._fs.cat_file(path))
            stored = StoredTokens(arrays=arrays, **header)
        except FileNotFoundError as error:
            raise TokensMissing(clip_id) from error
        except OSError as error:
            raise from_os_error(error, path) from error
        except (ValueError, TypeError) as error:
            raise DamagedTokens(path, detail=str(error)) from error
        if stored.clip_id != clip_id:
            raise DamagedTokens(path, detail=f"it holds clip {stored.clip_id!r}")
        for what, expected, got in (
            ("layout", layout_id, stored.layout_id),
            ("encoder", encoder_id, stored.encoder_id),
        ):
            if got != expected:
                raise ForeignTokens(clip_id, what=what, expected=expected, got=got)
        return stored

    def has(self, clip_id: str) -> bool:
        return bool(self._fs.exists(self._path(clip_id)))

    def delete(self, clip_id: str) -> Removed:
        """Delete a clip's tokens. Tokens already gone are no error."""
        path = self._path(clip_id)
        try:
            size_bytes = int(self._fs.info(path)["size"])
        except FileNotFoundError:
            return Removed()
        return self._delete([_Piece(path, 0, 0, size_bytes)])

    def delete_span(self, span: Span) -> Removed:
        """Delete the tokens of every clip that overlaps the span, also half-written ones."""
        pieces = self._pieces(span.stream_id)
        return self._delete([p for p in pieces if span.overlaps(p.start_ns, p.end_ns)])

    def usage_bytes(self, stream_id: str | None = None) -> int:
        """How many bytes are stored, of one stream or of all."""
        return sum(piece.size_bytes for piece in self._pieces(stream_id or ""))

    def _path(self, clip_id: str) -> str:
        try:
            stream_id, times, layout_id = clip_id.split(":", 2)
            start_ns, end_ns = (int(time_ns) for time_ns in times.split("-"))
            Span(stream_id=stream_id, start_ns=start_ns, end_ns=end_ns)
        except ValueError as error:
            raise ValueError(f"not a clip id: {clip_id!r}") from error
        name = f"{start_ns:020}-{end_ns:020}.{quote(layout_id, safe='')}{_SUFFIX}"
        return f"{self._root}/{stream_id}/{start_ns // DAY_NS:06}/{name}"

    def _pieces(self, stream_id: str) -> list[_Piece]:
        folder = f"{self._root}/{stream_id}".rstrip("/")
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(folder, detail=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, folder) from error
        pieces = []
        for path, info in found.items():
            name = PurePosixPath(path).name.removesuffix(UNFINISHED_SUFFIX)
            times, _, _ = name.partition(".")
            start, _, end = times.partition("-")
            if name.endswith(_SUFFIX) and start.isdigit() and end.isdigit():
                pieces.append(_Piece(path, int(start), int(end), int(info["size"] or 0)))
        return pieces

    def _delete(self, pieces: list[_Piece]) -> Removed:
        for piece in pieces:
            try:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.rm_file(piece.path)
            except OSError as error:
                raise from_os_error(error, piece.path) from error
        if self._is_local:
            for folder in {Path(piece.path).parent for piece in pieces}:
                with contextlib.suppress(OSError):  # not empty: other clips of that day stay
                    folder.rmdir()
                    folder.parent.rmdir()
        return Removed(len(pieces), sum(piece.size_bytes for piece in pieces))
