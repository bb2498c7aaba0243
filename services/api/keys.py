"""Who may use the API: keys in a file of the data directory, of which only hashes are kept.

A key is 256 random bits, so its SHA-256 says nothing of it, and needs no salt. The file is written
by `longwatch key`, whole or not at all, and read again by a running API when it has changed.
"""

import base64
import fcntl
import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.api.errors import BadKeyName, KeyNameTaken, KeysDamaged, NoSuchKey
from services.errors import reason_of
from services.registry import NAME
from streaming.messages import StreamId

KEY_BYTES = 32
PREFIX = "lw_"  # so that whoever finds one, or a scanner of leaks, knows what it is
OWNER_ONLY = 0o600


class Role(StrEnum):
    """What a key may do. Each may also do what the one before may."""

    VIEWER = "viewer"
    """Ask, search, play, see alerts and rules."""
    OPERATOR = "operator"
    """Add streams, write rules, and read the measurements."""
    ADMIN = "admin"
    """Forget streams."""

    def includes(self, other: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


class Grant(BaseModel):
    """What a key may do, and with which streams; None: with all, also those to come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    streams: tuple[StreamId, ...] | None = None
    added_at: AwareDatetime
    sha256: str


GRANTS: TypeAdapter[list[Grant]] = TypeAdapter(list[Grant])


class KeyRing:
    """The keys of a data directory. May be used from any thread and process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, ...], dict[str, Grant]] | None = None

    def grants(self) -> list[Grant]:
        """All of them, by name.

        Raises:
            KeysDamaged
        """
        return sorted(self._by_hash().values(), key=lambda grant: grant.name)

    def find(self, key: str) -> Grant | None:
        """What a key may do; None if it is not known."""
        return self._by_hash().get(hash_of(key))

    def add(
        self,
        name: str,
        role: Role,
        *,
        streams: tuple[str, ...] | None,
        added_at: datetime,
        draw: Callable[[int], bytes],
    ) -> str:
        """Make a key, which nobody can read again later. `draw` gives random bytes.

        Raises:
            BadKeyName, KeyNameTaken, KeysDamaged
        """
        if not NAME.fullmatch(name):
            raise BadKeyName(name)
        key = PREFIX + base64.urlsafe_b64encode(draw(KEY_BYTES)).rstrip(b"=").decode()
        grant = Grant(name=name, role=role, streams=streams, added_at=added_at, sha256=hash_of(key))
        with self._changing():
            grants = self.grants()
            if any(one.name == name for one in grants):
                raise KeyNameTaken(name)
            self._write([*grants, grant])
        return key

    def remove(self, name: str) -> None:
        """Take a key back: from the next request on it opens nothing.

        Raises:
            NoSuchKey, KeysDamaged
        """
        with self._changing():
            grants = self.grants()
            left = [one for one in grants if one.name != name]
            if len(left) == len(grants):
                raise NoSuchKey(name)
            self._write(left)

    def _by_hash(self) -> dict[str, Grant]:
        """The keys as the file has them; read again only where it was replaced."""
        try:
            about = self._path.stat()
            seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            read = self._read
            if read is None or read[0] != seen:
                grants = GRANTS.validate_json(self._path.read_bytes())
                read = self._read = (seen, {one.sha256: one for one in grants})
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeysDamaged(self._path, reason=reason_of(error)) from error
        except ValidationError as error:
            raise KeysDamaged(self._path, reason="it is no list of keys") from error
        return read[1]

    @contextmanager
    def _changing(self) -> Generator[None]:
        """Let nobody else change the file meanwhile."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise KeysDamaged(self._path, reason=reason_of(error)) from error

    def _write(self, grants: list[Grant]) -> None:
        aside = self._path.with_suffix(".new")
        with suppress(FileNotFoundError):
            aside.unlink()
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(GRANTS.dump_json(grants, indent=1))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
