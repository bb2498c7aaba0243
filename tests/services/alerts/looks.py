"""Builders of looks: what a string of clips shows, one letter a clip."""

from collections.abc import Iterable, Sequence

from services.alerts.machine import step
from services.alerts.rules import Rule
from services.alerts.watch import Look, Seen, Step, Watch
from streaming.messages import NS_PER_S, Alert
from tests.memory.notes import CLIP_S, EPOCH_AT, span

CLIP_NS = CLIP_S * NS_PER_S
SHOWN_BY = {".": (0.0, 0.0), "a": (0.9, 0.0), "b": (0.0, 0.9), "c": (0.9, 0.9), "w": (0.3, 0.0)}
"""Of two claims: neither, the first, the second, both; `w` is a weak first, `-` not watched."""


def rule(sentence: str = "a fox", **changes: object) -> Rule:
    fields = {"name": "r", "cooldown_ns": 0, "to": ("kafka",), "added_at": EPOCH_AT, **changes}
    return Rule.model_validate({"sentence": sentence, **fields})


def look(number: int, seen: Sequence[Seen]) -> Look:
    at = span(number * CLIP_S, (number + 1) * CLIP_S)
    return Look(f"clip-{number}", at, EPOCH_AT, tuple(seen))


def looks(shown: str, *, claims: int = 2) -> list[Look]:
    return [
        look(number, [Seen(p) for p in SHOWN_BY[letter][:claims]])
        for number, letter in enumerate(shown)
        if letter != "-"
    ]


def followed(rule: Rule, seen: Iterable[Look], watch: Watch | None = None) -> list[Alert]:
    """All messages of a rule over some looks."""
    told: list[Alert] = []
    done = Step(watch or Watch())
    for one in seen:
        done = step(rule, rule.condition, done.watch, one)
        told += done.alerts
    return told


def in_short(told: Iterable[Alert]) -> list[str]:
    """Such as `new 10-20`: the state, and the seconds that the alert spans."""
    return [
        f"{one.state} {one.span.start_ns // NS_PER_S}-{one.span.end_ns // NS_PER_S}" for one in told
    ]
