"""Every way to ask nano's questions: fixed lists of phrasings, and how events are put into them.

Six kinds of question have a list each, seen in training or kept out of it (`models.nano.wordings`);
`describe` is there so that it is not taken for another. A phrasing's id is its kind, whether it is
seen, and its place in the list: "count-seen-07".

Wordings are drawn from a `random.Random` that is given. Knows nothing of plans' training
(`models.nano.phrasings`) nor of scripts (`models.nano.questions`).
"""

import re
from dataclasses import dataclass
from random import Random
from typing import cast

from models.nano.grammar import BOX_ACTIONS, FIXTURES, Event, Mention, mention
from models.nano.wordings import between, count, describe, exists, order, state, when
from models.schemas import Intent, Which

_A_BEFORE_VOWEL = re.compile(r"\ba(?= [aeio])")

KINDS_OF_QUESTION: tuple[Intent, ...] = ("when", "between", "count", "order", "state", "exists")

_LISTS = {
    "when": (when.SEEN, when.UNSEEN),
    "between": (between.SEEN, between.UNSEEN),
    "count": (count.SEEN, count.UNSEEN),
    "order": (order.SEEN, order.UNSEEN),
    "state": (state.SEEN, state.UNSEEN),
    "exists": (exists.SEEN, exists.UNSEEN),
    "describe": (describe.SEEN, describe.UNSEEN),
}


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One way to ask one kind of question."""

    id: str
    kind: Intent
    template: str
    seen: bool
    which: Which = "all"

    @property
    def num_events(self) -> int:
        if self.kind == "order":
            return 3 if "{c." in self.template else 2
        return 0 if self.kind in ("between", "describe") else 1

    @property
    def needs_plural(self) -> bool:
        return "{pl}" in self.template


def _read(kind: Intent, lines: str, *, seen: bool) -> tuple[Phrasing, ...]:
    read: list[Phrasing] = []
    for number, line in enumerate(lines.strip().splitlines()):
        mark, bar, template = line.partition(" | ")
        read.append(
            Phrasing(
                id=f"{kind}-{'seen' if seen else 'unseen'}-{number:02}",
                kind=kind,
                template=template if bar else line,
                seen=seen,
                which=cast(Which, mark) if bar else "all",
            )
        )
    return tuple(read)


PHRASINGS: tuple[Phrasing, ...] = tuple(
    phrasing
    for kind, (seen, unseen) in _LISTS.items()
    for phrasing in (
        *_read(cast(Intent, kind), seen, seen=True),
        *_read(cast(Intent, kind), unseen, seen=False),
    )
)


def phrasings(kind: Intent, *, seen: bool) -> tuple[Phrasing, ...]:
    return tuple(p for p in PHRASINGS if p.kind == kind and p.seen == seen)


@dataclass(frozen=True, slots=True)
class State:
    """What one event begins and another ends; `holders` and `adjectives` are its wordings."""

    begins: Event
    ends: Event
    holders: tuple[str, ...]
    adjectives: tuple[str, ...]


def presence(kind: str, colour: str | None) -> State:
    """Return the state of being in the yard."""
    came, went = Event("enters", kind, colour), Event("leaves", kind, colour)
    thing = came.thing
    holders = (f"the {thing}",) if colour else (f"a {thing}", f"any {thing}")
    adjectives = ("there", "in the yard", "around", "in view", "in the picture", "here", "inside")
    return State(came, went, holders, adjectives)


_LAMP, _GATE = ("the lamp", "the light"), ("the gate",)
_LAMP_ON, _LAMP_OFF = Event("turns on", "lamp"), Event("turns off", "lamp")
_GATE_OPEN, _GATE_CLOSED = Event("opens", "gate"), Event("closes", "gate")
_LYING = ("there", "on the ground", "lying there", "in the yard", "around", "here")

FIXED_STATES: tuple[State, ...] = (
    State(_LAMP_ON, _LAMP_OFF, _LAMP, ("on", "lit")),
    State(_LAMP_OFF, _LAMP_ON, _LAMP, ("off", "dark")),
    State(_GATE_OPEN, _GATE_CLOSED, _GATE, ("open", "wide open")),
    State(_GATE_CLOSED, _GATE_OPEN, _GATE, ("closed", "shut")),
    State(Event(BOX_ACTIONS[0]), Event(BOX_ACTIONS[1]), ("the box",), _LYING),
)


def ask_event(phrasing: Phrasing, event: Event, rng: Random, *, plain: float = 0.7) -> str:
    """Put an event into a phrasing of `when`, `count` or `exists`."""
    said = mention(event, rng, plain=plain)
    question = phrasing.template.format(
        s=said.s,
        pl=said.pl,
        base=said.base,
        pres=said.pres,
        past=said.past,
        part=said.part,
        ger=said.ger,
        nom=said.nom,
        noms=said.noms,
    )
    return _A_BEFORE_VOWEL.sub("an", question)


def ask_order(
    phrasing: Phrasing, events: tuple[Event, ...], rng: Random, *, plain: float = 0.7
) -> str:
    """Put two or three events into a phrasing of `order`, in the order given."""
    said: dict[str, Mention] = {
        name: mention(event, rng, plain=plain) for name, event in zip("abc", events, strict=False)
    }
    return phrasing.template.format(**said)


def ask_state(phrasing: Phrasing, state: State, rng: Random) -> str:
    return phrasing.template.format(s=rng.choice(state.holders), st=rng.choice(state.adjectives))


def ask_range(phrasing: Phrasing, times: str) -> str:
    """Put time words, which may be empty, into a phrasing of `between`."""
    return " ".join(phrasing.template.format(t=times).split())


def clock(seconds: float, *, hours_digits: int = 2) -> str:
    """Return whole seconds as HH:MM:SS."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:0{hours_digits}}:{minute:02}:{second:02}"


def has_plural(event: Event) -> bool:
    """Whether one can say "how many" of the event's subject."""
    return event.kind not in FIXTURES and not (event.kind is None and event.action in BOX_ACTIONS)


def beside(question: str, times: str, rng: Random) -> str:
    """Put time words before or after a question."""
    if not times:
        return question
    return f"{question} {times}" if rng.random() < 0.75 else f"{times} {question}"


def tidy(question: str) -> str:
    """Write a question as one is written: a capital letter, a question mark."""
    return question[0].upper() + question[1:] + "?"
