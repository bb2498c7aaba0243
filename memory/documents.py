"""Small documents beside the notes: what a person set up, and how far something has come with it.

A document is text under a kind and a name; what it says is its owner's business. All writing is
one act: `swap` changes any number of documents at once, if others are still as they were read, so
that two writers never undo each other, and a crash leaves all of a change or nothing.
`DictDocuments` is the definition; each engine of the record has its own.
"""

import threading
from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Key(NamedTuple):
    """Where a document is."""

    kind: str
    name: str


Bodies = Mapping[Key, str | None]
"""Documents; None where there is none."""


class Documents(Protocol):
    """Documents of a record. Errors: `memory.errors`. Safe to call from several threads."""

    def get(self, key: Key) -> str | None: ...

    def all(
        self,
        kind: str,
        *,
        after: str | None = None,
        before: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> dict[str, str]:
        """The documents of a kind by name, in order of names.

        Those between two names, if these are said, and neither of the two; of these the `first`
        few or the `last` few, if one of both is said.
        """
        ...

    def swap(self, expected: Bodies, changed: Bodies) -> bool:
        """Write `changed` if `expected` is how things are, and say whether that was done.

        After an answer that was lost it may say False of what was done: read again.
        """
        ...


class DictDocuments:
    """Documents inside a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: dict[Key, str] = {}

    def get(self, key: Key) -> str | None:
        with self._lock:
            return self._bodies.get(key)

    def all(
        self,
        kind: str,
        *,
        after: str | None = None,
        before: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> dict[str, str]:
        with self._lock:
            found = sorted(
                (key.name, body)
                for key, body in self._bodies.items()
                if key.kind == kind
                and (after is None or key.name > after)
                and (before is None or key.name < before)
            )
        return dict(found[:first] if last is None else found[max(0, len(found) - last) :])

    def swap(self, expected: Bodies, changed: Bodies) -> bool:
        with self._lock:
            if any(self._bodies.get(key) != body for key, body in expected.items()):
                return False
            for key, body in changed.items():
                if body is None:
                    self._bodies.pop(key, None)
                else:
                    self._bodies[key] = body
            return True
