"""Drills: questions about clips that the service never asks, which teach what notes are made of.

A note joins many skills at once: who is there, where each goes, what that is called, when it begins
and ends. Learnt from notes alone, each waits for the others. Drills teach one at a time, with a
reply for every picture or every subject: who is in view, where somebody is from moment to moment,
and what somebody or something does.
"""

from dataclasses import dataclass

import numpy as np

from models.nano.draw import YARD_Y, placed_passage, placed_visit
from models.nano.truth import round_half, seen_in, subjects_at
from models.nano.world import COLOURS, KINDS, Passage, Script, Visit

ASPECT = 16 / 9
ZONES = 5  # the picture's width in fifths, counted from 1
RISEN = 0.04
KNOWN_SHARE = 0.8
NOBODY, NOWHERE = "nobody", "nowhere"


@dataclass(frozen=True, slots=True)
class Drill:
    question: str
    reply: str


def who(script: Script, start_s: float, second: float) -> Drill:
    """Who is in view at one moment of the clip."""
    seen = subjects_at(script, start_s + second)
    return Drill(f"Who or what is in view at {second:.1f}?", ", ".join(seen) or NOBODY)


def where(rng: np.random.Generator, script: Script, start_s: float, length_s: float) -> Drill:
    """Where one subject is, second by second: its fifth of the width, and whether it is up."""
    subject, movers = _subject(rng, script, start_s, length_s)
    places: list[str] = []
    for second in range(round(length_s)):
        now_s = start_s + second
        for mover in movers:
            placed = placed_visit if isinstance(mover, Visit) else placed_passage
            for one in placed(mover, now_s, ASPECT):  # type: ignore[arg-type]
                if one.kind == mover.kind and 0 < one.x < 1:
                    up = isinstance(mover, Visit) and one.bottom_y < YARD_Y - RISEN
                    zone = 1 + int(one.x * ZONES)
                    places.append(f"{second:.1f} {zone}{' up' if up else ''}")
    return Drill(f"Where is {subject} from moment to moment?", ", ".join(places) or NOWHERE)


def deeds(rng: np.random.Generator, script: Script, start_s: float, length_s: float) -> Drill:
    """What one subject, the gate or the lamp does, and when."""
    fixture = rng.random() < 0.2
    subject = (
        str(rng.choice(["the gate", "the lamp"]))
        if fixture
        else _subject(rng, script, start_s, length_s)[0]
    )
    done = [
        f"{one.action} {round_half(one.start_s - start_s):.1f} "
        f"{round_half(one.end_s - start_s):.1f}"
        for one in seen_in(script, start_s=start_s, end_s=start_s + length_s)
        if one.subject == subject
    ]
    return Drill(f"What does {subject} do, and when?", ", ".join(done) or "nothing")


def _subject(
    rng: np.random.Generator, script: Script, start_s: float, length_s: float
) -> tuple[str, list[Visit | Passage]]:
    """Mostly somebody who is there; and all the ways in which that name is there."""
    there: list[Visit | Passage] = [
        *(v for v in script.visits if v.enter_s[0] < start_s + length_s and v.leave_s[1] > start_s),
        *(p for p in script.passages if p.span_s[0] < start_s + length_s and p.span_s[1] > start_s),
    ]
    if there and rng.random() < KNOWN_SHARE:
        chosen = there[int(rng.integers(len(there)))]
        name = f"the {chosen.colour} {chosen.kind}"
    else:
        name = f"the {rng.choice(COLOURS)} {rng.choice(KINDS)}"
    return name, [one for one in there if f"the {one.colour} {one.kind}" == name]
