"""How well a text answers a word: BM25 as SQLite's FTS5 computes it.

Pure. Works on numbers and on numpy arrays alike.
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_SATURATION = 1.2
_LENGTH = 0.75
_LEAST_IDF = 1e-6

Numbers = TypeVar("Numbers", float, NDArray[np.float64])


def rarity(holders: int, texts: int) -> float:
    """The weight of a word that so many of the texts hold."""
    idf = math.log((texts - holders + 0.5) / (holders + 0.5))
    return idf if idf > 0 else _LEAST_IDF


def saturated(times: Numbers, relative_length: Numbers) -> Numbers:
    """How much a word counts that stands so often in a text, by that text's length to the mean."""
    length = 1 - _LENGTH + _LENGTH * relative_length
    return times * (_SATURATION + 1) / (times + _SATURATION * length)
