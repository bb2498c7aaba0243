"""What people say of footage: labels, in the documents of the record, a key for each.

A label is what happened in a span, in a person's words; without words, nothing did. With a question
it is the answer to that. The same words about the same span are one label, however often said.
"""

import hashlib
from collections.abc import Iterable

from pydantic import AwareDatetime

from memory.bodies import parsed
from memory.documents import Documents, Key
from streaming.messages import Message, Span

AT_ONCE = 1000  # documents that are written or deleted in one act


class Label(Message):
    """What a person says of a span. `text` is empty where nothing happened."""

    span: Span
    text: str
    question: str = ""
    labelled_at: AwareDatetime

    @property
    def label_id(self) -> str:
        """Derived from what is said, and of what; not from when."""
        said = self.model_dump_json(exclude={"labelled_at"})
        return hashlib.sha256(said.encode()).hexdigest()[:12]


class LabelBook:
    """Labels of a record. Errors: `memory.errors`."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def put(self, labels: Iterable[Label]) -> None:
        bodies = {_key(label): label.model_dump_json() for label in labels}
        for some in _parts(list(bodies)):
            self._documents.swap({}, {key: bodies[key] for key in some})

    def remove(self, label: Label) -> bool:
        """Take a label back, and say whether there was such a one."""
        key = _key(label)
        held = self._documents.get(key) is not None
        self._documents.swap({}, {key: None})
        return held

    def of(self, stream_id: str) -> list[Label]:
        """The labels of a stream, in order of their starts."""
        bodies = self._documents.all(_kind(stream_id))
        return [parsed(Label, body) for body in bodies.values()]

    def forget(self, span: Span) -> int:
        """Delete what overlaps a span, and say how many there were. Repeating it is harmless."""
        gone = [
            _key(label)
            for label in self.of(span.stream_id)
            if span.overlaps(label.span.start_ns, label.span.end_ns)
        ]
        for some in _parts(gone):
            self._documents.swap({}, dict.fromkeys(some))
        return len(gone)


def _parts(keys: list[Key]) -> list[list[Key]]:
    return [keys[first : first + AT_ONCE] for first in range(0, len(keys), AT_ONCE)]


def _key(label: Label) -> Key:
    return Key(_kind(label.span.stream_id), f"{label.span.start_ns:020}:{label.label_id}")


def _kind(stream_id: str) -> str:
    return f"label-{stream_id}"
