"""A service that runs answers through its socket, as the command would by itself."""

import logging
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory.dump import dump
from services.requests import Answered
from services.resident import Resident, ask_service
from services.settings import Settings, load_settings
from services.wiring import opened
from tests.services.asking import (
    NOTHING,
    PATIENCE_S,
    SCRIPTED,
    ask_request,
    exchanged,
    found_nothing,
    line_of,
    outcome,
    service,
    serving,
)
from tests.services.conftest import serve
from tests.services.test_cli import run

ASKER = """
import atexit, sys
from services.cli import app
from services.console import Tools
heavy = ("torch", "transformers", "faiss")
atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))
app(obj=Tools(load_engine=None))
"""
"""The command in a process that says what it loaded, and that has no model to load."""


@pytest.fixture
def served(settings: Settings) -> Iterator[Settings]:
    with service(settings.data):
        yield settings


def test_a_service_answers_as_the_command_does_by_itself(
    served: Settings, remembered_once: Path
) -> None:
    for arguments in (
        ("ask", "when: a bright light"),
        ("ask", "count: a bright light", "--json"),
        ("ask", "between 0:00:10 and 0:00:20 between:", "--json", "--stream", "cam"),
        ("ask", "when: green light", "--since", "0:10"),
        ("ask", "when: light", "--since", "2001-01-01", "--until", "2001-01-02", "--json"),
        ("ask", "when: light", "--since", "1:00:00"),
        ("ask", "when: light", "--stream", "door"),
        ("ask", "why " * 25_000, "--json"),
        ("search", "dim light", "--limit", "2", "--json"),
        ("search", "dim", "--since", "2001-01-01", "--until", "2001-01-02", "--json"),
    ):
        alone = outcome(*SCRIPTED, "--data", str(remembered_once), *arguments)
        code, said, complained = outcome("-c", ASKER, "--data", str(served.data), *arguments)

        *complaint, loaded = complained.splitlines(keepends=True)
        assert (code, said, "".join(complaint)) == alone
        assert loaded == "[]\n", "the asking process loads no model"


def test_without_a_service_the_command_answers_by_itself(settings: Settings) -> None:
    assert ask_service(settings, ask_request(), on_text=print) is None
    assert run(settings, "ask", "when: a bright light").exit_code == 0


def test_the_socket_of_a_killed_service_is_passed_over_and_replaced(settings: Settings) -> None:
    with service(settings.data) as process:
        process.kill()
        process.wait(PATIENCE_S)
    assert settings.socket_path.is_socket()

    assert run(settings, "ask", "when: a bright light").exit_code == 0
    with service(settings.data):
        assert isinstance(
            ask_service(settings, ask_request(), on_text=lambda piece: None), Answered
        )


def test_only_the_owner_may_ask_and_a_stop_leaves_nothing_behind(settings: Settings) -> None:
    with service(settings.data) as process:
        assert settings.socket_path.stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)

    assert process.returncode == 0
    assert not settings.socket_path.exists()


def test_a_data_directory_may_have_a_long_name(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path / ("deep" * 40))
    settings.data.mkdir()

    with serving(settings, found_nothing):
        assert ask_service(settings, ask_request(), on_text=print) == NOTHING


def test_where_no_socket_can_be_made_the_service_does_without(
    bare: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="services")
    bare.socket_path.mkdir()

    Resident(bare, found_nothing).run(threading.Event())

    assert "questions load the model for themselves" in caplog.text


def test_questions_good_and_bad_change_nothing_of_what_is_remembered(
    captured: Settings, captured_once: Path, tmp_path: Path
) -> None:
    undisturbed = load_settings(data=shutil.copytree(captured_once, tmp_path / "undisturbed"))
    serve(undisturbed)

    with service(captured.data, SCRIPTED_SLOWNESS_S="0.2"), opened(captured) as stores:
        while stores.record.counts("cam").clips < 5:
            assert exchanged(captured, b"refuse\n")["kind"] == "failed/1"
            assert exchanged(captured, line_of(ask_request()))["kind"] == "answered/1"

    with opened(captured) as stores, opened(undisturbed) as others:
        assert dump(stores.record) == dump(others.record)
