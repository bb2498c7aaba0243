"""How a process logs: text for people, or one JSON object a line for programs (LONGWATCH_LOG).

    {"time": "2025-03-01T14:00:00.123+00:00", "level": "warning", "logger": "services.worker",
     "message": "...", "service": "analyse", "stream_id": "door", "clip_id": "...", "error": "..."}

`stream_id` and `clip_id` stand there where a record has them (`about`), `trace_id` where it was
logged while working for a trace, `error` where an exception came with it, whole, with its
traceback. Times are those of the machine, in UTC.
"""

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from services import tracing

OURS = ("services", "streaming", "memory", "models")
ABOUT = ("stream_id", "clip_id", "trace_id")


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class JsonFormatter(logging.Formatter):
    """One JSON object for each record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "service": self._service,
        }
        given = vars(record)
        if (context := tracing.scope().context) is not None:
            line["trace_id"] = context.trace_id
        line |= {name: given[name] for name in ABOUT if name in given}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def about(
    *, stream_id: str | None = None, clip_id: str | None = None, trace_id: str | None = None
) -> dict[str, str]:
    """What a record is about, as `extra` of a call that logs; and what a span is about."""
    given = {"stream_id": stream_id, "clip_id": clip_id, "trace_id": trace_id}
    return {name: value for name, value in given.items() if value is not None}


def log_to(
    console: Console,
    *,
    level: int,
    form: LogFormat = LogFormat.TEXT,
    service: str = "longwatch",
) -> None:
    """Show what parts of ours report; libraries only when something is wrong."""
    if form is LogFormat.JSON:
        handler: logging.Handler = logging.StreamHandler(console.file)
        handler.setFormatter(JsonFormatter(service))
    elif console.is_terminal:
        handler = RichHandler(console=console, show_path=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
