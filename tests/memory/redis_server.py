"""A real Redis server for the tests: started for them, or the one that LONGWATCH_REDIS names.

Where neither is there, tests skip and say why, which CI does not accept (tests/conftest.py).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest

PROGRAM = "redis-server"
MISSING = f"{PROGRAM} is not on the path (Debian: apt-get install redis-server)"
START_S = 20.0


class ServerEnded(Exception):
    """The server ended by itself; the message is its log."""


class RedisServer:
    """A server of our own: in a directory of its own, behind a socket file, appending to disk."""

    def __init__(self, *options: str) -> None:
        if shutil.which(PROGRAM) is None:
            pytest.skip(MISSING)
        self._scratch = tempfile.TemporaryDirectory(prefix="redis-")  # a short path, for the socket
        self.directory = Path(self._scratch.name)
        self.socket = self.directory / "socket"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, prefix: str = "test:", *, user: str = "") -> str:
        return f"unix://{user}{self.socket}?prefix={prefix}"

    def start(self) -> None:
        """Start it, and wait until it has read back what it wrote."""
        self.socket.unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(PROGRAM, "--port", "0", "--unixsocket", str(self.socket)),
                    *("--dir", str(self.directory), "--appendonly", "yes", "--save", ""),
                    *self._options,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up_s = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None:
                raise ServerEnded((self.directory / "log").read_text())
            assert time.monotonic() < give_up_s
            time.sleep(0.01)

    def start_supervised(self) -> None:
        """Start it, and once more if it ends: Docker and systemd would."""
        try:
            self.start()
        except ServerEnded:
            self.start()

    def kill(self) -> None:
        """Kill it, and its child that rewrites its file."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        self._scratch.cleanup()

    def command(self, *arguments: str) -> str:
        """What redis-cli prints for a command."""
        return subprocess.run(
            ["redis-cli", "-s", str(self.socket), *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def wait_for(self, section: str, line: str) -> None:
        """Wait until a section of INFO has a line."""
        give_up_s = time.monotonic() + START_S
        while line not in self.command("INFO", section).splitlines():
            assert time.monotonic() < give_up_s, self.command("INFO", section)
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            # A user who may not even ask is one who is answered.
            return self.socket.exists() and self.command("PING").startswith(("PONG", "NOAUTH"))
        except subprocess.CalledProcessError:  # it ended after it had made its socket
            return False


def fresh_url(server: str) -> str:
    """The address of an empty record on a server that others use, too."""
    return f"{server}{'&' if '?' in server else '?'}prefix=test-{uuid.uuid4().hex}:"


def clear(url: str) -> None:
    """Delete every key under the prefix of an address."""
    import redis

    from memory.redis_client import address_of

    address = address_of(url)
    with redis.Redis.from_url(address.url) as server:
        for key in server.scan_iter(match=f"{address.prefix}*", count=1000):
            server.unlink(key)
