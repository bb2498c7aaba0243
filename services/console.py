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
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.logging import RichHandler

from memory.errors import StoreError
from models.errors import ModelError
from services.errors import (
    DataDirectoryBusy,
    DataDirectoryEmpty,
    NothingStored,
    QuestionError,
    ServiceError,
    SettingsError,
    StreamNameError,
    TimeError,
)
from services.settings import Settings, load_settings
from services.wiring import LoadEngine, load_engine
from streaming.errors import StreamingError
from streaming.messages import Verdict

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

LINE_CHARS = 200

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
    (NothingStored, EXIT_NOT_FOUND),
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


def console_of(stream: TextIO) -> Console:
    """A console as wide as its terminal; wide enough for a line to stay whole in a file."""
    return Console(file=stream, width=None if stream.isatty() else LINE_CHARS)


def tools_of(context: typer.Context) -> Tools:
    tools = context.obj
    assert isinstance(tools, Tools)
    return tools


@contextmanager
def reported(tools: Tools, *, as_json: bool) -> Generator[None]:
    """Turn our errors into one clear line, or one JSON object, and an exit code."""
    try:
        yield
    except OURS as error:
        if as_json:
            print_json({"error": {"kind": type(error).__name__, "message": str(error)}})
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


def log_to(console: Console, *, level: int) -> None:
    """Show what parts of ours report; libraries only when something is wrong."""
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False)
        form = "%(message)s"
    else:
        handler = logging.StreamHandler(console.file)
        form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format=form, force=True)
    for name in ("services", "streaming", "memory", "models"):
        logging.getLogger(name).setLevel(level)
