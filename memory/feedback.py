"""What people say of answers and alerts: right or wrong. Kept in the record, to learn from.

    answer    ANSWER_ID                              a `KeptAnswer`, for a while
    mark      alert:ALERT_ID or answer:ANSWER_ID     a `Mark`

A mark holds what it is about, so it stays when the list of alerts or the answer is gone. A thing
has one mark: whoever marks it again changes that. Forgetting footage forgets the answers and marks
that rest on it.
"""

from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from memory.bodies import parsed
from memory.documents import Documents, Key
from memory.spans import outside, overlaps_any
from streaming.messages import Alert, Answer, Span

KEPT = timedelta(days=30)  # answers, for somebody to mark
MOST_DROPPED = 100  # of older ones, whenever one is kept
ID_TIME = "%Y%m%dT%H%M%S"
"""With what an answer's id begins, so that ids are in order of time."""


class KeptAnswer(BaseModel):
    """An answer, and when its question was asked. The id begins with that (`ID_TIME`, in UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["kept_answer/1"] = "kept_answer/1"
    answer_id: str
    asked_at: AwareDatetime
    answer: Answer


class Mark(BaseModel):
    """Whether an alert was true or an answer right, who said so, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: Annotated[Alert | KeptAnswer, Field(discriminator="kind")]
    is_right: bool
    note: str = ""
    marked_at: AwareDatetime
    marked_by: str


class Feedback:
    """Answers and marks, in the documents of a record. Errors: `memory.errors`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def keep(self, answer: KeptAnswer) -> None:
        """Keep an answer for somebody to mark, and drop some that are older than `KEPT`."""
        before = (answer.asked_at.astimezone(UTC) - KEPT).strftime(ID_TIME)
        old = self._documents.all("answer", before=before, first=MOST_DROPPED)
        changed = dict[Key, str | None].fromkeys(Key("answer", name) for name in old)
        changed[Key("answer", answer.answer_id)] = answer.model_dump_json()
        self._documents.swap({}, changed)

    def answer(self, answer_id: str) -> KeptAnswer | None:
        body = self._documents.get(Key("answer", answer_id))
        return None if body is None else parsed(KeptAnswer, body)

    def answers(self, *, last: int, before: str | None = None) -> list[KeptAnswer]:
        """The last answers, of those before an id if so said, in order of time."""
        found = self._documents.all("answer", before=before, last=last)
        return [parsed(KeptAnswer, body) for body in found.values()]

    def mark(self, mark: Mark) -> None:
        """Keep a mark, instead of an earlier one of the same thing."""
        self._documents.swap({}, {_mark_key(mark.about): mark.model_dump_json()})

    def mark_of(self, about: Alert | KeptAnswer) -> Mark | None:
        body = self._documents.get(_mark_key(about))
        return None if body is None else parsed(Mark, body)

    def marks(self) -> Iterator[Mark]:
        """All of them: those of alerts, then those of answers."""
        return (parsed(Mark, body) for body in self._documents.all("mark").values())

    def forget(self, span: Span) -> None:
        """Delete answers and marks that rest on a span. Repeating it is harmless."""
        marks = [_mark_key(mark.about) for mark in self.marks() if _rests_on(mark.about, span)]
        answers = [
            Key("answer", name)
            for name, body in self._documents.all("answer").items()
            if _rests_on(parsed(KeptAnswer, body), span)
        ]
        self._documents.swap({}, dict.fromkeys([*marks, *answers]))


def _mark_key(about: Alert | KeptAnswer) -> Key:
    if isinstance(about, Alert):
        return Key("mark", f"alert:{about.alert_id}")
    return Key("mark", f"answer:{about.answer_id}")


def _rests_on(about: Alert | KeptAnswer, span: Span) -> bool:
    """Whether it shows something of a span, or is about nothing else."""
    if isinstance(about, Alert):
        return overlaps_any(about.span, [span])
    answer = about.answer
    asked = answer.coverage.asked
    return any(overlaps_any(one.span, [span]) for one in answer.evidence) or (
        bool(asked) and not any(outside(one, [span]) for one in asked)
    )
