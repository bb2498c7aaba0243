"""The services as processes of their own, with the scripted engine: asked, killed and stopped."""

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import ROOT
from tests.services.asking import PATIENCE_S
from tests.streaming.servers import free_port

SCRIPTED = ("-m", "tests.services.scripted_service")


class Got(NamedTuple):
    status: int
    content_type: str
    text: str


class Process:
    """One command that runs, and the log that it writes."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        program: Sequence[str] = SCRIPTED,
    ) -> None:
        self.port, self.api_port = free_port(), free_port()
        self._log = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=ROOT,
                env={
                    "LONGWATCH_HEALTH": f"127.0.0.1:{self.port}",
                    "LONGWATCH_LISTEN": f"127.0.0.1:{self.api_port}",
                    **environment,
                },
                stdout=out,
                stderr=out,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def get(self, path: str) -> Got:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
                return Got(reply.status, reply.headers["Content-Type"], reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Got(error.code, error.headers["Content-Type"], error.read().decode())
        except (OSError, http.client.HTTPException) as error:
            return Got(0, "", str(error))

    def clock_at(self) -> datetime:
        """What its wall clock says, which the head of each reply tells."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/live", timeout=10) as reply:
            return parsedate_to_datetime(reply.headers["Date"])

    def until_ready(self) -> None:
        until(lambda: self.get("/v1/ready").status == 200, self)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait(PATIENCE_S)

    def terminate(self) -> None:
        self._popen.terminate()

    def freeze(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        return self._popen.wait(PATIENCE_S)


class Services:
    """Some services on one memory. `commands` are what each is started with, by its name.

    `own` is what single ones find in their environments beside what all find there.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        environment: Mapping[str, str],
        logs: Path,
        program: Sequence[str] = SCRIPTED,
        own: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._own = own or {}
        self.environment = {"LONGWATCH_LOG": "json", **environment}
        self._program = program
        self._commands = commands
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, Process] = {}

    def __getitem__(self, name: str) -> Process:
        return self._processes[name]

    def start(self, *names: str) -> None:
        for name in names or self._commands:
            self._processes[name] = Process(
                self._commands[name],
                environment={**self.environment, **self._own.get(name, {})},
                log=self._logs / f"{name}.log",
                program=self._program,
            )

    def until_ready(self) -> None:
        for process in self._processes.values():
            process.until_ready()

    def stop(self) -> dict[str, int]:
        """End all of them well, and say with which codes they did."""
        for process in self._processes.values():
            process.terminate()
        codes = {name: process.wait() for name, process in self._processes.items()}
        self._processes.clear()
        return codes

    def clean_up(self) -> None:
        for process in self._processes.values():
            process.kill()

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What a command says beside the services."""
        return subprocess.run(
            [sys.executable, *self._program, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def log_of(self, name: str) -> list[dict[str, Any]]:
        lines = (self._logs / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


def until(is_so: Callable[[], bool], *processes: Process, within_s: float = PATIENCE_S) -> None:
    """Wait for something; fail at once when a process that it takes has ended."""
    give_up_s = time.monotonic() + within_s
    while not is_so():
        for process in processes:
            if process.has_ended:
                pytest.fail(f"a service ended:\n{process.log[-3000:]}")
        if time.monotonic() > give_up_s:
            pytest.fail("it did not come about:\n" + "\n".join(p.log[-2000:] for p in processes))
        time.sleep(0.05)


def measured(text: str, name: str, **labels: str) -> float | None:
    """A sample of what `/metrics` tells."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        given, _, rest = series.partition("{")
        if given == name and wanted <= set(rest.rstrip("}").split(",")):
            return float(value)
    return None
