"""Summaries: what a span shows, and that folding what it is made of gives the same."""

import itertools
from collections.abc import Iterable, Sequence
from functools import reduce
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.summaries import (
    MINUTE_NS,
    Level,
    Summary,
    around,
    cut,
    folded,
    joined,
    summary_of,
)
from memory.values import ClipEvent
from streaming.messages import NS_PER_S, GapReason, Span, StreamGap
from tests.memory.notes import events_of, gap, note, span

MINUTES = 6
WHOLE = span(0, 60 * MINUTES)
TEXTS = ("the bell rings", "The bell rings.", "a door opens")


def local(events: Iterable[ClipEvent], within: Span) -> list[ClipEvent]:
    """What a record gives for a span and its surroundings."""
    wide = around(within)
    return [one for one in events if one.event.span.overlaps(wide.start_ns, wide.end_ns)]


def of(within: Span, events: Sequence[ClipEvent], gaps: Iterable[StreamGap] = ()) -> Summary:
    return summary_of(within, local(events, within), gaps)


def told(summary: Summary) -> list[tuple[str, int, float, float]]:
    return [
        (one.text, one.count, one.first_ns / NS_PER_S, one.last_ns / NS_PER_S)
        for one in summary.kinds
    ]


def in_s(one: Span | None) -> tuple[float, float] | None:
    return one and (one.start_ns / NS_PER_S, one.end_ns / NS_PER_S)


def test_a_summary_says_what_how_often_and_when() -> None:
    events = events_of(
        note(0, events=((2, 4, "the bell rings"), (6, 7, "a door opens"))),
        note(1, events=((1, 3, "The bell rings."),)),
        note(7, events=((0, 5, "the bell rings"),)),
    )
    summary = summary_of(span(0, 80), events, [gap(20, 30), gap(30, 35)])

    assert told(summary) == [("the bell rings", 3, 2, 75), ("a door opens", 1, 6, 7)]
    assert summary.kinds[0].lasted_ns == 9 * NS_PER_S
    assert summary.watched_ns == 65 * NS_PER_S
    assert [in_s(one.span) for one in summary.gaps] == [(20, 35)]
    assert summary.busiest is not None
    assert (in_s(summary.busiest.span), summary.busiest.begun) == ((0, 60), 3)
    assert in_s(summary.calmest) == (35, 70)


def test_what_goes_on_across_the_edge_counts_once() -> None:
    events = events_of(
        note(5, events=((8, 10, "the bell rings"),)), note(6, events=((0, 3, "the bell rings"),))
    )
    first, second = of(span(0, 60), events), of(span(60, 120), events)

    assert told(first) == [("the bell rings", 1, 58, 60)]
    assert told(second) == [("the bell rings", 1, 60, 63)]
    assert second.kinds[0].carried == 1
    assert second.busiest is None
    assert told(joined(first, second)) == [("the bell rings", 1, 58, 63)]


def test_what_a_note_tells_of_before_its_clip_counts_where_it_began() -> None:
    events = events_of(note(6, events=((-2, 3, "the bell rings"),)))
    first, second = of(span(0, 60), events), of(span(60, 120), events)

    assert (first.kinds[0].begun, second.kinds[0].begun) == (1, 0)
    assert told(joined(first, second)) == [("the bell rings", 1, 58, 63)]


def test_a_span_in_which_nothing_happens_is_calm() -> None:
    summary = of(span(0, 60), [])

    assert in_s(summary.calmest) == (0, 60)
    assert in_s(joined(summary, of(span(60, 120), [])).calmest) == (0, 120)
    unwatched = of(span(120, 180), [], [gap(120, 180)])
    assert unwatched.calmest is None
    assert unwatched.watched_ns == 0


@st.composite
def noted(draw: st.DrawFn) -> list[ClipEvent]:
    """Clips with events in half seconds, some of which reach before or to the end of their clip."""
    notes = []
    for number in range(6 * MINUTES + 3):
        events = []
        for _ in range(draw(st.integers(0, 3))):
            begin = draw(st.integers(-8 if number else 0, 19))
            end = draw(st.sampled_from([20, *range(begin + 1, 21)]))
            events.append((begin / 2, end / 2, draw(st.sampled_from(TEXTS))))
        notes.append(note(number, events=tuple(events)))
    return events_of(*notes)


@st.composite
def unwatched(draw: st.DrawFn) -> list[StreamGap]:
    """Gaps that follow one another, some of them for the same reason."""
    bounds = sorted(draw(st.sets(st.integers(0, 60 * MINUTES), max_size=8)))
    reasons = st.sampled_from([None, GapReason.STALLED, GapReason.PAUSED])
    return [
        StreamGap(span=span(start_s, end_s), reason=reason)
        for start_s, end_s in itertools.pairwise(bounds)
        if (reason := draw(reasons)) is not None
    ]


@given(noted(), unwatched(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_minutes_fold_to_what_their_clips_fold_to_in_whatever_order(
    events: list[ClipEvent], gaps: list[StreamGap], random: Random
) -> None:
    parts = [of(minute, events, gaps) for minute in cut(WHOLE, Level.MINUTE)]
    while len(parts) > 1:
        at = random.randrange(len(parts) - 1)
        parts[at : at + 2] = [joined(*parts[at : at + 2])]

    assert parts == [summary_of(WHOLE, events, gaps)]


@given(
    noted(),
    unwatched(),
    st.sets(st.integers(0, MINUTES - 1)),
    st.tuples(st.integers(0, 119), st.integers(240, 360)),
)
@settings(max_examples=60)
def test_what_is_kept_and_what_is_not_say_the_same(
    events: list[ClipEvent], gaps: list[StreamGap], kept: set[int], ends_s: tuple[int, int]
) -> None:
    def stored(level: Level, start_ns: int) -> Summary | None:
        if level is not Level.MINUTE or start_ns // MINUTE_NS not in kept:
            return None
        minute = WHOLE.model_copy(update={"start_ns": start_ns, "end_ns": start_ns + MINUTE_NS})
        return of(minute, events, gaps)

    asked = span(*ends_s)
    found = folded(asked, stored=stored, noted=lambda part: of(part, events, gaps))

    assert found == of(asked, events, gaps)


def test_kept_days_hours_and_minutes_are_read_rather_than_notes() -> None:
    day_ns, hour_ns = Level.DAY.length_ns, Level.HOUR.length_ns
    asked = WHOLE.model_copy(
        update={"start_ns": day_ns - MINUTE_NS, "end_ns": 2 * day_ns + hour_ns + 90 * NS_PER_S}
    )
    read: list[tuple[Level, int]] = []
    bare: list[Span] = []

    def stored(level: Level, start_ns: int) -> Summary:
        read.append((level, start_ns))
        end_ns = start_ns + level.length_ns
        return of(WHOLE.model_copy(update={"start_ns": start_ns, "end_ns": end_ns}), [])

    def noted(part: Span) -> Summary:
        bare.append(part)
        return of(part, [])

    assert folded(asked, stored=stored, noted=noted) == of(asked, [])
    assert read == [
        (Level.MINUTE, day_ns - MINUTE_NS),
        (Level.DAY, day_ns),
        (Level.HOUR, 2 * day_ns),
        (Level.MINUTE, 2 * day_ns + hour_ns),
    ]
    assert [one.duration_s for one in bare] == [30]


@pytest.mark.parametrize(
    ("within", "level", "pieces"),
    [
        (span(30, 150), Level.MINUTE, [(30, 60), (60, 120), (120, 150)]),
        (span(60, 120), Level.MINUTE, [(60, 120)]),
        (span(30, 150), Level.HOUR, [(30, 150)]),
        (span(3590, 7200), Level.HOUR, [(3590, 3600), (3600, 7200)]),
    ],
)
def test_a_span_is_cut_at_whole_ones(
    within: Span, level: Level, pieces: list[tuple[int, int]]
) -> None:
    assert [in_s(one) for one in cut(within, level)] == pieces


def test_joining_is_associative_where_kinds_first_come_late() -> None:
    events = events_of(
        note(7, events=((1, 2, "a door opens"),)), note(13, events=((1, 2, "The bell rings."),))
    )
    parts = [of(minute, events) for minute in cut(span(0, 180), Level.MINUTE)]

    assert reduce(joined, parts) == joined(parts[0], joined(parts[1], parts[2]))
