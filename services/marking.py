"""What a person at this machine says of an alert or an answer: how both are marked."""

import os
import pwd
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from memory.feedback import Feedback, KeptAnswer, Mark
from services.console import Tools, print_json, reported
from services.wiring import Stores, now_at, opened
from streaming.messages import Alert


class Truth(StrEnum):
    TRUE = "true"
    FALSE = "false"


Is = Annotated[Truth, typer.Argument(metavar="true|false", help="Whether it is right.")]
Note = Annotated[str, typer.Option(help="What it should have been, or anything else.")]


def keep_mark(
    tools: Tools,
    find: Callable[[Stores], Alert | KeptAnswer],
    truth: Truth,
    note: str,
    *,
    as_json: bool,
) -> None:
    with reported(tools, as_json=as_json), opened(tools.settings) as stores:
        made = Mark(
            about=find(stores),
            is_right=truth is Truth.TRUE,
            note=note,
            marked_at=now_at(),
            marked_by=user_name(),
        )
        Feedback(stores.record.documents).mark(made)
        if as_json:
            print_json(mark_json(made))
        else:
            tools.out.print(f"marked{said_of(made)}", markup=False, highlight=False)


def mark_json(mark: Mark | None) -> dict[str, Any] | None:
    return None if mark is None else mark.model_dump(mode="json", exclude={"about"})


def said_of(mark: Mark | None) -> str:
    """A mark, to stand behind what it is about."""
    if mark is None:
        return ""
    note = f": {mark.note}" if mark.note else ""
    return f"  [{'true' if mark.is_right else 'false'}, {mark.marked_by}{note}]"


def user_name() -> str:
    """Who runs this command, as the machine knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
