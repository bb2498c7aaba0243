"""The summaries that are kept: documents of the record, a key for each stream, level and start.

One service writes them, and forgetting deletes them. How far a stream is summarised is a document,
too, which every writing of either expects to be as it was read: so nothing that was computed from
what is forgotten meanwhile is written afterwards.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from memory.bodies import parsed
from memory.documents import Documents, Key
from memory.spans import END_OF_TIME_NS
from memory.summaries import Level, Summary, around
from streaming.messages import Nanoseconds, Span

AT_ONCE = 1000  # deletions


class Reach(BaseModel):
    """How far a stream is summarised: whole minutes, hours and days before that are kept.

    Some may be missing, where something was forgotten. `added_at` tells a stream from an earlier
    one of its name; `forgettings` grows with each, so that no two states are the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    added_at: AwareDatetime
    until_ns: Nanoseconds = 0
    forgettings: int = 0


class Place(NamedTuple):
    """A stream's reach, and how that was written."""

    stream_id: str
    reach: Reach
    as_read: str


class SummaryBook:
    """Summaries in the documents of a record. Errors: `memory.errors`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, stream_id: str, level: Level, start_ns: int) -> Summary | None:
        body = self._documents.get(_key(stream_id, level, start_ns))
        return None if body is None else parsed(Summary, body)

    def place(self, stream_id: str) -> Place | None:
        """How far the stream is summarised; None if it never was."""
        body = self._documents.get(_reach_key(stream_id))
        return None if body is None else Place(stream_id, parsed(Reach, body), body)

    def begin(self, stream_id: str, added_at: datetime) -> Place:
        """How far the stream is summarised that was added then."""
        while True:
            place = self.place(stream_id)
            if place is not None and place.reach.added_at == added_at:
                return place
            body = Reach(added_at=added_at).model_dump_json()
            expected = place and place.as_read
            self._documents.swap({_reach_key(stream_id): expected}, {_reach_key(stream_id): body})

    def put(
        self, place: Place, summaries: Mapping[tuple[Level, int], Summary], *, until_ns: int
    ) -> bool:
        """Write summaries of a stream, and how far it is summarised with them.

        False where the place is no longer as it was read: nothing is written then.
        """
        reach = place.reach.model_copy(update={"until_ns": until_ns})
        changed: dict[Key, str | None] = {
            _key(place.stream_id, level, start_ns): summary.model_dump_json()
            for (level, start_ns), summary in summaries.items()
        }
        key = _reach_key(place.stream_id)
        return self._documents.swap({key: place.as_read}, {**changed, key: reach.model_dump_json()})

    def forget(self, span: Span) -> None:
        """Delete the summaries that a span may have a part in. Repeating it is harmless."""
        key = _reach_key(span.stream_id)
        while (place := self.place(span.stream_id)) is not None:
            update = {"forgettings": place.reach.forgettings + 1}
            reach = place.reach.model_copy(update=update)
            if self._documents.swap({key: place.as_read}, {key: reach.model_dump_json()}):
                self._delete(list(_touched(span, reach.until_ns)))
                if span.start_ns == 0 and span.end_ns >= END_OF_TIME_NS:
                    self._documents.swap({}, {key: None})
                return

    def _delete(self, keys: list[Key]) -> None:
        for first in range(0, len(keys), AT_ONCE):
            self._documents.swap({}, dict.fromkeys(keys[first : first + AT_ONCE]))


def _touched(span: Span, until_ns: int) -> Iterator[Key]:
    wide = around(around(span))  # clips lie partly inside, and decide about their neighbours
    for level in Level:
        length_ns = level.length_ns
        first_ns = wide.start_ns // length_ns * length_ns
        for start_ns in range(first_ns, min(wide.end_ns, until_ns), length_ns):
            yield _key(span.stream_id, level, start_ns)


def _key(stream_id: str, level: Level, start_ns: int) -> Key:
    return Key(f"summary-{level}-{stream_id}", f"{start_ns:020}")


def _reach_key(stream_id: str) -> Key:
    return Key("summarised", stream_id)
