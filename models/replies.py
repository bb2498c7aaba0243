"""What a model writes, read: the same for every engine.

A model writes JSON where it is asked to, and may run out of words in the middle of it.
"""

from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from models.errors import UnparsableReply
from models.schemas import LISTED_BY, Note

MAX_NOTE_TOKENS, MAX_PLAN_TOKENS, MAX_ANSWER_TOKENS = 256, 128, 160
MAX_ANSWER_CLIPS = 2
"""Clips whose tokens are read while an answer is written; what training shows at most."""

Reply = TypeVar("Reply", bound=BaseModel)


def parse_reply(task: str, schema: type[Reply], reply: str) -> Reply:
    """Read JSON; of a reply that broke off, what is whole counts, and the item it broke off in not.

    Raises:
        UnparsableReply: not JSON, or JSON of another shape.
    """
    try:
        value = from_json(reply, allow_partial=True)
        try:
            return schema.model_validate(value)
        except ValidationError:
            if not _broke_off(reply):
                raise
            return schema.model_validate(_without_last_items(value))
    except (ValidationError, ValueError) as error:
        raise UnparsableReply(task, reply) from error


def parse_note(reply: str) -> Note:
    """Read a note. Where its text lists its events, but for some, all are what it calls them.

    What a list of events says again is said from memory of what was seen, and not of what was
    written: where the two differ in a few, the text is right more often (docs/adr/0038).

    Raises:
        UnparsableReply: not JSON, or JSON of another shape.
    """
    note = parse_reply("note", Note, reply)
    listed, called = note.text.split(LISTED_BY), [event.text for event in note.events]
    num_alike = sum(one == other for one, other in zip(listed, called, strict=False))
    is_list = len(listed) == len(called) and 2 * num_alike >= len(called) and all(listed)
    if not is_list or sorted(listed) == sorted(called):
        return note
    events = (
        event.model_copy(update={"text": text})
        for event, text in zip(note.events, listed, strict=True)
    )
    return note.model_copy(update={"events": tuple(events)})


def _broke_off(reply: str) -> bool:
    try:
        from_json(reply)
    except ValueError:
        return True
    return False


def _without_last_items(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The object with the last item of its last list left out, where a reply breaks off."""
    if not isinstance(value, dict) or not value:
        return value
    fields = cast(dict[str, Any], value)
    last, items = list(fields.items())[-1]
    return {**fields, last: items[:-1]} if isinstance(items, list) else fields
