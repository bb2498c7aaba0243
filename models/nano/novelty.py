"""What longwatch-nano has never seen: cows, and machines that burn.

Footage of them, what a person would say who watches it, and questions about it, to show that the
model learns a new kind of subject and a new event from a few dozen clips. No script of training or
of an examination has either.

Times are seconds from the start of the footage.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

import numpy as np

from models.nano.demo import DemoQuestion, truth_text
from models.nano.questions import ScriptedQuestion, questions
from models.nano.recipe import LAYOUT
from models.nano.world import (
    STREET_KINDS,
    Passage,
    Script,
    draw_passages,
    with_passages,
    write_script,
)

SEED = 85_000_001
"""Far from every seed of training, of examinations and of the demonstration."""
KIND, ACTION = "cow", "burns"
COWS, FIRES = 0.5, 0.3  # how many of those who pass are cows, and how many burn
MACHINES = ("car", "truck", "robot")
TAUGHT_GAP_S, ASKED_GAP_S = 2.0, 25.0  # between two in the street
PLACES = 64
"""Where clips are labelled, at most: what is seen in few places is learnt by heart with them."""
ROUNDS = 60  # of questions, of which those are taken that fit


@dataclass(frozen=True, slots=True)
class Footage:
    """What is shown: what is labelled, and what is asked about."""

    taught: tuple[Script, ...]
    asked: Script


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of a time; no words: nothing happens."""

    start_s: float
    end_s: float
    text: str


def footage(*, clips: int, minutes: float, seed: int = SEED) -> Footage:
    """Footage with so many clips to label, of all places, and so many minutes to ask about."""
    places = min(PLACES, clips)
    return Footage(
        tuple(
            novel_script(
                seed + 3 + place,
                duration_s=round(clips / places) * LAYOUT.clip_length_s,
                mean_gap_s=TAUGHT_GAP_S,
            )
            for place in range(places)
        ),
        novel_script(seed + 2, duration_s=minutes * 60, mean_gap_s=ASKED_GAP_S),
    )


def novel_script(seed: int, *, duration_s: float, mean_gap_s: float) -> Script:
    """A script in whose street are cows, and machines that burn."""
    script = write_script(seed, duration_s=duration_s)
    rng = np.random.default_rng((seed, 1))
    drawn = draw_passages(rng, "street", STREET_KINDS, duration_s, mean_gap_s=mean_gap_s)
    street = (_novel(rng, one) for one in drawn)
    others = (one for one in script.passages if one.lane != "street")
    return with_passages(script, (*others, *street))


def _novel(rng: np.random.Generator, one: Passage) -> Passage:
    chance = rng.random()
    if chance < COWS:
        return replace(one, kind=KIND)
    if chance < COWS + FIRES:
        return replace(one, kind=str(rng.choice(MACHINES)), burns=True)
    return one


def said_of(script: Script) -> Iterator[Said]:
    """All that a person says: what happens, and of which clips that nothing does."""
    happenings = [one for one in script.happenings if one.start_s >= 0]
    for one in happenings:
        yield Said(one.start_s, min(one.end_s, script.duration_s), one.text)
    for start_s in np.arange(0, script.duration_s, LAYOUT.clip_length_s):
        end_s = float(start_s + LAYOUT.clip_length_s)
        begins = (start_s - LAYOUT.lead_in_s <= one.start_s < end_s for one in happenings)
        if not any(begins):
            yield Said(float(start_s), end_s, "")


def new_questions(script: Script, *, count: int) -> list[DemoQuestion]:
    """When and how often: what only somebody answers who knows what is new.

    Whether it ever happened is answered rightly by whoever says yes to everything.
    """
    return _first(script, count, lambda one: _has_novelty(one) and one.kind in ("when", "count"))


def known_questions(script: Script, *, count: int) -> list[DemoQuestion]:
    """Questions about everything else in the same footage."""
    return _first(script, count, lambda one: not _has_novelty(one))


def _first(
    script: Script, count: int, wanted: Callable[[ScriptedQuestion], bool]
) -> list[DemoQuestion]:
    found = islice((one for one in _questions(script) if wanted(one)), count)
    return [DemoQuestion(q.question, q.kind, q.asked_s, truth_text(q), q) for q in found]


def _questions(script: Script) -> Iterator[ScriptedQuestion]:
    rng = Random(script.seed)
    for _ in range(ROUNDS):
        yield from questions(script, rng=rng, per_kind=2, unseen=False)


def _has_novelty(asked: ScriptedQuestion) -> bool:
    truth = asked.truth.value
    told = truth if isinstance(truth, tuple) else ()
    return any(KIND in text or ACTION in text for text in (*asked.plan.events, *told))
