"""Ask a service that runs, in this process or one of its own, in good and in bad manners."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from services import resident
from services.requests import (
    AskRequest,
    FoundClips,
    OnText,
    Request,
    Result,
    refuse_early,
)
from services.resident import Resident
from services.settings import Settings, load_settings
from services.wiring import now_at
from streaming.messages import Answer, Coverage, Verdict
from tests.conftest import ROOT

PATIENCE_S = 60.0
"""What waits for something waits so long before it is given up; no test takes that time."""
SCRIPTED = ("-m", "tests.services.scripted_service")
NOTHING = FoundClips(clips=())


def ask_request(text: str = "when: a bright light", **changes: Any) -> AskRequest:
    return AskRequest.model_validate({"text": text, "asked_at": now_at(), **changes})


def answer_saying(*pieces: str) -> Answer:
    coverage = Coverage(asked=(), watched_ns=0, asked_ns=0)
    return Answer(
        question="?",
        intent="when",
        text="".join(pieces),
        verdict=Verdict.FOUND,
        coverage=coverage,
        model_id="m",
    )


def until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.02)):
        if is_so():
            return
        pause.wait(0.02)
    pytest.fail("it did not come about")


def listens(settings: Settings) -> bool:
    with (
        socket.socket(socket.AF_UNIX) as connection,
        resident.address_of(settings.socket_path) as at,
    ):
        return connection.connect_ex(at) == 0


def connected(settings: Settings) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    connection.connect(str(settings.socket_path))
    return connection


def line_of(request: Request) -> bytes:
    return request.model_dump_json().encode() + b"\n"


def exchanged(settings: Settings, line: bytes) -> dict[str, Any]:
    """The last reply to a line of any bytes, which who declines it may not wait for."""
    with connected(settings) as connection, connection.makefile("rb") as replies:
        with suppress(BrokenPipeError):
            connection.sendall(line)
        return json.loads(replies.readlines()[-1])


def python(*arguments: str, **changes: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, **changes},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(*arguments: str) -> tuple[int, str, str]:
    with python(*arguments) as process:
        said, complained = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said, complained


@contextmanager
def service(data: Path, **changes: str) -> "Generator[subprocess.Popen[str]]":
    """`longwatch up` in a process of its own, from when it answers on."""
    with python(*SCRIPTED, "--data", str(data), "up", "--json", **changes) as process:
        try:
            until(lambda: listens(load_settings(data=data)) or process.poll() is not None)
            yield process
        finally:
            process.terminate()
            _, said = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in said


@contextmanager
def serving(
    settings: Settings, respond: Callable[[Request, OnText], Result], *, at_once: int = 1
) -> Generator[threading.Event]:
    """A resident in this process; setting the event stops it."""
    stop = threading.Event()
    resident = Resident(settings, respond, at_once=at_once)
    thread = threading.Thread(target=resident.run, args=(stop,))
    thread.start()
    try:
        until(lambda: listens(settings))
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert not settings.socket_path.exists()


def found_nothing(request: Request, on_text: OnText) -> Result:
    refuse_early(request)
    return NOTHING
