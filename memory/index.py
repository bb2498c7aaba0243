"""Where clip vectors are searched: one protocol, two implementations.

`ExactIndex` is the definition: brute force, obviously right, fast enough for tests.
`FaissIndex` (memory/faiss_index.py) is right exactly when it agrees with it.

An index holds the vectors of one embedder; `embedder_id` is the `model_id` of the notes that
they belong to. It is a cache of the record: `memory.follow.catch_up` brings it up to date.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

import numpy as np

from memory.errors import WrongWidth
from memory.record import Within
from memory.spans import overlaps_any
from memory.values import Hit, Mark, Vector, checked_vector
from streaming.messages import Span


class VectorKind(StrEnum):
    """Which of a clip's two vectors is meant: of its note, or of its picture."""

    TEXT = "text"
    VISUAL = "visual"


class ClipSearch(Protocol):
    """What recall asks of vectors, wherever they are."""

    def search(
        self, query: Vector, *, kind: VectorKind, limit: int, within: Within = None
    ) -> list[Hit]:
        """The nearest clips, best first; among equals the earlier. Fewer if fewer are held."""
        ...


class ClipIndex(ClipSearch, Protocol):
    """Vectors by clip id. Safe to call from several threads."""

    width: int
    embedder_id: str
    mark: Mark | None
    """How far of the record it holds; None if that is unknown."""

    def put(self, clip_id: str, span: Span, text_vector: Vector, visual_vector: Vector) -> None:
        """Remember a clip's vectors. The same id again replaces them."""
        ...

    def remove(self, clip_ids: Iterable[str]) -> int:
        """Drop clips and say how many there were. One that is not held is no error."""
        ...

    def clear(self) -> None: ...

    def clip_ids(self) -> set[str]: ...

    def __len__(self) -> int: ...


class ExactIndex:
    """Compare the query with every vector."""

    def __init__(self, *, width: int, embedder_id: str) -> None:
        self.width = width
        self.embedder_id = embedder_id
        self.mark: Mark | None = None
        self._held: dict[str, tuple[Span, dict[VectorKind, Vector]]] = {}

    def put(self, clip_id: str, span: Span, text_vector: Vector, visual_vector: Vector) -> None:
        self._held[clip_id] = (
            span,
            {
                VectorKind.TEXT: check_width(text_vector, self.width),
                VectorKind.VISUAL: check_width(visual_vector, self.width),
            },
        )

    def remove(self, clip_ids: Iterable[str]) -> int:
        return sum(self._held.pop(clip_id, None) is not None for clip_id in clip_ids)

    def clear(self) -> None:
        self._held.clear()
        self.mark = None

    def search(
        self, query: Vector, *, kind: VectorKind, limit: int, within: Within = None
    ) -> list[Hit]:
        query = check_width(query, self.width)
        hits = [
            Hit(clip_id, span, float(np.dot(vectors[kind], query)))
            for clip_id, (span, vectors) in list(self._held.items())
            if overlaps_any(span, within)
        ]
        return best_first(hits)[:limit]

    def clip_ids(self) -> set[str]:
        return set(self._held)

    def __len__(self) -> int:
        return len(self._held)


def best_first(hits: Iterable[Hit]) -> list[Hit]:
    """Order by score, to six places so that rounding decides nothing, then by time and id."""
    return sorted(
        hits,
        key=lambda hit: (
            -round(hit.score, 6),
            hit.span.stream_id,
            hit.span.start_ns,
            hit.clip_id,
        ),
    )


def check_width(vector: Vector, width: int) -> Vector:
    """The vector as float32 if it is `width` wide, else `WrongWidth`."""
    row = checked_vector(vector)
    if row.size != width:
        raise WrongWidth(expected=width, got=row.size)
    return row
