"""How right alerts are, as events: on held-out footage, by kind of rule, beside plain words.

Footage of a seed that no training and no other benchmark saw is rendered and watched by the real
service; then rules of each kind are held against it, as `longwatch rule test` does. What is true is
computed from the script alone. An alert is right if it overlaps a true time, give or take
`SLACK_S`, and a true time is found if an alert overlaps it; more alerts than one of a true time are
duplicates, where each counts to the true time with which it has most in common. An alert of what
was true for less than `LEAST_S` is neither right nor wrong. Of what was missed it is said how much
the notes had missed before: no rule finds that.

The baseline is what peers do: an alert for each clip whose caption says the words, without memory.
Of rules over time it has none.

    python -m benchmarks.alerts --work DIR [--hours 2]
"""

import argparse
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchmarks.accuracy import render_once, share
from benchmarks.watching import machine, watch, write_result
from memory.events import matches
from models.nano.grammar import Event
from models.nano.timeline import Moment, Timeline
from models.nano.world import OPPOSITES, write_script
from services.alerts.backtest import back_test
from services.alerts.conditions import Absent, MoreThan, claims_of
from services.alerts.judging import Judge
from services.alerts.rules import Rule
from services.settings import load_settings
from services.wiring import Stores, load_engine, now_at, opened
from streaming.messages import NS_PER_S, Span
from streaming.topics import DAY_S

SEED = 93_000_003
STREAM = "yard"
SLACK_S = 5.0
LEAST_S = 1.5  # what is seen for less nobody can tell
WITHIN_S, ABSENT_S, OFTEN, OFTEN_S = 60, 300, 2, 600
RULES_PER_KIND = 5
PAIRS = 20  # rules with `while`, which seldom come true

T = TypeVar("T")
Times = list[tuple[float, float]]


class Asked(NamedTuple):
    """A rule, when it is true, and when it is for so short that nobody need tell."""

    kind: str
    sentence: str
    true_s: Times
    brief_s: Sequence[tuple[float, float]] = ()


@dataclass
class Tally:
    """Alerts and true times of some rules."""

    rules: int = 0
    right: int = 0
    alerts: int = 0
    found: int = 0
    true: int = 0
    duplicates: int = 0
    missed_by_notes: int = 0
    judgements: int = 0
    clips: int = 0
    watched_s: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list[str])

    @classmethod
    def of_all(cls, tallies: Collection["Tally"]) -> "Tally":
        total = cls()
        for name in (one.name for one in fields(cls)):
            start = getattr(total, name)
            setattr(total, name, sum((getattr(one, name) for one in tallies), start=start))
        return total

    def add(self, asked: Asked, alerts: Times, noted_s: Sequence[Times] = ()) -> None:
        """Count the alerts of a rule. `noted_s`: when notes tell of each of its claims."""
        hits = [[one for one in alerts if overlap(one, true)] for true in asked.true_s]
        right = [one for one in alerts if any(overlap(one, true) for true in asked.true_s)]
        alerts = [
            one
            for one in alerts
            if one in right or not any(overlap(one, brief) for brief in asked.brief_s)
        ]
        nearest = Counter(
            max(asked.true_s, key=lambda true, one=one: in_common(one, true)) for one in right
        )
        self.rules += 1
        self.alerts += len(alerts)
        self.right += len(right)
        self.true += len(asked.true_s)
        self.found += sum(bool(some) for some in hits)
        self.duplicates += sum(count - 1 for count in nearest.values())
        self.missed_by_notes += sum(
            not some and not all(any(overlap(one, true) for one in times) for times in noted_s)
            for true, some in zip(asked.true_s, hits, strict=True)
        )
        if len(right) < len(alerts) or not all(hits):
            missed = sum(not some for some in hits)
            invented = len(alerts) - len(right)
            self.wrong.append(f"{asked.sentence}: {missed} missed, {invented} invented")

    def shown(self) -> dict[str, Any]:
        return {
            "rules": self.rules,
            "true": self.true,
            "alerts": self.alerts,
            "precision": share([True] * self.right + [False] * (self.alerts - self.right))
            if self.alerts
            else None,
            "recall": share([True] * self.found + [False] * (self.true - self.found))
            if self.true
            else None,
            "false_alarms_a_day_of_a_rule": round(
                (self.alerts - self.right) * DAY_S / self.watched_s, 2
            )
            if self.watched_s
            else None,
            "duplicates_per_found": round(self.duplicates / max(1, self.found), 3),
            "missed_by_notes": self.missed_by_notes,
            "judgements_per_clip": round(self.judgements / max(1, self.clips), 4),
            "seconds": round(self.seconds, 1),
            "wrong": self.wrong,
        }


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] + SLACK_S and other[0] < one[1] + SLACK_S


def in_common(one: tuple[float, float], other: tuple[float, float]) -> float:
    return min(one[1], other[1]) - max(one[0], other[0])


def rules_of(timeline: Timeline) -> Iterator[Asked]:
    """Rules of each kind, about what happens most."""
    seen = [moment for moment in timeline.moments if moment.end_s - moment.start_s >= LEAST_S]
    full = most_common(moment.event for moment in seen)
    partial = most_common(Event(one.event.action, one.event.kind) for one in seen)
    for kind, events in (("shown", full), ("shown, in part", partial)):
        for event in events:
            yield Asked(kind, event.plan_text, times_of(timeline, event))
    begins = most_common(one.event for one in seen if one.event.action in OPPOSITES)
    for event in begins:
        after = Event(OPPOSITES[event.action], event.kind, event.colour)
        sentence = f'"{event.plan_text}" then "{after.plan_text}" within {WITHIN_S}s'
        yield Asked("then", sentence, followed(timeline.of(event), timeline.of(after)))
    for event in partial:
        sentence = f'absent "{event.plan_text}" for {ABSENT_S}s'
        yield Asked("absent", sentence, absences(times_of(timeline, event), timeline.duration_s))
        sentence = f'more than {OFTEN} "{event.plan_text}" within {OFTEN_S}s'
        yield Asked("more than", sentence, often(times_of(timeline, event)))
    for one, other in most_common(at_once(seen), PAIRS):
        both_s = [
            (max(a.start_s, b.start_s), min(a.end_s, b.end_s))
            for a in timeline.of(one)
            for b in timeline.of(other)
            if min(a.end_s, b.end_s) > max(a.start_s, b.start_s)
        ]
        true_s = [both for both in both_s if both[1] - both[0] >= LEAST_S]
        brief_s = [both for both in both_s if both not in true_s]
        yield Asked("while", f'"{one.plan_text}" while "{other.plan_text}"', true_s, brief_s)


def most_common(things: Iterable[T], number: int = RULES_PER_KIND) -> list[T]:
    return [thing for thing, _ in Counter(things).most_common(number)]


def times_of(timeline: Timeline, event: Event) -> Times:
    return [
        (max(0.0, one.start_s), min(timeline.duration_s, one.end_s))
        for one in timeline.of(event)
        if one.end_s > 0 and one.start_s < timeline.duration_s
    ]


def followed(firsts: Sequence[Moment], seconds: Sequence[Moment]) -> Times:
    """From each first to the second that begins next, if it does within the time."""
    found: Times = []
    in_order = sorted([*firsts, *seconds], key=lambda moment: moment.start_s)
    for one, other in pairwise(in_order):
        is_pair = one in firsts and other in seconds
        if is_pair and one.start_s >= 0 and other.start_s - one.start_s <= WITHIN_S:
            found.append((one.start_s, other.end_s))
    return found


def absences(times_s: Times, duration_s: float) -> Times:
    bounds = [(0.0, 0.0), *sorted(times_s), (duration_s, duration_s)]
    return [
        (one[1] + ABSENT_S, other[0])
        for one, other in pairwise(bounds)
        if other[0] - one[1] >= ABSENT_S
    ]


def often(times_s: Times) -> Times:
    """From when one more than `OFTEN` began within the time, joined."""
    starts_s = sorted(start_s for start_s, _ in times_s)
    found: Times = []
    for first_s, last_s in zip(starts_s, starts_s[OFTEN:], strict=False):
        if last_s - first_s > OFTEN_S:
            continue
        if found and last_s <= found[-1][1]:
            found[-1] = (found[-1][0], first_s + OFTEN_S)
        else:
            found.append((last_s, first_s + OFTEN_S))
    return found


def at_once(seen: Sequence[Moment]) -> Iterator[tuple[Event, Event]]:
    for number, one in enumerate(seen):
        for other in seen[number + 1 :]:
            if other.start_s >= one.end_s:
                break
            if min(one.end_s, other.end_s) - other.start_s >= LEAST_S and one.text != other.text:
                yield (
                    Event(one.event.action, one.event.kind),
                    Event(other.event.action, other.event.kind),
                )


def raised_by_words(stores: Stores, sentence: str) -> Times:
    """The baseline: one alert for each clip whose caption says so."""
    return [
        (note.span.start_ns / NS_PER_S, note.span.end_ns / NS_PER_S)
        for note in stores.record.clips()
        if matches(sentence, note.text)
    ]


def noted_s(stores: Stores, rule: Rule) -> list[Times]:
    """When notes tell of what a rule wants to be shown, for each claim."""
    if isinstance(rule.condition, Absent | MoreThan):
        return []
    events = [event for note in stores.record.clips() for event in note.events]
    return [
        [seconds_of(event.span) for event in events if matches(claim, event.text)]
        for claim in claims_of(rule.condition)
    ]


def examine(stores: Stores, judge: Judge, timeline: Timeline) -> dict[str, object]:
    ours: dict[str, Tally] = {}
    words: dict[str, Tally] = {}
    end_ns = round(timeline.duration_s * NS_PER_S)
    everything = [Span(stream_id=STREAM, start_ns=0, end_ns=end_ns)]
    for asked in rules_of(timeline):
        rule = Rule(name="rule", sentence=asked.sentence, cooldown_ns=0, added_at=now_at())
        tried = back_test(rule, stores.record, judge, everything)
        tally = ours.setdefault(asked.kind, Tally())
        noted = noted_s(stores, rule)
        tally.add(asked, [seconds_of(alert.span) for alert in tried.alerts], noted)
        tally.judgements += tried.judgements
        tally.clips += tried.clips
        tally.watched_s += tried.watched_s
        tally.seconds += tried.seconds
        if asked.kind.startswith("shown"):
            baseline = words.setdefault(asked.kind, Tally())
            baseline.add(asked, raised_by_words(stores, asked.sentence), noted)
    return {
        "longwatch": {kind: tally.shown() for kind, tally in ours.items()},
        "longwatch, all kinds": Tally.of_all(ours.values()).shown(),
        "word in the caption": {kind: tally.shown() for kind, tally in words.items()},
    }


def seconds_of(span: Span) -> tuple[float, float]:
    return span.start_ns / NS_PER_S, span.end_ns / NS_PER_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where footage and memory go")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--again", action="store_true", help="use what was remembered before")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    script = write_script(args.seed, duration_s=args.hours * 3600)
    film = args.work / f"{args.seed}.mp4"
    render_once(script, film)
    settings = load_settings(data=args.work / f"memory-{args.seed}")
    if not args.again:
        shutil.rmtree(settings.data, ignore_errors=True)
        watch(settings, {STREAM: film})
    with opened(settings) as stores:
        engine = load_engine(settings)
        judge = Judge(engine=engine, record=stores.record, tokens=stores.tokens)
        result = examine(stores, judge, Timeline.of_script(script))
    path = write_result(
        "alerts",
        {"what": "alerts of rules on held-out footage, as events",
         "command": f"python -m benchmarks.alerts --work DIR --hours {args.hours:g}",
         "machine": machine(), "model_id": engine.model_id, **result},
    )  # fmt: skip
    print(f"{path}: {result}")


if __name__ == "__main__":
    main()
