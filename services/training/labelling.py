"""Labels from people, as they write them: on the command line, or a line of JSON each.

{"stream": "door", "start": "0:12:30", "end": "0:12:34", "text": "a parcel is put down"}
{"stream": "door", "start": "14:00", "end": "14:10", "text": ""}       nothing happened
{"clip": "CLIP_ID", "text": "...", "question": "What colour is it?"}   the answer to a question
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from memory.errors import BadExample, LabelsMissing, from_os_error
from memory.labels import Label
from services.errors import NothingStored
from services.streams import span_of
from services.wiring import Stores
from streaming.messages import NS_PER_S, Span

INSTANT_NS = 2 * NS_PER_S
"""How long something takes whose end nobody named: it is seen in about two sampled pictures."""


class GivenLabel(BaseModel):
    """A label in a person's words: of a clip, or of a time of a stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: str | None = None
    stream: str | None = None
    start: str | float | None = None
    end: str | float | None = None
    text: str
    question: str = ""

    @model_validator(mode="after")
    def _must_say_where(self) -> Self:
        if (self.clip is None) == (self.stream is None or self.start is None):
            raise ValueError("it must name a clip, or a stream and a start")
        return self


def read_given(path: Path) -> list[GivenLabel]:
    """The labels of a file.

    Raises:
        StoreError: it cannot be read, or a line of it is no label.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise LabelsMissing(path) from error
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    given: list[GivenLabel] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                given.append(GivenLabel.model_validate(json.loads(line)))
            except (ValidationError, ValueError) as error:
                reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
                raise BadExample(path, line=number, reason=str(reason)) from error
    return given


def label_of(stores: Stores, given: GivenLabel, *, now_at: datetime) -> Label:
    """The label in media time.

    Raises:
        TimeError, NoSuchStream, NothingStored
    """
    return Label(
        span=_span_of(stores, given),
        text=" ".join(given.text.split()),
        question=" ".join(given.question.split()),
        labelled_at=now_at,
    )


def _span_of(stores: Stores, given: GivenLabel) -> Span:
    if given.clip is not None:
        note = stores.record.clip(given.clip)
        if note is None:
            raise NothingStored(given.clip, "its start", "its end")
        return note.span
    assert given.stream is not None
    assert given.start is not None
    end = None if given.end is None else _as_moment(given.end)
    span = span_of(stores, given.stream, _as_moment(given.start), end)
    if end is None:
        end_ns = min(span.end_ns, span.start_ns + INSTANT_NS)
        span = span.model_copy(update={"end_ns": end_ns})
    if not stores.record.clips([span]) and not stores.record.segments([span]):
        raise NothingStored(given.stream, str(given.start), end or "the end")
    return span


def _as_moment(given: str | float) -> str:
    """A number counts seconds from the start of the footage."""
    return given if isinstance(given, str) else f"{given:.3f}"
