"""The words that are ours: what stands for `[n]`, and the answers that no model may write.

That something was not found, cannot be made out, or was not watched is said here, in the same
words whatever the model, because an answer without evidence must not read like a fact.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from models.schemas import Intent
from services.moments import show_ns
from streaming.messages import NS_PER_S, Coverage, Verdict

_JOINT = r"(?:[,\s]*\b(?:and|at|first)\b)*[,\s]*"  # goes with the citation after it
_CITATION = re.compile(rf"({_JOINT})\[(what )?(\d{{1,4}})\]", re.IGNORECASE)
_NUMBER = re.compile(r"\[[^]]*\]|(\d+)")  # but for those of citations
_BEGUN = re.compile(rf"{_JOINT}(?:\w*|\[[what ]{{0,5}}\d{{0,4}})$", re.IGNORECASE)

_NOTHING: dict[Intent, str] = {
    "when": "Nothing like that was noted.",
    "count": "0 times: nothing like that was noted.",
    "exists": "No: nothing like that was noted.",
    "order": "None of them was noted.",
    "state": "That is not known: neither its beginning nor its end was noted.",
    "between": "Nothing was noted in that time.",
    "describe": "Nothing was noted in that time.",
}
_UNDECIDED = (
    "It cannot be made out: nothing like that was noted, and a second look at the most similar "
    "moments did not settle it."
)


@dataclass(frozen=True, slots=True)
class Told:
    """A finding that a model was told of: its words, and when it was."""

    text: str
    at: str


def cite(pieces: Iterable[str], told: Sequence[Told]) -> Iterator[str]:
    """Put the n-th finding's time in the place of `[n]`, and its words in that of `[what n]`.

    However the pieces were cut. A reference to a finding that does not exist is left out, with the
    "and" or "at" before it.
    """
    held = ""
    for piece in pieces:
        held += piece
        begun = _BEGUN.search(held)
        ready_until = begun.start() if begun else len(held)
        if ready := _cited(held[:ready_until], told):
            yield ready
        held = held[ready_until:]
    if rest := _cited(held, told):
        yield rest


def counted(pieces: Iterable[str], result: str, *, asked: str) -> Iterator[str]:
    """What a model says of a count, whole; nothing of it where it says another number.

    Numbers of the question can be others, and there need be none: "twice" is not looked into.
    """
    text = "".join(pieces)
    said = _numbers(text)
    if result in said or not said - _numbers(asked):
        yield text


def _numbers(text: str) -> set[str]:
    return {number for number in _NUMBER.findall(text) if number}


def without_evidence(verdict: Verdict, intent: Intent, coverage: Coverage) -> str:
    """What is said when there is no moment to show."""
    if verdict is Verdict.NOT_WATCHED:
        if not coverage.asked:
            return "There is no footage of that time."
        return f"That time was not watched ({_reasons(coverage)})."
    said = _UNDECIDED if verdict is Verdict.NOT_VISIBLE else _NOTHING[intent]
    return " ".join(part for part in (said, unwatched(coverage)) if part)


def unwatched(coverage: Coverage) -> str:
    """A sentence about what was not watched of the time asked about; empty if all was."""
    missed_ns = coverage.asked_ns - coverage.watched_ns
    if missed_ns < NS_PER_S:
        return ""
    missed = show_ns(missed_ns, decimals=0)
    asked = show_ns(coverage.asked_ns, decimals=0)
    return f"Of the {asked} asked about, {missed} was not watched ({_reasons(coverage)})."


def _reasons(coverage: Coverage) -> str:
    return ", ".join(dict.fromkeys(gap.reason.value for gap in coverage.gaps)) or "no footage"


def _cited(text: str, told: Sequence[Told]) -> str:
    def written(found: re.Match[str]) -> str:
        joint, what, number = found[1], found[2], int(found[3])
        if not 1 <= number <= len(told):
            return ""
        one = told[number - 1]
        return joint + (one.text if what else one.at)

    return _CITATION.sub(written, text)
