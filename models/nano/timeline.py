"""A script as a list of moments that questions can be asked about, and what is clear about them.

A moment is clear of an instant when it lies `CLEAR_S` or more away from it; two moments are apart
when one could not be taken for the other's going on. Where something is not clear the answer is
"cannot tell" (None), and the question is not asked.

Times are seconds from the start of the footage; ranges are half-open, None is all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from models.nano.grammar import Event, event_of
from models.nano.scoring import Interval
from models.nano.world import Script

CLEAR_S = 2.0
TOUCHING_S = 1.0
"""What overlaps a range by less, or misses it by less, may be listed or not."""
SETTLED_S = 180.0
"""A state is asked about within so long of the event that made it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens, and the event that it is."""

    start_s: float
    end_s: float
    text: str
    event: Event


@dataclass(frozen=True)
class Timeline:
    """The moments of a script in order of their start."""

    moments: tuple[Moment, ...]
    duration_s: float

    @classmethod
    def of_script(cls, script: Script) -> "Timeline":
        moments = (
            Moment(h.start_s, h.end_s, h.text, event_of(h.subject, h.action))
            for h in script.happenings
        )
        return cls(tuple(sorted(moments, key=lambda m: (m.start_s, m.text))), script.duration_s)

    @cached_property
    def _of_event(self) -> dict[Event, tuple[Moment, ...]]:
        return {}

    def of(self, event: Event) -> tuple[Moment, ...]:
        """Return every moment that a description covers."""
        if event not in self._of_event:
            self._of_event[event] = tuple(m for m in self.moments if event.covers(m.event))
        return self._of_event[event]

    def within(self, event: Event, asked_s: Interval | None) -> list[Moment] | None:
        """Return what a description covers within a range; None where that is not clear."""
        since_s, until_s = asked_s or (0.0, self.duration_s)
        found: list[Moment] = []
        for moment in self.of(event):
            if moment.start_s >= since_s and moment.end_s <= until_s:
                found.append(moment)
            elif moment.end_s > since_s - CLEAR_S and moment.start_s < until_s + CLEAR_S:
                return None
        return found if are_apart(found) else None

    def overlapping(self, asked_s: Interval | None) -> list[Moment]:
        since_s, until_s = asked_s or (0.0, self.duration_s)
        return [m for m in self.moments if m.start_s < until_s and m.end_s > since_s]

    def listed(self, asked_s: Interval) -> tuple[tuple[str, ...], frozenset[str]]:
        """Return the texts of what happens in a range, and of what only touches its edges."""
        inside: dict[str, None] = {}
        touching: set[str] = set()
        for moment in self.moments:
            shared_s = min(moment.end_s, asked_s[1]) - max(moment.start_s, asked_s[0])
            if shared_s >= TOUCHING_S:
                inside[moment.text] = None
            elif shared_s > -TOUCHING_S:
                touching.add(moment.text)
        return tuple(inside), frozenset(touching.difference(inside))

    def settled(self, begins: Event, ends: Event, *, holds: bool) -> list[Interval]:
        """Return when a state has clearly begun, or clearly ended, a little while ago.

        A state that begins twice before it ends is two states, of two who look alike: nothing
        is clear about it then.
        """
        changes = sorted((*self.of(begins), *self.of(ends)), key=lambda m: m.start_s)
        if any(one.event.action == other.event.action for one, other in pairwise(changes)):
            return []
        wanted = begins if holds else ends
        nexts_s = [*(moment.start_s for moment in changes[1:]), self.duration_s]
        return [
            (moment.end_s, min(next_s, moment.end_s + SETTLED_S))
            for moment, next_s in zip(changes, nexts_s, strict=False)
            if wanted.covers(moment.event) and moment.start_s >= 0
        ]


def are_apart(moments: Sequence[Moment]) -> bool:
    """Whether none of the moments, in any order, overlaps or nearly touches another."""
    in_order = sorted(moments, key=lambda moment: moment.start_s)
    return all(other.start_s - one.end_s >= CLEAR_S for one, other in pairwise(in_order))
