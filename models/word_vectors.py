"""Vectors of texts without a model: hashed words and their pieces.

Texts that share words, or beginnings and endings of words, are near each other; what means the same
in other words is not. For installations whose model gives no vectors of texts.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 512
WORD_VECTORS_ID = "words.v1"
PIECE_CHARS = 4
PIECE_SHARE = 0.25  # what a piece counts for beside a whole word
SILENT = frozenset("a an and are at by for from in into is of on or the to was were with".split())
_WORD = re.compile(r"\w+")


def word_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors, shape (N, WIDTH)."""
    vectors = np.zeros((len(texts), WIDTH), np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for feature, share in _features(text):
            place, sign = _place(feature)
            vector[place] += sign * share
        if not vector.any():
            vector[0] = 1.0  # of a text without words
        vector /= np.linalg.norm(vector)
    return vectors


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.lower()):
        if word in SILENT:
            continue
        yield word, 1.0
        around = f"<{word}>"
        for start in range(len(around) - PIECE_CHARS + 1):
            yield around[start : start + PIECE_CHARS], PIECE_SHARE


def _place(feature: str) -> tuple[int, float]:
    digest = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest())
    return digest % WIDTH, 1.0 if digest >> 63 else -1.0
