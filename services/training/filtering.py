"""What is left out of a set: notes that are of no use, and what was there before."""

from collections import Counter

import numpy as np

from memory.datasets import Example
from memory.record import Record
from memory.values import Vector
from streaming.messages import ClipNote

MOST_REPEATS = 3  # of one event in a note; beyond that the model was stuck
ALIKE = 0.995  # cosine of pictures that look the same


class Seen:
    """Examples that were made before: the same replies, about clips that look the same."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._looks: dict[tuple[str, ...], list[Vector]] = {}

    def before(self, example: Example) -> bool:
        """Whether such a one was there; if not, it is from now on."""
        if len(example.clips) != 1:
            return False
        vectors = self._record.vectors_of(example.clips[0])
        if vectors is None:
            return False
        look = vectors.visual_vector
        said = (example.task, *(text for turn in example.turns for text in turn))
        alike = self._looks.setdefault(said, [])
        if alike and float((np.stack(alike) @ look).max()) >= ALIKE:
            return True
        alike.append(look)
        return False


def why_useless(note: ClipNote) -> str | None:
    """Why nothing can be learnt from a model's note."""
    if note.thinned:
        return "looked at too seldom"
    if not note.text:
        return "a note without words"
    said = Counter(event.text for event in note.events)
    if said and max(said.values()) > MOST_REPEATS:
        return "a note that repeats itself"
    return None
