"""What a perfect observer would note: scripts become notes, claims and captions.

What begins shortly before a clip ends is left to the next clip, whose lead-in shows it from its
beginning; so each moment is noted once, by a clip that shows nearly all of it. Times are rounded to
half seconds, as finely as one picture a second can tell, and are negative within the lead-in.
"""

from collections.abc import Sequence

import numpy as np

from models.nano.world import ACTIONS, COLOURS, KINDS, Happening, Script
from models.schemas import LISTED_BY, Note, NoteEvent

LEAST_S = 1.5
"""What is seen for less is not noted."""
NOTHING = "nothing happens"


def note_of(
    script: Script,
    *,
    start_s: float,
    end_s: float,
    lead_in_s: float = 0.0,
    left_s: float = 0.0,
) -> Note:
    """The true note of the clip [start_s, end_s), of which `lead_in_s` before it are seen too.

    What begins in its last `left_s` is left to the next clip.
    """
    events: list[NoteEvent] = []
    for happening in script.between(start_s - lead_in_s, end_s, least_s=LEAST_S):
        began_earlier = happening.start_s <= start_s - lead_in_s
        if began_earlier and happening.end_s < start_s + LEAST_S:
            continue  # the clip before noted it
        if happening.start_s > end_s - left_s:
            continue
        events.append(
            NoteEvent(
                start_s=round_half(happening.start_s - start_s),
                end_s=round_half(happening.end_s - start_s),
                text=happening.text,
            )
        )
    events.sort(key=lambda event: (event.start_s, event.text))
    return Note(
        text=LISTED_BY.join(event.text for event in events) or NOTHING, events=tuple(events)
    )


def shown_in(script: Script, *, start_s: float, end_s: float) -> list[Happening]:
    """What [start_s, end_s) shows long enough to be told, cut to it, in order of its start."""
    seen = script.between(start_s, end_s, least_s=LEAST_S)
    return sorted(seen, key=lambda h: (round_half(h.start_s), h.text))


def round_half(time_s: float) -> float:
    return round(time_s * 2) / 2


def subjects_at(script: Script, now_s: float) -> list[str]:
    """Who can be seen well at an instant, from the back of the scene to the front."""
    inside_s = 0.7  # by then, half of whoever comes in can be seen
    seen = [
        f"the {visit.colour} {visit.kind}"
        for visit in sorted(script.visits, key=lambda visit: visit.place)
        if visit.enter_s[0] + inside_s < now_s < visit.leave_s[1] - inside_s
    ]
    return seen + [
        f"the {passage.colour} {passage.kind}"
        for passage in sorted(script.passages, key=lambda passage: passage.lane)
        if passage.span_s[0] + inside_s < now_s < passage.span_s[1] - inside_s
    ]


def claim_of(rng: np.random.Generator, true: Sequence[str]) -> tuple[str, bool]:
    """A statement about a clip that is as often true as false, false ones being near misses.

    `true` are the texts of what the clip shows.
    """
    if true and rng.random() < 0.5:
        return str(rng.choice(true)), True
    for _ in range(20):
        claim = near_miss(rng, str(rng.choice(true)) if true else random_text(rng))
        if claim not in true:
            return claim, False
    return random_text(rng), False


def random_text(rng: np.random.Generator) -> str:
    """Something that could happen."""
    action = str(rng.choice(ACTIONS, p=_ACTION_SHARES))
    if action in ("opens", "closes"):
        return f"the gate {action}"
    if action in ("turns on", "turns off"):
        return f"the lamp {action}"
    return f"the {rng.choice(COLOURS)} {rng.choice(KINDS)} {action}"


def near_miss(rng: np.random.Generator, text: str) -> str:
    """The same with another colour, another subject or another action; or something else."""
    words = text.split()
    which = rng.integers(4)
    if len(words) > 2 and words[1] in COLOURS and which < 3:
        if which == 0:
            words[1] = str(rng.choice(COLOURS))
        elif which == 1:
            words[2] = str(rng.choice(KINDS))
        else:
            words[3:] = [str(rng.choice(ACTIONS[:6]))]
        return " ".join(words)
    opposite = {"opens": "closes", "closes": "opens", "on": "off", "off": "on"}
    if words[-1] in opposite and which < 3:
        return " ".join([*words[:-1], opposite[words[-1]]])
    return random_text(rng)


_ACTION_SHARES = [0.17, 0.17, 0.26, 0.13, 0.05, 0.05, 0.04, 0.04, 0.045, 0.045]
