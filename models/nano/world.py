"""The small world that longwatch-nano knows: a yard, a street, a gate, a lamp, and who passes.

A `Script` says everything that happens in it, exactly, before a pixel is drawn: `write_script`
draws one from a seed. A street runs along the bottom, the sky along the top, and a yard with two
standing places lies between them. Street and sky are crossed; the yard is entered and left, each
place from its own side, so that every moment of a movement tells which of the two it is.

Times are seconds from the start of the footage. Knows nothing of pixels (`models.nano.draw`) nor of
the words that questions use (`models.nano.phrasings`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

YARD_KINDS = ("person", "dog", "robot")
STREET_KINDS = ("person", "dog", "robot", "car", "truck", "ball")
SKY_KINDS = ("drone",)
CARRIER_KINDS = ("person", "robot")
KINDS = ("person", "dog", "robot", "car", "truck", "ball", "drone")
COLOURS = ("red", "green", "blue", "yellow", "white", "purple")
ACTIONS = (
    "enters",
    "leaves",
    "crosses",
    "jumps",
    "puts down the box",
    "picks up the box",
    "opens",
    "closes",
    "turns on",
    "turns off",
)
OPPOSITES = {
    "enters": "leaves",
    "opens": "closes",
    "turns on": "turns off",
    "puts down the box": "picks up the box",
}

MIN_EVENT_S, MAX_EVENT_S = 3.0, 5.0
PLACES_X = (0.37, 0.67)  # where the yard is stood in, as shares of the width
WARM_UP_S = 240.0  # the world runs this long before the footage begins, so that it is not empty


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that takes place in [start_s, end_s), as a sentence and in its two halves."""

    start_s: float
    end_s: float
    text: str
    subject: str
    action: str


@dataclass(frozen=True, slots=True)
class Visit:
    """One subject in the yard, from the moment it starts to enter until it is gone."""

    kind: str
    colour: str
    place: int
    place_x: float
    enter_s: tuple[float, float]
    leave_s: tuple[float, float]
    jumps_s: tuple[tuple[float, float], ...]
    put_down_s: tuple[float, float] | None
    pick_up_s: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Passage:
    """One subject crossing the street or the sky.

    Or a fire, which stays where it is; none is seen but in `models.nano.novelty`.
    """

    kind: str
    colour: str
    lane: Literal["street", "sky"]
    rightwards: bool
    span_s: tuple[float, float]
    stays_at_x: float | None = None


@dataclass(frozen=True, slots=True)
class Switching:
    """The gate or the lamp, going to one of its two states."""

    span_s: tuple[float, float]
    on: bool


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that happens, and the conditions under which it is seen."""

    seed: int
    duration_s: float
    visits: tuple[Visit, ...]
    passages: tuple[Passage, ...]
    gate: tuple[Switching, ...]
    lamp: tuple[Switching, ...]
    day_s: float
    """Length of a day; the sun follows a sine over it."""
    dawn_s: float
    noise_level: float
    shake_px: float
    happenings: tuple[Happening, ...]

    def between(self, start_s: float, end_s: float, *, least_s: float) -> list[Happening]:
        """Return what happens for at least `least_s` within [start_s, end_s), cut to it."""
        return [
            Happening(max(h.start_s, start_s), min(h.end_s, end_s), h.text, h.subject, h.action)
            for h in self.happenings
            if min(h.end_s, end_s) - max(h.start_s, start_s) >= least_s
        ]


def write_script(seed: int, *, duration_s: float, pace: float = 1.0) -> Script:
    """Draw a script. `pace` multiplies how often things happen."""
    rng = np.random.default_rng(seed)
    end_s = duration_s + WARM_UP_S
    visits = sorted(_visits(rng, end_s, pace), key=lambda visit: visit.enter_s)
    visits = _carry_the_box(rng, visits)
    passages = [
        *draw_passages(rng, "street", STREET_KINDS, end_s, mean_gap_s=45 / pace),
        *draw_passages(rng, "sky", SKY_KINDS, end_s, mean_gap_s=130 / pace),
    ]
    gate = _switchings(rng, end_s, mean_gap_s=130 / pace)
    lamp = _switchings(rng, end_s, mean_gap_s=130 / pace)
    shifted = (
        tuple(_shift_visit(visit) for visit in visits),
        tuple(replace(p, span_s=_shift(p.span_s)) for p in passages),
        tuple(Switching(_shift(s.span_s), s.on) for s in gate),
        tuple(Switching(_shift(s.span_s), s.on) for s in lamp),
    )
    day_s = float(rng.choice([1200.0, 2400.0, 4800.0]))
    return Script(
        seed,
        duration_s,
        *shifted,
        day_s=day_s,
        dawn_s=float(rng.uniform(0, day_s)),
        noise_level=float(rng.uniform(1.0, 6.0)),
        shake_px=float(rng.choice([0.0, 0.0, 1.0, 2.0])),
        happenings=_in_view(_happenings(*shifted), duration_s),
    )


def with_passages(script: Script, passages: tuple[Passage, ...]) -> Script:
    """The same world, but for who passes."""
    happenings = _happenings(script.visits, passages, script.gate, script.lamp)
    in_view = _in_view(happenings, script.duration_s)
    return replace(script, passages=passages, happenings=in_view)


def _in_view(happenings: Iterable[Happening], duration_s: float) -> tuple[Happening, ...]:
    """What is seen of it within the footage, in order of its start."""
    seen = (h for h in happenings if h.end_s > 0 and h.start_s < duration_s)
    return tuple(sorted(seen, key=lambda h: (h.start_s, h.text)))


def _shift(span_s: tuple[float, float]) -> tuple[float, float]:
    return span_s[0] - WARM_UP_S, span_s[1] - WARM_UP_S


def _shift_visit(visit: Visit) -> Visit:
    return Visit(
        visit.kind,
        visit.colour,
        visit.place,
        visit.place_x,
        _shift(visit.enter_s),
        _shift(visit.leave_s),
        tuple(_shift(jump) for jump in visit.jumps_s),
        _shift(visit.put_down_s) if visit.put_down_s else None,
        _shift(visit.pick_up_s) if visit.pick_up_s else None,
    )


def _length(rng: np.random.Generator) -> float:
    return float(rng.uniform(MIN_EVENT_S, MAX_EVENT_S))


def _visits(rng: np.random.Generator, end_s: float, pace: float) -> Iterator[Visit]:
    """Each place is taken by one visitor at a time; moments within a visit never overlap."""
    for place in range(len(PLACES_X)):
        now_s = float(rng.exponential(45 / pace))
        while now_s < end_s:
            enter_s = (now_s, now_s + _length(rng))
            now_s = enter_s[1] + 1 + float(rng.exponential(8))
            jumps_s: list[tuple[float, float]] = []
            free_s: list[tuple[float, float]] = []
            for _ in range(int(rng.choice([1, 2, 3]))):
                moment_s = (now_s, now_s + _length(rng))
                (jumps_s if rng.random() < 0.35 else free_s).append(moment_s)
                now_s = moment_s[1] + 1.5 + float(rng.exponential(14))
            leave_s = (now_s, now_s + _length(rng))
            now_s = leave_s[1] + 2 + float(rng.exponential(50 / pace))
            yield Visit(
                kind=str(rng.choice(YARD_KINDS)),
                colour=str(rng.choice(COLOURS)),
                place=place,
                place_x=PLACES_X[place] + float(rng.uniform(-0.035, 0.035)),
                enter_s=enter_s,
                leave_s=leave_s,
                jumps_s=tuple(jumps_s),
                put_down_s=free_s[0] if free_s else None,
                pick_up_s=None,
            )


def _carry_the_box(rng: np.random.Generator, visits: list[Visit]) -> list[Visit]:
    """Decide who puts the one box down and who picks it up; a visit's free moment is used for it.

    The box comes into the yard with whoever puts it down, and leaves with whoever picks it up.
    """
    lies_at: tuple[int, float] | None = None  # place, and since when
    away_until_s = 0.0
    decided: list[Visit] = []
    for visit in visits:
        moment_s = visit.put_down_s
        put_down_s = pick_up_s = None
        place_x = visit.place_x
        if moment_s and visit.kind in CARRIER_KINDS:
            if lies_at is None and visit.enter_s[0] >= away_until_s and rng.random() < 0.8:
                put_down_s, lies_at = moment_s, (visit.place, moment_s[1])
            elif (
                lies_at
                and visit.place == lies_at[0]
                and visit.enter_s[0] > lies_at[1]
                and rng.random() < 0.7
            ):
                pick_up_s, lies_at, away_until_s = moment_s, None, visit.leave_s[1] + 1
        decided.append(
            Visit(
                visit.kind, visit.colour, visit.place, place_x, visit.enter_s, visit.leave_s,
                visit.jumps_s, put_down_s, pick_up_s,
            )
        )  # fmt: skip
    return decided


def draw_passages(
    rng: np.random.Generator,
    lane: Literal["street", "sky"],
    kinds: tuple[str, ...],
    end_s: float,
    *,
    mean_gap_s: float,
) -> Iterator[Passage]:
    """One after the other, up to a time."""
    now_s = float(rng.exponential(mean_gap_s))
    while now_s < end_s:
        span_s = (now_s, now_s + _length(rng))
        yield Passage(
            str(rng.choice(kinds)), str(rng.choice(COLOURS)), lane, bool(rng.random() < 0.5), span_s
        )
        now_s = span_s[1] + 1 + float(rng.exponential(mean_gap_s))


def _switchings(
    rng: np.random.Generator, end_s: float, *, mean_gap_s: float
) -> Iterator[Switching]:
    now_s, on = float(rng.exponential(mean_gap_s)), bool(rng.random() < 0.5)
    while now_s < end_s:
        span_s = (now_s, now_s + _length(rng))
        yield Switching(span_s, on)
        now_s, on = span_s[1] + 3 + float(rng.exponential(mean_gap_s)), not on


def _happenings(
    visits: tuple[Visit, ...],
    passages: tuple[Passage, ...],
    gate: tuple[Switching, ...],
    lamp: tuple[Switching, ...],
) -> Iterator[Happening]:
    for visit in visits:
        subject = f"the {visit.colour} {visit.kind}"
        yield _happening(visit.enter_s, subject, "enters")
        yield _happening(visit.leave_s, subject, "leaves")
        for jump_s in visit.jumps_s:
            yield _happening(jump_s, subject, "jumps")
        if visit.put_down_s:
            yield _happening(visit.put_down_s, subject, "puts down the box")
        if visit.pick_up_s:
            yield _happening(visit.pick_up_s, subject, "picks up the box")
    for passage in passages:
        subject = " ".join(word for word in ("the", passage.colour, passage.kind) if word)
        action = "crosses" if passage.stays_at_x is None else "burns"
        yield _happening(passage.span_s, subject, action)
    for switching in gate:
        yield _happening(switching.span_s, "the gate", "opens" if switching.on else "closes")
    for switching in lamp:
        yield _happening(switching.span_s, "the lamp", "turns on" if switching.on else "turns off")


def _happening(span_s: tuple[float, float], subject: str, action: str) -> Happening:
    return Happening(*span_s, text=f"{subject} {action}", subject=subject, action=action)
