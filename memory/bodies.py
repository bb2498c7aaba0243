"""What records store as JSON, read back: a body that does not parse is damage, and says so."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from memory.errors import CorruptNote, DamagedRecord
from streaming.messages import ClipNote

Body = TypeVar("Body", bound=BaseModel)


def note_of(clip_id: str, note: str | bytes) -> ClipNote:
    try:
        return ClipNote.model_validate_json(note)
    except ValidationError as error:
        raise CorruptNote(clip_id, detail=str(error)) from error


def parsed(kind: type[Body], body: str | bytes) -> Body:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        detail = f"a {kind.__name__} in it does not parse: {error}"
        raise DamagedRecord("database", detail=detail) from error
