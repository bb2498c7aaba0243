"""Texts that may not lie on the disk in clear: addresses with passwords, each under a name.

They are encrypted and authenticated by Fernet, under a key that lies elsewhere: in the settings, or
in a file, which is made when a key is first needed. There may be several keys: the first one seals,
all of them open. What is found in clear, as an earlier version left it, or sealed by another key
than the first, is sealed anew when it is read.
"""

import base64
import binascii
import fcntl
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from memory.errors import StoreError, from_os_error
from services.errors import SecretUnreadable, SettingsError, reason_of

KEY_BYTES = 32
OWNER_ONLY = 0o600
FOLDER_MODE = 0o700
SETTING = "LONGWATCH_SECRET_KEY"
UNUSABLE = "the key in {} cannot be used: {}"
IN_CLEAR = b":"  # every address has one, and nothing that Fernet writes

log = logging.getLogger(__name__)


def keys_of(text: str) -> tuple[str, ...]:
    """The keys that a setting or a file holds, with commas or spaces between them.

    Raises:
        ValueError
    """
    keys = tuple(text.replace(",", " ").split())
    if not keys or not all(map(_is_key, keys)):
        raise ValueError(f"it must be the base64 of {KEY_BYTES} bytes; with commas between several")
    return keys


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


class Secrets:
    """Sealed texts in a folder. Safe to call from several processes.

    `key` is what the settings hold; without, it is in `key_file`, which is read each time, so that
    a key that was lost and given back is found.
    """

    def __init__(self, folder: Path, *, key: str | None, key_file: Path) -> None:
        self._folder = folder
        self._key = key
        self._key_file = key_file

    @property
    def where(self) -> str:
        """Where the key is, for people."""
        return SETTING if self._key else str(self._key_file)

    def put(self, name: str, text: str) -> None:
        """Seal a text under a name, in place of what was there.

        Raises:
            SettingsError, StoreError
        """
        token = MultiFernet(self._keys() or [self._made()]).encrypt(text.encode())
        path = self._folder / name
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            descriptor, aside = tempfile.mkstemp(dir=self._folder, prefix=".")  # its owner's only
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(token)
                    file.flush()
                    os.fsync(file.fileno())
                Path(aside).replace(path)
            except OSError:
                Path(aside).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise from_os_error(error, str(path)) from error

    def get(self, name: str) -> str | None:
        """The text under a name; None if there is none.

        Raises:
            SecretUnreadable
        """
        opened = self._opened(name)
        if opened is None:
            return None
        text, is_current = opened
        if not is_current:
            try:
                self.put(name, text)
            except (StoreError, SettingsError) as error:
                log.warning("the credentials of %s are not sealed anew: %s", name, error)
        return text

    def seal_all(self) -> None:
        """Seal anew what is in clear, or sealed by another key than the first."""
        for name in self.names():
            with suppress(SecretUnreadable):  # whoever needs it says so
                self.get(name)

    def names(self, *, until_s: float | None = None) -> list[str]:
        """What there is, or what of that was written before a time."""
        try:
            paths = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
            return sorted(
                path.name for path in paths if until_s is None or path.stat().st_mtime < until_s
            )
        except FileNotFoundError:
            return []

    def unreadable(self) -> list[SecretUnreadable]:
        """What cannot be opened, and why. Looks, and changes nothing."""
        found: list[SecretUnreadable] = []
        for name in self.names():
            try:
                self._opened(name)
            except SecretUnreadable as error:
                found.append(error)
        return found

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def _opened(self, name: str) -> tuple[str, bool] | None:
        """A text, and whether it is sealed as it would be now."""
        try:
            held = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretUnreadable(name, reason=reason_of(error)) from error
        try:
            if IN_CLEAR in held:
                return held.decode(), False
            keys = self._keys()
        except UnicodeDecodeError as error:
            raise SecretUnreadable(name, reason="they are damaged") from error
        except SettingsError as error:
            raise SecretUnreadable(name, reason=str(error)) from error
        for key in keys:
            with suppress(InvalidToken):
                return key.decrypt(held).decode(), key is keys[0]
        key = f"the key in {self.where}"
        reason = f"{key} did not seal them, or they are damaged" if keys else f"{key} is missing"
        raise SecretUnreadable(name, reason=reason)

    def _keys(self) -> Sequence[Fernet]:
        """The keys, of which the first one seals; none where no file was made yet."""
        try:
            text = self._key or self._key_file.read_text()
            return [Fernet(key) for key in keys_of(text)] if text else []
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SettingsError(UNUSABLE.format(self.where, reason_of(error))) from error
        except ValueError as error:
            raise SettingsError(UNUSABLE.format(self.where, error)) from error

    def _made(self) -> Fernet:
        """A key for the file that has none. Of several who come at once, one makes it."""
        path = self._key_file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not file.read():
                    file.write(Fernet.generate_key() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise from_os_error(error, str(path)) from error
        return self._keys()[0]
