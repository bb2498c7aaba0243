"""How nano's events are worded: an `Event`, and a `Mention` of it in all forms of a question.

An event may be said in full ("the red car crosses") or in part ("a car crosses", "something red
crosses", "someone puts down the box"); `plan_text` is the one text that a plan carries for it, with
the same content words as the notes and no others:

    the red car crosses      a car crosses      red crosses      crosses      a red car
    the gate opens           puts down the box

Draws from a `random.Random` it is given. Knows nothing of questions.
"""

from dataclasses import dataclass
from random import Random

from models.nano.world import (
    ACTIONS,
    CARRIER_KINDS,
    COLOURS,
    KINDS,
    SKY_KINDS,
    STREET_KINDS,
    YARD_KINDS,
)

FIXTURES = {"gate": ("opens", "closes"), "lamp": ("turns on", "turns off")}
BOX_ACTIONS = ("puts down the box", "picks up the box")
KINDS_OF = {
    "enters": YARD_KINDS,
    "leaves": YARD_KINDS,
    "jumps": YARD_KINDS,
    "puts down the box": CARRIER_KINDS,
    "picks up the box": CARRIER_KINDS,
    "crosses": STREET_KINDS + SKY_KINDS,
}
ODD_COLOURS = ("orange", "black", "pink", "brown", "grey")
ODD_KINDS = ("cat", "bird", "bus", "bicycle", "horse", "train")
"""What this world does not have: a question about it must be planned like any other."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that may happen; what is None was not said. A gate or a lamp has no colour."""

    action: str
    kind: str | None = None
    colour: str | None = None

    @property
    def is_full(self) -> bool:
        return self.kind is not None and (self.colour is not None or self.kind in FIXTURES)

    @property
    def plan_text(self) -> str:
        if self.kind is None:
            return f"{self.colour} {self.action}" if self.colour else self.action
        return f"{'the' if self.is_full else 'a'} {self.thing} {self.action}"

    @property
    def thing(self) -> str:
        return " ".join(word for word in (self.colour, self.kind) if word)

    def covers(self, other: "Event") -> bool:
        """Whether `other`, said in full, is an event of this description."""
        return (
            self.action == other.action
            and self.kind in (None, other.kind)
            and self.colour in (None, other.colour)
        )


def event_of(subject: str, action: str) -> Event:
    """Read a happening's two halves, such as "the red car" and "crosses"."""
    *colours, kind = subject.removeprefix("the ").split()
    return Event(action, kind, colours[0] if colours else None)


_BOX_MOVES = tuple(Event(action) for action in BOX_ACTIONS)


@dataclass(frozen=True, slots=True)
class Verb:
    """Forms of one way to word an action; `noun` and `nouns` are followed by the subject."""

    base: str
    pres: str
    past: str
    part: str
    ger: str
    noun: str
    nouns: str


def _verb(forms: str) -> Verb:
    return Verb(*(form.strip() for form in forms.split("|")))


VERBS: dict[str, tuple[Verb, ...]] = {
    action: tuple(_verb(line) for line in lines)
    for action, lines in {
        "crosses": (
            "cross|crosses|crossed|crossed|crossing|crossing of|crossings of",
            "pass|passes|passed|passed|passing|passing of|passings of",
            "go by|goes by|went by|gone by|going by|passing of|passings of",
            "pass by|passes by|passed by|passed by|passing by|passing of|passings of",
            "go across|goes across|went across|gone across|going across|crossing of|crossings of",
        ),
        "burns": ("burn|burns|burned|burned|burning|burning of|burnings of",),
        "enters": (
            "enter|enters|entered|entered|entering|entering of|entries of",
            "come in|comes in|came in|come in|coming in|arrival of|arrivals of",
            "arrive|arrives|arrived|arrived|arriving|arrival of|arrivals of",
            "enter the yard|enters the yard|entered the yard|entered the yard|entering the yard"
            "|entry of|entries of",
        ),
        "leaves": (
            "leave|leaves|left|left|leaving|leaving of|departures of",
            "go away|goes away|went away|gone away|going away|departure of|departures of",
            "go out|goes out|went out|gone out|going out|departure of|departures of",
            "leave the yard|leaves the yard|left the yard|left the yard|leaving the yard"
            "|leaving of|departures of",
        ),
        "jumps": (
            "jump|jumps|jumped|jumped|jumping|jump of|jumps of",
            "jump up|jumps up|jumped up|jumped up|jumping up|jump of|jumps of",
            "hop|hops|hopped|hopped|hopping|hop of|hops of",
        ),
        "puts down the box": (
            "put down the box|puts down the box|put down the box|put down the box"
            "|putting down the box|putting down of the box by|puttings down of the box by",
            "put the box down|puts the box down|put the box down|put the box down"
            "|putting the box down|putting down of the box by|puttings down of the box by",
            "set down the box|sets down the box|set down the box|set down the box"
            "|setting down the box|setting down of the box by|settings down of the box by",
            "drop the box|drops the box|dropped the box|dropped the box|dropping the box"
            "|dropping of the box by|droppings of the box by",
        ),
        "picks up the box": (
            "pick up the box|picks up the box|picked up the box|picked up the box"
            "|picking up the box|picking up of the box by|pickings up of the box by",
            "pick the box up|picks the box up|picked the box up|picked the box up"
            "|picking the box up|picking up of the box by|pickings up of the box by",
            "take the box|takes the box|took the box|taken the box|taking the box"
            "|taking of the box by|takings of the box by",
            "lift the box|lifts the box|lifted the box|lifted the box|lifting the box"
            "|lifting of the box by|liftings of the box by",
        ),
        "opens": (
            "open|opens|opened|opened|opening|opening of|openings of",
            "get opened|is opened|was opened|been opened|being opened|opening of|openings of",
        ),
        "closes": (
            "close|closes|closed|closed|closing|closing of|closings of",
            "shut|shuts|shut|shut|shutting|shutting of|shuttings of",
            "get closed|is closed|was closed|been closed|being closed|closing of|closings of",
        ),
        "turns on": (
            "turn on|turns on|turned on|turned on|turning on|turning on of|turnings on of",
            "go on|goes on|went on|gone on|going on|going on of|goings on of",
            "come on|comes on|came on|come on|coming on|coming on of|comings on of",
            "switch on|switches on|switched on|switched on|switching on"
            "|switching on of|switchings on of",
            "get turned on|is turned on|was turned on|been turned on|being turned on"
            "|turning on of|turnings on of",
            "get switched on|is switched on|was switched on|been switched on|being switched on"
            "|switching on of|switchings on of",
        ),
        "turns off": (
            "turn off|turns off|turned off|turned off|turning off|turning off of|turnings off of",
            "go off|goes off|went off|gone off|going off|going off of|goings off of",
            "go out|goes out|went out|gone out|going out|going out of|goings out of",
            "switch off|switches off|switched off|switched off|switching off"
            "|switching off of|switchings off of",
            "get turned off|is turned off|was turned off|been turned off|being turned off"
            "|turning off of|turnings off of",
            "get switched off|is switched off|was switched off|been switched off"
            "|being switched off|switching off of|switchings off of",
        ),
    }.items()
}
BOX_PASSIVES: dict[str, Verb] = {
    "puts down the box": _verb(
        "get put down|is put down|was put down|been put down|being put down"
        "|putting down of|puttings down of"
    ),
    "picks up the box": _verb(
        "get picked up|is picked up|was picked up|been picked up|being picked up"
        "|picking up of|pickings up of"
    ),
}


@dataclass(frozen=True, slots=True)
class Mention:
    """One wording of an event, as the slots of a question template. `pl` is empty where a thing
    comes once only; `plan` is the event as a plan puts it."""

    s: str
    pl: str
    base: str
    pres: str
    past: str
    part: str
    ger: str
    nom: str
    noms: str
    plan: str

    @property
    def q(self) -> str:
        return f"{self.s} {self.pres}"


def mention(event: Event, rng: Random, *, plain: float = 0.7) -> Mention:
    """Word an event; with probability `plain`, each in the words of the notes."""
    if event in _BOX_MOVES and rng.random() < 0.4:
        return _mention(event, "the box", "", BOX_PASSIVES[event.action])
    verbs = VERBS[event.action]
    verb = verbs[0] if rng.random() < plain else rng.choice(verbs)
    subject, plural = _subject(event, rng, plain)
    return _mention(event, subject, plural, verb)


def _mention(event: Event, subject: str, plural: str, verb: Verb) -> Mention:
    return Mention(
        s=subject,
        pl=plural,
        base=verb.base,
        pres=verb.pres,
        past=verb.past,
        part=verb.part,
        ger=verb.ger,
        nom=f"{verb.noun} {subject}",
        noms=f"{verb.nouns} {subject}",
        plan=event.plan_text,
    )


def _subject(event: Event, rng: Random, plain: float) -> tuple[str, str]:
    """Return the subject and its plural."""
    if event.kind in FIXTURES:
        swaps = event.kind == "lamp" and rng.random() > plain
        return ("the light" if swaps else f"the {event.kind}"), ""
    if event.kind is None and event.colour is None:
        if event.action in BOX_ACTIONS:
            return rng.choice(("someone", "anyone", "somebody", "anybody")), ""
        return rng.choice(("something", "anything")), "things"
    if event.kind is None:
        return f"{rng.choice(('something', 'anything'))} {event.colour}", f"{event.colour} things"
    many = event.thing.removesuffix("person") + "people" if event.kind == "person" else ""
    many = many or f"{event.thing}{'es' if event.thing.endswith('s') else 's'}"
    if event.is_full and rng.random() < plain:
        return f"the {event.thing}", many
    article = "an" if event.thing[0] in "aeiou" else "a"
    articles = (f"{article} ", "any ", "the ", "") if event.is_full else (f"{article} ", "any ")
    return rng.choice(articles) + event.thing, many


def draw_event(rng: Random) -> Event:
    """Draw an event to ask about: most in full, some in part, a few that this world never shows."""
    chance = rng.random()
    if chance < 0.25:
        kind = rng.choice(tuple(FIXTURES))
        return Event(rng.choice(FIXTURES[kind]), kind)
    action = rng.choice(tuple(KINDS_OF))
    if chance < 0.35:
        kind, colour = rng.choice(KINDS), rng.choice(COLOURS)
    elif chance < 0.4:
        kind, colour = rng.choice(KINDS + ODD_KINDS), rng.choice(COLOURS + ODD_COLOURS)
    else:
        kind, colour = rng.choice(KINDS_OF[action]), rng.choice(COLOURS)
    if chance > 0.93:
        kind, colour = rng.choice(((None, None), (None, colour)))
    elif chance > 0.83:
        colour = None
    return Event(action, kind, colour)


def draw_full_event(rng: Random) -> Event:
    """Draw an event that this world may show, its actions alike often."""
    return in_full(Event(rng.choice(ACTIONS)), rng)


def in_full(event: Event, rng: Random) -> Event:
    """Fill in what an event left unsaid."""
    for fixture, actions in FIXTURES.items():
        if event.action in actions:
            return Event(event.action, fixture)
    kind = event.kind or rng.choice(KINDS_OF[event.action])
    return Event(event.action, kind, event.colour or rng.choice(COLOURS))


FULL_EVENTS: tuple[Event, ...] = (
    *(Event(action, fixture) for fixture, actions in FIXTURES.items() for action in actions),
    *(
        Event(action, kind, colour)
        for action, kinds in KINDS_OF.items()
        for kind in kinds
        for colour in COLOURS
    ),
)
"""All that this world may show."""
