"""Questions about a script, with the exact truth: for the examination and for the demo.

Only what has one right answer is asked: what is asked about happens clear of the edges of the range
that is asked, so that no rounding of times decides, and never twice in a row so closely that two
could pass for one. Half of the `exists` questions are about what did not happen, and half of the
states asked about have ended. Counts lie between 1 and `MAX_COUNT`, small ones more often.

A range stands in the question as clock times, or is only given beside it, as a caller's options;
a state is asked about as of the end of its range. Times are seconds from the start of the footage.

Draws from a `random.Random` it is given, so that a seed always asks the same.
"""

import math
from dataclasses import dataclass
from random import Random

from models.nano.asking import (
    FIXED_STATES,
    KINDS_OF_QUESTION,
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
from models.nano.grammar import FULL_EVENTS, Event
from models.nano.scoring import Interval, Truth
from models.nano.timeline import CLEAR_S, Moment, Timeline, are_apart
from models.nano.world import COLOURS, YARD_KINDS, Script
from models.schemas import Intent, Plan

MAX_COUNT = 12
PLAIN = 0.85
"""How often an event is worded as the notes would word it."""
IN_PART = 0.2
"""How often an event is described without its colour."""
TIMES_IN_TEXT = 0.5
WINDOWS_S = (300, 600, 1200, 2400, 7200)
RANGES_S = (20, 30, 45, 60, 90, 120)
MAX_LISTED = 5
EDGE_S = 10
"""What happens in the first and last seconds of the footage is cut, so no range touches them."""
TRIES = 5000


@dataclass(frozen=True, slots=True)
class ScriptedQuestion:
    """A question, the range it is about (None: all of the footage), what it means and its truth."""

    question: str
    kind: Intent
    phrasing_id: str
    seen: bool
    asked_s: Interval | None
    plan: Plan
    truth: Truth


class ScriptTooQuiet(ValueError):
    """A script in which too little happens to ask a kind of question about it."""

    def __init__(self, kind: Intent, duration_s: float) -> None:
        super().__init__(
            f"found no {kind!r} question with one right answer in {duration_s:g} s of script; "
            "take a longer one"
        )
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Draft:
    """A question without its phrasing's particulars."""

    question: str
    plan: Plan
    truth: Truth
    asked_s: Interval | None


def questions(
    script: Script, *, rng: Random, per_kind: int, unseen: bool
) -> list[ScriptedQuestion]:
    """Ask `per_kind` questions of each kind, all of them in phrasings seen in training or none.

    Phrasings take turns, so `per_kind` of their number or more uses each of them.
    """
    asker = _Asker(Timeline.of_script(script), rng)
    asked: list[ScriptedQuestion] = []
    for kind in KINDS_OF_QUESTION:
        turns: list[Phrasing] = []
        for number in range(per_kind):
            if not turns:
                turns = rng.sample(of_kind := phrasings(kind, seen=not unseen), len(of_kind))
            asked.append(asker.ask(turns.pop(), wants_yes=number % 2 == 0))
    return asked


class _Asker:
    """Draws questions until one has a single right answer."""

    def __init__(self, timeline: Timeline, rng: Random) -> None:
        self._timeline = timeline
        self._rng = rng
        self._draw = {
            "when": self._when,
            "between": self._between,
            "count": self._count,
            "order": self._order,
            "state": self._state,
            "exists": self._exists,
        }

    def ask(self, phrasing: Phrasing, *, wants_yes: bool) -> ScriptedQuestion:
        """`wants_yes` is what the answer shall be where it is yes or no."""
        for _ in range(TRIES):
            draft = self._draw[phrasing.kind](phrasing, wants_yes)
            if draft is not None:
                return ScriptedQuestion(
                    question=tidy(draft.question),
                    kind=phrasing.kind,
                    phrasing_id=phrasing.id,
                    seen=phrasing.seen,
                    asked_s=draft.asked_s,
                    plan=draft.plan,
                    truth=draft.truth,
                )
        raise ScriptTooQuiet(phrasing.kind, self._timeline.duration_s)

    def _when(self, phrasing: Phrasing, _wants_yes: bool) -> _Draft | None:
        moment = self._rng.choice(self._timeline.moments)
        event = self._described(moment.event)
        asked_s = self._range_around(moment)
        found = self._timeline.within(event, asked_s)
        if not found or (phrasing.which == "all") != (len(found) == 1):
            return None
        true = found[-1 if phrasing.which == "last" else 0]
        return self._about(phrasing, event, asked_s, Truth(interval_s=(true.start_s, true.end_s)))

    def _count(self, phrasing: Phrasing, _wants_yes: bool) -> _Draft | None:
        sizes = range(1, MAX_COUNT + 1)
        size = self._rng.choices(sizes, weights=[size**-0.5 for size in sizes])[0]
        event = self._described(self._rng.choice(self._timeline.moments).event)
        every = self._timeline.of(event)
        if len(every) < size or (phrasing.needs_plural and not has_plural(event)):
            return None
        at = self._rng.randrange(len(every) - size + 1)
        before_s = every[at - 1].end_s if at else 0.0
        is_last = at + size == len(every)
        after_s = self._timeline.duration_s if is_last else every[at + size].start_s
        since_s = self._whole_second(before_s, every[at].start_s)
        until_s = self._whole_second(every[at + size - 1].end_s, after_s)
        if since_s is None or until_s is None:
            return None
        asked_s = (since_s, until_s)
        found = self._timeline.within(event, asked_s)
        if found is None or len(found) != size:
            return None
        return self._about(phrasing, event, asked_s, Truth(value=size))

    def _exists(self, phrasing: Phrasing, wants_yes: bool) -> _Draft | None:
        moment = self._rng.choice(self._timeline.moments)
        asked_s = self._range_around(moment)
        if wants_yes:
            event = self._described(moment.event)
        else:
            misses = _near_misses(moment.event)
            if not misses:
                return None
            event = self._rng.choice(misses)
        found = self._timeline.within(event, asked_s)
        if found is None or bool(found) != wants_yes:
            return None
        return self._about(phrasing, event, asked_s, Truth(value=wants_yes))

    def _about(
        self, phrasing: Phrasing, event: Event, asked_s: Interval | None, truth: Truth
    ) -> _Draft:
        question = ask_event(phrasing, event, self._rng, plain=PLAIN)
        plan = Plan(intent=phrasing.kind, events=(event.plan_text,), which=phrasing.which)
        return _Draft(self._timed(question, asked_s), plan, truth, asked_s)

    def _order(self, phrasing: Phrasing, _wants_yes: bool) -> _Draft | None:
        first = self._rng.choice(self._timeline.moments)
        asked_s = self._range_around(first)
        near = self._timeline.overlapping(asked_s)
        if len(near) < phrasing.num_events:
            return None
        named = self._rng.sample(near, phrasing.num_events)
        events = [self._described(moment.event) for moment in named]
        found = [self._timeline.within(event, asked_s) for event in events]
        once = [only[0] for only in found if only is not None and len(only) == 1]
        if len(once) < len(events) or not are_apart(once):
            return None
        plan = Plan(intent="order", events=tuple(event.plan_text for event in events))
        question = ask_order(phrasing, tuple(events), self._rng, plain=PLAIN)
        truth = Truth(value=min(once, key=lambda moment: moment.start_s).text)
        return _Draft(self._timed(question, asked_s), plan, truth, asked_s)

    def _state(self, phrasing: Phrasing, wants_yes: bool) -> _Draft | None:
        state = self._a_state()
        spans_s = self._timeline.settled(state.begins, state.ends, holds=wants_yes)
        if not spans_s:
            return None
        until_s = self._whole_second(*self._rng.choice(spans_s))
        if until_s is None:
            return None
        question = ask_state(phrasing, state, self._rng)
        if self._rng.random() < TIMES_IN_TEXT:
            question = f"{question} as of {clock(until_s)}"
        begins, ends = (state.begins.plan_text,), (state.ends.plan_text,)
        plan = Plan(intent="state", events=begins, ended_by=ends)
        return _Draft(question, plan, Truth(value=wants_yes), (0.0, until_s))

    def _between(self, phrasing: Phrasing, _wants_yes: bool) -> _Draft | None:
        length_s = self._rng.choice(RANGES_S)
        latest_s = int(self._timeline.duration_s) - length_s - EDGE_S
        if latest_s <= EDGE_S:
            return None
        since_s = float(self._rng.randint(EDGE_S, latest_s))
        asked_s = (since_s, since_s + length_s)
        inside, touching = self._timeline.listed(asked_s)
        if len(inside) > MAX_LISTED:
            return None
        truth = Truth(value=inside, either_way=touching)
        question = ask_range(phrasing, _times(asked_s, self._rng))
        return _Draft(question, Plan(intent="between"), truth, asked_s)

    def _described(self, event: Event) -> Event:
        """Say an event in full, or now and then without its colour."""
        return Event(event.action, event.kind) if self._rng.random() < IN_PART else event

    def _a_state(self) -> State:
        if self._rng.random() < 0.5:
            return self._rng.choice(FIXED_STATES)
        return presence(self._rng.choice(YARD_KINDS), self._rng.choice(COLOURS))

    def _range_around(self, moment: Moment) -> Interval | None:
        """Draw a range with the moment in it; None, the whole footage, if it would be as long."""
        length_s = self._rng.choice(WINDOWS_S)
        if length_s >= self._timeline.duration_s:
            return None
        since_s = min(
            max(0, int(moment.start_s) - self._rng.randrange(length_s)),
            int(self._timeline.duration_s) - length_s,
        )
        return float(since_s), float(since_s + length_s)

    def _whole_second(self, after_s: float, before_s: float) -> float | None:
        """Draw a whole second that is clear of both ends, if there is one."""
        first, last = math.ceil(after_s + CLEAR_S), math.floor(before_s - CLEAR_S)
        return float(self._rng.randint(first, last)) if first <= last else None

    def _timed(self, question: str, asked_s: Interval | None) -> str:
        """Put the range into the words of the question, or leave it beside them."""
        if asked_s is None or self._rng.random() >= TIMES_IN_TEXT:
            return question
        return beside(question, _times(asked_s, self._rng), self._rng)


def _times(asked_s: Interval, rng: Random) -> str:
    start, end = (clock(time_s) for time_s in asked_s)
    return f"between {start} and {end}" if rng.random() < 0.5 else f"from {start} to {end}"


def _near_misses(event: Event) -> list[Event]:
    """Return what might have happened instead: all but one part of it the same."""
    parts = ("action", "kind", "colour")
    return [
        other
        for other in FULL_EVENTS
        if sum(getattr(event, part) != getattr(other, part) for part in parts) == 1
    ]
