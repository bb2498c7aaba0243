"""The words that are ours: times in place of `[n]`, and the answers that no model may write.

That something was not found, cannot be made out, or was not watched is said here, in the same
words whatever the model, because an answer without evidence must not read like a fact.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from models.schemas import Intent
from services.moments import show_ns
from streaming.messages import NS_PER_S, Coverage, Verdict

_CITATION = re.compile(r"\[(\d{1,4})\]")
_BEGUN = re.compile(r"\[\d{0,4}$")  # a citation that the next piece may complete

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


def cite(pieces: Iterable[str], moments: Sequence[str]) -> Iterator[str]:
    """Put the n-th moment in the place of `[n]`, however the pieces were cut.

    A reference to a finding that does not exist is left out.
    """
    held = ""
    for piece in pieces:
        held += piece
        begun = _BEGUN.search(held)
        ready_until = begun.start() if begun else len(held)
        if ready := _cited(held[:ready_until], moments):
            yield ready
        held = held[ready_until:]
    if held:
        yield held


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


def _cited(text: str, moments: Sequence[str]) -> str:
    def moment(found: re.Match[str]) -> str:
        number = int(found[1])
        return moments[number - 1] if 1 <= number <= len(moments) else ""

    return _CITATION.sub(moment, text)
