"""Words of a plan that a model garbled, put right by the question and by what was noted.

A model that learnt a word lately, in pieces, may plan to look for "the fam" where it is asked about
a tram. Such a word stands neither in the question nor in any note; the one that was meant stands in
both. What is meant otherwise, as in a synonym, is like no word of the question.

Pure, and without anybody's vocabulary.
"""

from collections.abc import Collection, Iterable, Mapping
from difflib import SequenceMatcher

from memory.words import content_words
from models.schemas import Plan

LEAST_ALIKE = 0.5
"""Twice the letters that two words share, in order, of all letters of both."""


def respelt(plan: Plan, *, asked: str, noted: Iterable[str]) -> Plan:
    """The plan with garbled words of its events as they are noted, where the question has them."""
    in_question = frozenset(content_words(asked))
    forms = {
        stem: word
        for text in dict.fromkeys(noted)
        for word in text.split()
        for stem in content_words(word)
    }
    meant = {stem: word for stem, word in forms.items() if stem in in_question}
    known = in_question | forms.keys()
    return plan.model_copy(
        update={
            "events": tuple(_event_respelt(text, meant, known) for text in plan.events),
            "ended_by": tuple(_event_respelt(text, meant, known) for text in plan.ended_by),
        }
    )


def _event_respelt(text: str, meant: Mapping[str, str], known: Collection[str]) -> str:
    stems = content_words(text)
    if all(stem in known for stem in stems):
        return text
    left = [word for stem, word in meant.items() if stem not in stems]
    return " ".join(
        word if all(stem in known for stem in content_words(word)) else _nearest(word, left)
        for word in text.split()
    )


def _nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that is most like a word, or the word itself where none is."""
    alike = {one: SequenceMatcher(None, word.lower(), one.lower()).ratio() for one in candidates}
    best = max(alike, key=lambda one: alike[one], default=word)
    return best if alike.get(best, 0.0) >= LEAST_ALIKE else word
