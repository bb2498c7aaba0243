"""One remembered clip: its note, its tokens, and where it can be seen."""

from typing import Self
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from memory.errors import ForeignTokens, TokensMissing
from memory.tokens import TokenStore
from services.api.access import Caller, Viewer
from services.api.errors import NoSuchClip
from services.api.given import Given, GivenHere
from streaming.messages import ClipNote, wall_time

routes = APIRouter(prefix="/v1/clips", tags=["clips"])


class Clip(ClipNote):
    """A clip's note, its wall time, and where it can be seen."""

    start_at: AwareDatetime
    end_at: AwareDatetime
    thumbnail: str
    video: str

    @classmethod
    def of(cls, note: ClipNote) -> Self:
        times = {
            "start_at": wall_time(note.epoch_at, note.span.start_ns),
            "end_at": wall_time(note.epoch_at, note.span.end_ns),
        }
        return cls.model_validate(dict(note) | times | places_of(note.clip_id))


class TokenArray(BaseModel):
    """One of the arrays that a clip's visual tokens are stored as."""

    shape: list[int]
    dtype: str


class ClipInFull(Clip):
    """A clip with the arrays of its visual tokens, by name; null where they are not stored."""

    tokens: dict[str, TokenArray] | None


@routes.get("/{clip_id}", summary="A clip: what was noted, and how its tokens are laid out")
def get_clip(clip_id: str, given: GivenHere, caller: Viewer) -> ClipInFull:
    note = note_of(clip_id, given, caller)
    clip = Clip.of(note)
    return ClipInFull(**dict(clip), tokens=_arrays_of(note, given.stores.tokens))


def note_of(clip_id: str, given: Given, caller: Caller) -> ClipNote:
    """The note of a clip that the caller may see.

    Raises:
        NoSuchClip
    """
    note = given.stores.record.clip(clip_id)
    if note is None or not caller.may_see(note.span.stream_id):
        raise NoSuchClip(clip_id)
    return note


def places_of(clip_id: str) -> dict[str, str]:
    """Where a clip can be seen."""
    place = f"{routes.prefix}/{quote(clip_id, safe=':')}"
    return {"thumbnail": f"{place}/thumbnail", "video": f"{place}/video"}


def _arrays_of(note: ClipNote, tokens: TokenStore) -> dict[str, TokenArray] | None:
    try:
        stored = tokens.get(note.clip_id, layout_id=note.layout_id, encoder_id=note.encoder_id)
    except (TokensMissing, ForeignTokens):
        return None
    return {
        name: TokenArray(shape=list(array.shape), dtype=str(array.dtype))
        for name, array in stored.arrays.items()
    }
