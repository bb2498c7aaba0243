"""What longwatch-nano has never seen: trams, and fires.

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
    Happening,
    Passage,
    Script,
    draw_passages,
    with_passages,
    write_script,
)

SEED = 85_100_001
"""Far from every seed of training, of examinations and of the demonstration."""
KIND, ACTION = "tram", "burns"
TRAMS, FIRES = 0.4, 0.45  # how much of what is seen in the street
FIRE_X = (0.2, 0.8)
TAUGHT_GAP_S, ASKED_GAP_S = 8.0, 25.0  # between two in the street
TAUGHT_CLIPS = 4
"""How long it is watched where clips are labelled: the first of them is never one."""
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
    """Footage of so many places, in each of which a clip is labelled, and minutes to ask about."""
    return Footage(
        tuple(
            novel_script(
                seed + 3 + place,
                duration_s=TAUGHT_CLIPS * LAYOUT.clip_length_s,
                mean_gap_s=TAUGHT_GAP_S,
            )
            for place in range(clips)
        ),
        novel_script(seed + 2, duration_s=minutes * 60, mean_gap_s=ASKED_GAP_S),
    )


def novel_script(seed: int, *, duration_s: float, mean_gap_s: float) -> Script:
    """A script in whose street are trams, and fires."""
    script = write_script(seed, duration_s=duration_s)
    rng = np.random.default_rng((seed, 1))
    drawn = draw_passages(rng, "street", STREET_KINDS, duration_s, mean_gap_s=mean_gap_s)
    street = (_novel(rng, one) for one in drawn)
    others = (one for one in script.passages if one.lane != "street")
    return with_passages(script, (*others, *street))


def _novel(rng: np.random.Generator, one: Passage) -> Passage:
    chance = rng.random()
    if chance < TRAMS:
        return replace(one, kind=KIND, colour="")
    if chance < TRAMS + FIRES:
        return replace(one, kind="fire", colour="", stays_at_x=float(rng.uniform(*FIRE_X)))
    return one


def said_of(script: Script) -> Iterator[Said]:
    """All that a person says of one clip, which tells most of what is new.

    What begins in its last seconds is left to the next clip, as it is where clips are described.
    """
    starts_s = np.arange(1, script.duration_s // LAYOUT.clip_length_s) * LAYOUT.clip_length_s
    told = [list(_told_in(script, float(start_s))) for start_s in starts_s]
    most = max(range(len(told)), key=lambda at: sum(_is_new(one.text) for one in told[at]))
    for one in told[most]:
        yield Said(one.start_s, min(one.end_s, script.duration_s), one.text)
    if not told[most]:
        from_s = float(starts_s[most]) - LAYOUT.lead_in_s
        yield Said(from_s, from_s + LAYOUT.clip_length_s, "")


def _told_in(script: Script, start_s: float) -> Iterator[Happening]:
    from_s = start_s - LAYOUT.lead_in_s
    until_s = from_s + LAYOUT.clip_length_s
    return (one for one in script.happenings if from_s <= one.start_s < until_s)


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
    return any(map(_is_new, (*asked.plan.events, *told)))


def _is_new(text: str) -> bool:
    return KIND in text or ACTION in text
