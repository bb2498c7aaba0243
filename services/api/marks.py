"""What people say of alerts and answers, over HTTP. Who says it is the name of their key."""

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from memory.feedback import Feedback, KeptAnswer, Mark
from services.api.access import Caller, Operator
from services.api.given import Given, GivenHere
from services.api.text import Text
from services.errors import NoSuchAnswer
from streaming.messages import Alert

MOST_NOTE_CHARS = 1000

routes = APIRouter(prefix="/v1/answers", tags=["questions"])


class ToMark(BaseModel):
    """Whether it is right, and what it should have been, or anything else."""

    model_config = ConfigDict(extra="forbid", strict=True)

    is_right: bool
    note: Annotated[Text, Field(max_length=MOST_NOTE_CHARS)] = ""


class ShownMark(BaseModel):
    """Whether somebody found it right, and who did."""

    is_right: bool
    note: str
    marked_at: AwareDatetime
    marked_by: str

    @classmethod
    def of(cls, mark: Mark) -> Self:
        return cls(**mark.model_dump(exclude={"about"}))


@routes.put("/{answer_id}/mark", summary="Say whether an answer is right")
def mark_answer(answer_id: str, said: ToMark, given: GivenHere, caller: Operator) -> ShownMark:
    kept = Feedback(given.stores.record.documents).answer(answer_id)
    if kept is None or not _may_see(caller, kept):
        raise NoSuchAnswer(answer_id)
    return keep_mark(kept, said, given, caller)


def keep_mark(about: Alert | KeptAnswer, said: ToMark, given: Given, caller: Caller) -> ShownMark:
    mark = Mark(
        about=about,
        is_right=said.is_right,
        note=said.note,
        marked_at=given.now_at(),
        marked_by=caller.name,
    )
    Feedback(given.stores.record.documents).mark(mark)
    return ShownMark.of(mark)


def _may_see(caller: Caller, kept: KeptAnswer) -> bool:
    """Whether all that an answer is about is there for the caller."""
    asked = kept.answer.coverage.asked
    return caller.streams is None or (
        bool(asked) and all(caller.may_see(span.stream_id) for span in asked)
    )
