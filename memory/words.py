"""Words of a text as they are compared: one normalisation for recall and for event matching.

Case, accents, punctuation, articles, determiners, auxiliaries and light English inflections
(-s, -es, -ies, -ed, -ing) are dropped; particles such as `up`, `off` and `into` stay, since
they carry meaning. It knows English grammar a little and nobody's vocabulary: words that it
does not know pass through, other scripts unchanged. Stems are for comparison, not for show.

Pure.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_FUNCTION = """
a an the this that these those some any every each another
my your his her its our their there it and of
is are was were be been being am has have had having do does did doing will would
"""
_FUNCTION_WORDS = frozenset(_FUNCTION.split())
_NEGATIONS = frozenset(
    ("no", "not", "never", "nobody", "nothing", "none", "neither", "nor", "without")
)
_WORD = re.compile(r"[^\W_]+")
_CONTRACTED_NOT = re.compile(r"n['’]t\b")
_POSSESSIVE = re.compile(r"['’](s|re|ve|ll|d|m)?\b")
_MOST_WORDS = 64
_VOWEL = re.compile(r"[aeiouy]")


@lru_cache(maxsize=8192)
def content_words(text: str) -> tuple[str, ...]:
    """The stems of the words that carry meaning, in order, with repeats."""
    return tuple(stem(word) for word in _plain_words(text) if word not in _FUNCTION_WORDS)


def searchable_words(texts: Iterable[str]) -> list[str]:
    """The words that texts are found by."""
    return [word for text in texts for word in content_words(text)]


def searched_words(query: str) -> list[str]:
    """The different words that a query looks for, in order, as many as a search can bear."""
    return list(dict.fromkeys(content_words(query)))[:_MOST_WORDS]


@lru_cache(maxsize=8192)
def is_negated(text: str) -> bool:
    """Whether the text says that something is not so."""
    return not _NEGATIONS.isdisjoint(_plain_words(text))


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Cut light inflections off a lower-case English word, the same for all its forms."""
    if len(word) <= 3 or not (word.isascii() and word.isalpha()):
        return word
    word = _without_participle(_without_plural(word))
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and not _VOWEL.match(word[-1]):
        word = word[:-1]
    return word


def _without_plural(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith("oes"):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_participle(word: str) -> str:
    if word.endswith("ied"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith("eed"):
        return word[:-1] if len(word) > 5 else word
    for ending in ("ing", "ed"):
        bare = word.removesuffix(ending)
        if bare != word and _VOWEL.search(bare):
            return bare + "e" if len(bare) == 2 and not _VOWEL.match(bare[-1]) else bare
    return word


def _plain_words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return _WORD.findall(_POSSESSIVE.sub("", _CONTRACTED_NOT.sub(" not", bare)))
