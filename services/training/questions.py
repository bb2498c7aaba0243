"""Questions about a clip that its events answer: those kinds of LLaVA-Video-178K that need no eyes.

What the others ask for, such as looks, places and directions, is in no note: a teacher writes them.

Pure.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random

from memory.events import Occurrence
from models.question_kinds import Pair

FIRST, LAST = "What happens first in this clip?", "What happens last in this clip?"


def questions_of(shown: Sequence[Occurrence], false: Sequence[str], rng: Random) -> Iterator[Pair]:
    """Pairs about what a clip shows, in order of its start; `false` is what it does not show."""
    if len({one.span.start_ns for one in shown}) > 1:
        yield Pair(kind="time order", question=FIRST, answer=shown[0].text)
        yield Pair(kind="time order", question=LAST, answer=shown[-1].text)
    told = Counter(one.text for one in shown)
    then = [
        (one, other)
        for one, other in pairwise(shown)
        if told[one.text] == 1 and one.span.end_ns <= other.span.start_ns
    ]
    if then:
        one, other = rng.choice(then)
        question = f"What happens in this clip after this: {one.text}?"
        yield Pair(kind="temporal", question=question, answer=other.text)
    if told:
        text = rng.choice(sorted(told))
        question = f"How often does this happen in this clip: {text}?"
        yield Pair(kind="count", question=question, answer=str(told[text]))
        yield Pair(kind="binary", question=is_shown(rng.choice(sorted(told))), answer="yes")
        if false:
            yield Pair(kind="non-existent action", question=is_shown(false[0]), answer="no")


def is_shown(text: str) -> str:
    return f"Does this happen in this clip: {text}?"
