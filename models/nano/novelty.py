"""What longwatch-nano has never seen: trams, and fires.

Footage of them, what a person would say who watches it, and questions about it, to show that the
model learns a new kind of subject and a new event from a few dozen clips. No script of training or
of an examination has either.

Times are seconds from the start of the footage.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

import numpy as np

from models.nano.demo import DemoQuestion, truth_text
from models.nano.questions import ScriptedQuestion, questions
from models.nano.recipe import LAYOUT
from models.nano.truth import LEAST_S
from models.nano.world import (
    STREET_KINDS,
    Passage,
    Script,
    draw_passages,
    with_passages,
    write_script,
)

SEED = 86_900_001
"""Far from every seed of training, of examinations and of the demonstration."""
KIND, ACTION = "tram", "burns"
TRAMS, FIRES = 0.4, 0.45  # how much of what is seen in the street
FIRE_X = (0.2, 0.8)
TAUGHT_GAP_S, ASKED_GAP_S = 8.0, 25.0  # between two in the street
TAUGHT_CLIPS = 5
"""How many each recording has of which one is labelled: neither the first nor the last."""
TAUGHT_PACE = 2.0  # of all else where clips are labelled: where little goes on, little is learnt
ROUNDS = 1000  # of questions, of which those are taken that fit


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
    """So many recordings of which a clip is labelled, and minutes to ask about, of one camera."""
    asked = novel_script(seed + 2, duration_s=minutes * 60, mean_gap_s=ASKED_GAP_S)
    taught = (
        novel_script(
            seed + 3 + number,
            duration_s=TAUGHT_CLIPS * LAYOUT.clip_length_s,
            mean_gap_s=TAUGHT_GAP_S,
            pace=TAUGHT_PACE,
        )
        for number in range(clips)
    )
    return Footage(tuple(_by_camera_of(asked, one) for one in taught), asked)


def _by_camera_of(asked: Script, script: Script) -> Script:
    """The same happenings, seen by the camera that is asked about, at another time of its day."""
    return replace(
        script,
        seed=asked.seed,
        noise_level=asked.noise_level,
        shake_px=asked.shake_px,
        day_s=asked.day_s,
    )


def novel_script(seed: int, *, duration_s: float, mean_gap_s: float, pace: float = 1.0) -> Script:
    """A script in whose street are trams, and fires; `pace` is that of all else."""
    script = write_script(seed, duration_s=duration_s, pace=pace)
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
    """All that a person says of one clip: of those that tell most of what is new, the fullest.

    Only of what is in view, and what begins in the last seconds is left to the next clip, as it is
    where clips are described: so the last clip is never the one.
    """
    last = script.duration_s // LAYOUT.clip_length_s - 1
    starts_s = np.arange(1, last) * LAYOUT.clip_length_s - LAYOUT.lead_in_s
    told = [list(_told_from(script, float(start_s))) for start_s in starts_s]
    yield from max(told, key=lambda said: (sum(_is_new(one.text) for one in said), len(said)))


def _told_from(script: Script, from_s: float) -> Iterator[Said]:
    """What is said of a clip, of which that is seen which is before it by the lead-in."""
    until_s, clip_s = from_s + LAYOUT.clip_length_s, from_s + LAYOUT.lead_in_s
    told = [
        Said(max(from_s, one.start_s), min(one.end_s, clip_s + LAYOUT.clip_length_s), one.text)
        for one in script.happenings
        if from_s <= one.start_s < until_s
        or (one.start_s < from_s and one.end_s >= clip_s + LEAST_S)
    ]
    yield from told or [Said(from_s, until_s, "")]


def new_questions(script: Script, *, count: int) -> list[DemoQuestion]:
    """When and how often, half of each: what only who knows what is new can answer.

    Whether it ever happened is answered rightly by whoever says yes to everything.
    """
    new = (
        (one for one in _questions(script) if one.kind == kind and _has_novelty(one))
        for kind in ("when", "count")
    )
    return [_asked(one) for of_kind in new for one in islice(of_kind, count // 2)]


def known_questions(script: Script, *, count: int) -> list[DemoQuestion]:
    """Questions of all kinds about everything else in the same footage."""
    known = (one for one in _questions(script) if not _has_novelty(one))
    return [_asked(one) for one in islice(known, count)]


def _questions(script: Script) -> Iterator[ScriptedQuestion]:
    """Each once, in whatever words: else a few events are asked about again and again."""
    rng = Random(script.seed)
    asked: set[tuple[object, object]] = set()
    for _ in range(ROUNDS):
        for one in questions(script, rng=rng, per_kind=2, unseen=False):
            if (key := (one.plan, one.asked_s)) not in asked:
                asked.add(key)
                yield one


def _asked(one: ScriptedQuestion) -> DemoQuestion:
    return DemoQuestion(one.question, one.kind, one.asked_s, truth_text(one), one)


def _has_novelty(asked: ScriptedQuestion) -> bool:
    truth = asked.truth.value
    told = truth if isinstance(truth, tuple) else ()
    return any(map(_is_new, (*asked.plan.events, *told)))


def _is_new(text: str) -> bool:
    return KIND in text or ACTION in text
