"""Logs as JSON: one object a line, with what it is about."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from services.logs import OURS, LogFormat, about, log_to


@pytest.fixture
def file() -> Iterator[io.StringIO]:
    """What is logged, as JSON; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in OURS}
    file = io.StringIO()
    log_to(Console(file=file), level=logging.INFO, form=LogFormat.JSON, service="analyse")
    yield file
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_line_is_an_object_with_what_it_is_about(file: io.StringIO) -> None:
    log = logging.getLogger("services.worker")
    log.warning("%s: no\nwords", "door", extra=about(stream_id="door", clip_id="door:0-10:x"))
    line = json.loads(file.getvalue())

    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "services.worker",
        "message": "door: no\nwords",
        "service": "analyse",
        "stream_id": "door",
        "clip_id": "door:0-10:x",
    }


def test_an_error_brings_its_traceback_and_what_is_not_known_is_left_out(
    file: io.StringIO,
) -> None:
    try:
        _ = 1 // 0
    except ZeroDivisionError as error:
        logging.getLogger("streaming").error("it broke", exc_info=error)
    logging.getLogger("some.library").info("nobody wants to know")
    (line,) = map(json.loads, file.getvalue().splitlines())

    assert "ZeroDivisionError" in line["error"]
    assert "stream_id" not in line
