"""Questions and the plans they mean: what the planning prompt is trained and examined on.

Explicit times may stand in a question of any kind or have been cut out of it before a model reads
it; both are trained, and neither changes the plan.

Draws from a `random.Random` it is given. The phrasings themselves are in `models.nano.asking`.
"""

from dataclasses import dataclass, replace
from random import Random

from models.nano.asking import (
    FIXED_STATES,
    PHRASINGS,
    Phrasing,
    State,
    ask_event,
    ask_order,
    ask_range,
    ask_state,
    beside,
    clock,
    has_plural,
    phrasings,
    presence,
    tidy,
)
from models.nano.grammar import Event, draw_event
from models.nano.world import COLOURS, YARD_KINDS
from models.schemas import Intent, Plan


def draw_times(rng: Random) -> str:
    """Draw time words such as a person types, to teach that they do not matter to a plan."""
    start_s = rng.randrange(0, 12 * 3600)
    end_s = start_s + rng.choice((60, 60, 90, 300, 600, 3600)) + rng.randrange(60)
    digits = rng.choice((1, 2))
    start, end = (clock(t, hours_digits=digits) for t in (start_s, end_s))
    if rng.random() < 0.25:
        start, end = start.rpartition(":")[0], end.rpartition(":")[0]
    return rng.choice(
        (
            f"between {start} and {end}",
            f"between {start} and {end}",
            f"from {start} to {end}",
            f"from {start} until {end}",
            f"after {start}",
            f"before {end}",
            f"since {start}",
            f"until {end}",
            f"at {start}",
            f"in the last {rng.choice(('hour', '10 minutes', '2 hours', '30 minutes'))}",
            rng.choice(("today", "yesterday", "this morning", "last night")),
        )
    )


@dataclass(frozen=True, slots=True)
class Example:
    """A question, what it means, and the events it is about in parts: for a state, its two ends."""

    question: str
    plan: Plan
    events: tuple[Event, ...] = ()


SHARES: dict[Intent, int] = {
    "when": 2, "between": 2, "count": 2, "order": 4, "state": 3, "exists": 2, "describe": 1,
}  # fmt: skip
"""How often training asks what: the more there is to keep apart, the more often."""


def plan_example(rng: Random) -> tuple[str, Plan]:
    """Draw a training question, in any case, punctuation and politeness, and its plan."""
    drawn = example(rng)
    return drawn.question, drawn.plan


def example(rng: Random) -> Example:
    """Draw a training question in a phrasing that training may use."""
    (kind,) = rng.choices(tuple(SHARES), weights=tuple(SHARES.values()))
    drawn = _example(rng.choice(phrasings(kind, seen=True)), rng, plain=0.7)
    return replace(drawn, question=_vary(drawn.question, rng))


def plan_examples_unseen(rng: Random, *, per_phrasing: int) -> list[tuple[str, Plan]]:
    """Draw questions in each of the phrasings that training never uses, and their plans."""
    drawn = (
        _example(phrasing, rng, plain=0.85)
        for phrasing in PHRASINGS
        if not phrasing.seen
        for _ in range(per_phrasing)
    )
    return [(tidy(one.question), one.plan) for one in drawn]


def _example(phrasing: Phrasing, rng: Random, *, plain: float) -> Example:
    times = draw_times(rng) if rng.random() < 0.25 else ""
    if phrasing.kind == "describe":
        return Example(beside(phrasing.template, times, rng), Plan(intent="describe"))
    if phrasing.kind == "between":
        times = times or (draw_times(rng) if rng.random() < 0.3 else "")
        return Example(ask_range(phrasing, times), Plan(intent="between"))
    if phrasing.kind == "state":
        state = draw_state(rng)
        question, events = ask_state(phrasing, state, rng), (state.begins, state.ends)
        begins, ends = ((event.plan_text,) for event in events)
        plan = Plan(intent="state", events=begins, ended_by=ends)
    elif phrasing.kind == "order":
        events = _distinct_events(rng, phrasing.num_events)
        question = ask_order(phrasing, events, rng, plain=plain)
        plan = Plan(intent="order", events=tuple(event.plan_text for event in events))
    else:
        event = draw_event(rng)
        while phrasing.needs_plural and not has_plural(event):
            event = draw_event(rng)
        question, events = ask_event(phrasing, event, rng, plain=plain), (event,)
        plan = Plan(intent=phrasing.kind, events=(event.plan_text,), which=phrasing.which)
    return Example(beside(question, times, rng), plan, events)


def draw_state(rng: Random) -> State:
    if rng.random() < 0.5:
        return rng.choice(FIXED_STATES)
    kind = rng.choice(YARD_KINDS)
    return presence(kind, None if rng.random() < 0.1 else rng.choice(COLOURS))


def _distinct_events(rng: Random, count: int) -> tuple[Event, ...]:
    events: list[Event] = []
    while len(events) < count:
        event = draw_event(rng)
        if all(event.plan_text != other.plan_text for other in events):
            events.append(event)
    return tuple(events)


_OPENINGS = (
    "please ", "please, ", "hey, ", "ok, ", "hello, ", "so, ", "and ", "now ", "excuse me, ",
    "can you tell me: ", "tell me: ", "one question: ", "could you say: ", "i would like to know: ",
)  # fmt: skip
_CLOSINGS = (" please", ", please", ", thanks", " thank you")


def _vary(question: str, rng: Random) -> str:
    if rng.random() < 0.5:
        question = question.replace(",", "")
    if rng.random() < 0.15:
        question = rng.choice(_OPENINGS) + question
    if rng.random() < 0.08:
        question += rng.choice(_CLOSINGS)
    question += rng.choices(("?", "", " ?", "."), weights=(60, 25, 10, 5))[0]
    case = rng.random()
    if case < 0.5:
        return question[0].upper() + question[1:]
    return question.upper() if case > 0.97 else question
