"""Run the service as its user does, in processes of its own, and read what it published."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path

import psutil

from services.settings import Settings
from services.wiring import now_ms
from streaming.bus import Record
from streaming.sqlite_bus import SqliteBus

STOP_S = 60.0


class Service:
    """One `longwatch` command that runs until the end of the block."""

    def __init__(self, settings: Settings, *words: str) -> None:
        command = [sys.executable, "-m", "services.cli", "--data", str(settings.data), *words]
        self._words = words
        self._popen = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._process = psutil.Process(self._popen.pid)

    def cpu_s(self) -> float:
        """Processor time that it has taken so far."""
        self.refuse_ended()
        times = self._process.cpu_times()
        return times.user + times.system

    def memory_bytes(self) -> int:
        return self._process.memory_info().rss

    def refuse_ended(self) -> None:
        if self._popen.poll() is not None:
            raise RuntimeError(f"longwatch {' '.join(self._words)} ended by itself")

    def stop(self) -> None:
        self._popen.send_signal(signal.SIGTERM)
        self._popen.wait(STOP_S)


@contextmanager
def service(settings: Settings, *words: str) -> Generator[Service]:
    started = Service(settings, *words)
    try:
        yield started
    finally:
        started.stop()


def is_ready(health: str) -> bool:
    """Whether the service that tells its health there is ready to work."""
    try:
        with urllib.request.urlopen(f"http://{health}/v1/ready", timeout=STOP_S) as reply:
            return reply.status == HTTPStatus.OK
    except OSError:
        return False


class Listener:
    """What was published on a topic of the data directory since it began to listen."""

    def __init__(self, path: Path, topic: str) -> None:
        self._bus = SqliteBus(path, now_ms=now_ms)
        self._consumer = self._bus.consumer(topic, group="benchmark")
        self.records: list[Record] = []
        self.close = self._bus.close

    def listen(self) -> Sequence[Record]:
        """All there is by now; `timestamp_ms` says when each was published."""
        while records := self._consumer.poll(max_records=1000, timeout_s=0):
            self.records += records
        return self.records


@contextmanager
def listening(settings: Settings, topic: str) -> Generator[Listener]:
    with closing(Listener(settings.bus_path, topic)) as listener:
        yield listener


def until(is_so: Callable[[], bool], *services: Service, within_s: float) -> None:
    """Wait for something, as long as the services that it takes run."""
    give_up_s = time.monotonic() + within_s
    while not is_so():
        for one in services:
            one.refuse_ended()
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"it did not come about within {within_s:g} s")
        time.sleep(0.1)
