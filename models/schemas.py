"""What the model is asked to write, as JSON schemas: any engine fills the same ones.

Times are seconds from the start of the clip, because that is what a model can see.
"""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Intent = Literal["when", "count", "order", "between", "state", "exists", "describe"]
Which = Literal["all", "first", "last"]

LISTED_BY = ", "
"""Stands between events in the text of a note that says no more than they do."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoteEvent(Strict):
    """An event; `start_s` and `end_s` count from the clip's start, and are negative before it."""

    start_s: float
    end_s: float
    text: str = Field(min_length=1)


class Note(Strict):
    """What happens in a clip."""

    text: str
    events: tuple[NoteEvent, ...] = ()

    def as_reply(self) -> str:
        """The note as a model is taught to write it."""
        return json.dumps(self.model_dump(), separators=(",", ":"))


class Plan(Strict):
    """How to answer a question from noted events.

    intent   what is asked for: the time(s) of an event, how often it happened, which of several
             came first, everything in a range, whether a state still holds, whether something
             happened at all, or a description
    events   the event(s) asked about, each as the note would put it; for `state`, the event
             that begins the state
    ended_by for `state`, the event that ends it
    which    for `when`: every occurrence, or only the first or the last
    """

    intent: Intent
    events: tuple[str, ...] = ()
    ended_by: tuple[str, ...] = ()
    which: Which = "all"
