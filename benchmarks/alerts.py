"""How right alerts are, as events: on held-out footage, by kind of rule, beside plain words.

Footage of a seed that no training and no other benchmark saw is rendered and watched by the real
service; then rules of each kind are held against it, as `longwatch rule test` does. What is true is
computed from the script alone; what is true again after less than a clip goes on, as an alert does.
An alert finds a true time if its onset lies from `EARLY_S` before to `LATE_S` after that of the
true time; each finds one, and is found once. All others are wrong, and duplicates where they
overlap a true time that another one found, and tell of nothing that came again. An alert of what
was true for less than `LEAST_S` is neither right nor wrong. Of what was missed it is said how much
the notes had missed before: no rule finds that.

The baseline is what peers do: an alert for each clip whose caption says the words, those in a row
as one. Its onset is taken to lie anywhere in the clip. Of rules over time it has none.

    python -m benchmarks.alerts --work DIR [--hours 2]
"""

import argparse
import math
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
from services.alerts.machine import KEPT_SHARE
from services.alerts.rules import Rule
from services.settings import load_settings
from services.wiring import Stores, load_engine, now_at, opened
from streaming.messages import NS_PER_S, Span
from streaming.topics import DAY_S

SEED = 93_000_007
STREAM = "yard"
EARLY_S, LATE_S = 1.0, 10.0
CLIP_S = 10.0  # what is true again after less than that goes on
SLACK_S = 5.0  # of when a note tells of something
LEAST_S = 1.5  # what is seen for less nobody can tell
WITHIN_S, ABSENT_S, OFTEN, OFTEN_S = 60, 300, 2, 600
RULES_PER_KIND = 5
PAIRS = 20  # rules with `while`, which seldom come true

T = TypeVar("T")
Times = list[tuple[float, float]]


class Raised(NamedTuple):
    """An alert, whose onset lies in [first_s, last_s]."""

    first_s: float
    last_s: float
    end_s: float

    def begins_with(self, true: tuple[float, float]) -> bool:
        return self.first_s <= true[0] + LATE_S and true[0] - EARLY_S <= self.last_s


class Asked(NamedTuple):
    """A rule, when it is true, and when it is for so short that nobody need tell.

    `again_s`: when it becomes true again so soon that it counts as going on. It may be told of.
    """

    kind: str
    sentence: str
    true_s: Times
    brief_s: Sequence[tuple[float, float]] = ()
    again_s: Sequence[tuple[float, float]] = ()


@dataclass
class Tally:
    """Alerts and true times of some rules."""

    rules: int = 0
    right: int = 0
    alerts: int = 0
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

    def add(self, asked: Asked, raised: Sequence[Raised], noted_s: Sequence[Times] = ()) -> None:
        """Count the alerts of a rule. `noted_s`: when notes tell of each of its claims."""
        found = pairs(asked.true_s, raised)
        missed = [true for true in asked.true_s if true not in found]
        wrong = [
            one
            for one in raised
            if one not in found.values()
            and not any(one.begins_with(brief) for brief in asked.brief_s)
        ]
        self.rules += 1
        self.alerts += len(found) + len(wrong)
        self.right += len(found)
        self.true += len(asked.true_s)
        self.duplicates += sum(
            any(one.first_s < end_s and start_s < one.end_s for start_s, end_s in found)
            for one in wrong
            if not any(one.begins_with(again) for again in asked.again_s)
        )
        self.missed_by_notes += sum(
            not all(any(overlap(one, true) for one in times) for times in noted_s)
            for true in missed
        )
        if wrong or missed:
            self.wrong.append(f"{asked.sentence}: {len(missed)} missed, {len(wrong)} invented")

    def shown(self) -> dict[str, Any]:
        return {
            "rules": self.rules,
            "true": self.true,
            "alerts": self.alerts,
            "precision": share([True] * self.right + [False] * (self.alerts - self.right))
            if self.alerts
            else None,
            "recall": share([True] * self.right + [False] * (self.true - self.right))
            if self.true
            else None,
            "false_alarms_a_day_of_a_rule": round(
                (self.alerts - self.right) * DAY_S / self.watched_s, 2
            )
            if self.watched_s
            else None,
            "duplicates_per_found": round(self.duplicates / max(1, self.right), 3),
            "missed_by_notes": self.missed_by_notes,
            "judgements_per_clip": round(self.judgements / max(1, self.clips), 4),
            "seconds": round(self.seconds, 1),
            "wrong": self.wrong,
        }


def pairs(true_s: Times, raised: Iterable[Raised]) -> dict[tuple[float, float], Raised]:
    """Which alert found which true time: of those that may have, the first that found no other."""
    left = sorted(raised)
    found: dict[tuple[float, float], Raised] = {}
    for true in sorted(true_s):
        one = next((one for one in left if one.begins_with(true)), None)
        if one is not None:
            left.remove(one)
            found[true] = one
    return found


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] + SLACK_S and other[0] < one[1] + SLACK_S


def rules_of(timeline: Timeline) -> Iterator[Asked]:
    """Rules of each kind, about what happens most."""
    seen = [moment for moment in timeline.moments if moment.end_s - moment.start_s >= LEAST_S]
    full = most_common(moment.event for moment in seen)
    partial = most_common(Event(one.event.action, one.event.kind) for one in seen)
    for kind, events in (("shown", full), ("shown, in part", partial)):
        for event in events:
            yield asked_of(kind, event.plan_text, times_of(timeline, event))
    begins = most_common(one.event for one in seen if one.event.action in OPPOSITES)
    for event in begins:
        after = Event(OPPOSITES[event.action], event.kind, event.colour)
        sentence = f'"{event.plan_text}" then "{after.plan_text}" within {WITHIN_S}s'
        pairs_s = followed(timeline.of(event), timeline.of(after))
        yield asked_of("then", sentence, pairs_s)
    for event in partial:
        sentence = f'absent "{event.plan_text}" for {ABSENT_S}s'
        yield Asked("absent", sentence, absences(times_of(timeline, event), timeline.duration_s))
        sentence = f'more than {OFTEN} "{event.plan_text}" within {OFTEN_S}s'
        yield Asked("more than", sentence, often(times_of(timeline, event)))
    for one, other in most_common(at_once(seen), PAIRS):
        both_s = [
            (max(a[0], b[0]), min(a[1], b[1]))
            for a in times_of(timeline, one)
            for b in times_of(timeline, other)
            if min(a[1], b[1]) > max(a[0], b[0])
        ]
        yield asked_of("while", f'"{one.plan_text}" while "{other.plan_text}"', both_s)


def asked_of(kind: str, sentence: str, times_s: Times) -> Asked:
    """A rule about what is true at times; what the footage shows of some may be too short."""
    told_s = [one for one in times_s if one[1] - one[0] >= LEAST_S]
    brief_s = [one for one in times_s if one not in told_s]
    true_s = going_on(told_s)
    starts_s = {start_s for start_s, _ in true_s}
    again_s = [one for one in told_s if one[0] not in starts_s]
    return Asked(kind, sentence, true_s, brief_s, again_s)


def most_common(things: Iterable[T], number: int = RULES_PER_KIND) -> list[T]:
    return [thing for thing, _ in Counter(things).most_common(number)]


def times_of(timeline: Timeline, event: Event) -> Times:
    return [
        (max(0.0, one.start_s), min(timeline.duration_s, one.end_s))
        for one in timeline.of(event)
        if one.end_s > 0 and one.start_s < timeline.duration_s
    ]


def going_on(times_s: Iterable[tuple[float, float]]) -> Times:
    """The same times, those joined between which less than a clip lies."""
    joined: Times = []
    for start_s, end_s in sorted(times_s):
        if joined and start_s - joined[-1][1] < CLIP_S:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((start_s, end_s))
    return joined


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
    """From the end of what is missed then: that is how far back an alert of it goes."""
    bounds = [(0.0, 0.0), *sorted(times_s), (duration_s, duration_s)]
    return [(one[1], other[0]) for one, other in pairwise(bounds) if other[0] - one[1] >= ABSENT_S]


def often(times_s: Times) -> Times:
    """From when more than `OFTEN` began within the time, until less than half as many did."""
    starts_s = sorted(start_s for start_s, _ in times_s)
    least = math.ceil(KEPT_SHARE * (OFTEN + 1))
    found: Times = []
    for number, start_s in enumerate(starts_s):
        goes_on = bool(found) and start_s <= found[-1][1]
        is_too_many = number >= OFTEN and start_s - starts_s[number - OFTEN] <= OFTEN_S
        if goes_on or is_too_many:
            since_s = found.pop()[0] if goes_on else start_s
            found.append((since_s, starts_s[number - least + 1] + OFTEN_S))
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


def raised_by_words(stores: Stores, sentence: str) -> list[Raised]:
    """The baseline: one alert for each clip whose caption says so, and those after it."""
    told = [seconds_of(n.span) for n in stores.record.clips() if matches(sentence, n.text)]
    return [Raised(start_s, start_s + CLIP_S, end_s) for start_s, end_s in going_on(told)]


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
        spans_s = [seconds_of(alert.span) for alert in tried.alerts]
        tally.add(asked, [Raised(start_s, start_s, end_s) for start_s, end_s in spans_s], noted)
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
