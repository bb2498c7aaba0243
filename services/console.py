"""What all commands share: settings, exit codes, errors in one voice, and output as JSON.

Exit codes:
    0   done
    1   failed
    2   used wrongly: a bad name, time, question or option
    3   nothing found: no moment, no clip, no footage
    4   the time asked about was not watched
    5   busy: another service runs on the data directory
"""

import json
import logging
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from memory.errors import StoreError
from models.errors import ModelError
from services.errors import (
    DataDirectoryBusy,
    DataDirectoryEmpty,
    FeedbackError,
    NoSuchFiles,
    NothingStored,
    QuestionError,
    RuleError,
    ServiceError,
    SettingsError,
    StreamNameError,
    TimeError,
)
from services.logs import LogFormat
from services.settings import Settings, load_settings
from services.wiring import LoadEngine, load_engine
from streaming.errors import StreamingError
from streaming.messages import Verdict

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

LINE_CHARS = 200
STOPPING = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_NOT_WATCHED = 4
EXIT_BUSY = 5

EXIT_OF_VERDICT = {
    Verdict.FOUND: 0,
    Verdict.NOT_FOUND: EXIT_NOT_FOUND,
    Verdict.NOT_VISIBLE: EXIT_NOT_FOUND,
    Verdict.NOT_WATCHED: EXIT_NOT_WATCHED,
}
EXIT_OF_ERROR: tuple[tuple[type[Exception], int], ...] = (
    (QuestionError, EXIT_USAGE),
    (TimeError, EXIT_USAGE),
    (StreamNameError, EXIT_USAGE),
    (SettingsError, EXIT_USAGE),
    (RuleError, EXIT_USAGE),
    (FeedbackError, EXIT_USAGE),
    (NothingStored, EXIT_NOT_FOUND),
    (NoSuchFiles, EXIT_NOT_FOUND),
    (DataDirectoryEmpty, EXIT_NOT_FOUND),
    (DataDirectoryBusy, EXIT_BUSY),
)
OURS = (ServiceError, StreamingError, StoreError, ModelError)


@dataclass(frozen=True, slots=True)
class Tools:
    """What commands work with; a test gives its own."""

    load_engine: LoadEngine = load_engine
    settings: Settings = field(default_factory=load_settings)
    out: Console = field(default_factory=lambda: console_of(sys.stdout))
    err: Console = field(default_factory=lambda: console_of(sys.stderr))

    def with_settings(self, *, data: Path | None, model: Path | None) -> "Tools":
        """The same, with what the command line overrules."""
        given = {name: value for name, value in (("data", data), ("model", model)) if value}
        return replace(self, settings=self.settings.model_copy(update=given))

    def with_checked(self, **given: str | None) -> "Tools":
        """The same, with settings that an option gave; None gives nothing.

        Raises:
            SettingsError
        """
        given = {name: value for name, value in given.items() if value is not None}
        checked = load_settings(**given).model_dump(include=set(given))
        return replace(self, settings=self.settings.model_copy(update=checked))


def console_of(stream: TextIO) -> Console:
    """A console as wide as its terminal; wide enough for a line to stay whole in a file."""
    return Console(file=stream, width=None if stream.isatty() else LINE_CHARS)


def tools_of(context: typer.Context) -> Tools:
    tools = context.obj
    assert isinstance(tools, Tools)
    return tools


@contextmanager
def reported(tools: Tools, *, as_json: bool, logs: bool = False) -> Generator[None]:
    """Turn our errors into one clear line, or one JSON object, and an exit code.

    `logs` is for services: what ends one belongs into its log where programs read that.
    """
    try:
        yield
    except OURS as error:
        if as_json:
            print_json({"error": {"kind": type(error).__name__, "message": str(error)}})
        elif logs and tools.settings.log is LogFormat.JSON:
            log.error("%s: %s", type(error).__name__, error)
        else:
            tools.err.print(f"[bold]error:[/] {escaped(str(error))}", highlight=False)
        raise typer.Exit(exit_code_of(error)) from error


def exit_code_of(error: Exception) -> int:
    return next((code for kind, code in EXIT_OF_ERROR if isinstance(error, kind)), EXIT_FAILED)


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def escaped(text: str) -> str:
    """Text that rich prints as it is."""
    return text.replace("[", r"\[")


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Generator[None]:
    """Let the first Ctrl-C or SIGTERM stop cleanly, and the second one at once."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, on_signal) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
