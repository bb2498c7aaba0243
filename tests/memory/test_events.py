"""Arithmetic over noted events, by tables and by properties that must always hold."""

from datetime import timedelta

import numpy as np
import pytest

from memory.events import (
    Occurrence,
    StateNow,
    first,
    gap_ns,
    in_range,
    last,
    matches,
    matching,
    occurrences,
    order,
    still_holds,
)
from memory.values import ClipEvent
from streaming.messages import NS_PER_S
from tests.memory.notes import CLIP_S, EPOCH_AT, events_of, note, span

Noted = tuple[float, float, str]
LANDS = "a heron lands"


def happened(
    start_s: float, end_s: float, text: str = LANDS, *, stream: str = "pond"
) -> Occurrence:
    return Occurrence(text, span(start_s, end_s, stream=stream), EPOCH_AT, ("clip",))


def intervals(*clips: tuple[Noted, ...]) -> list[tuple[float, float]]:
    """Occurrences, in seconds, of the events of clips that follow each other."""
    notes = [note(number, events=events) for number, events in enumerate(clips)]
    return [
        (one.span.start_ns / NS_PER_S, one.span.end_ns / NS_PER_S)
        for one in occurrences(events_of(*notes))
    ]


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        pytest.param([()], [], id="nothing"),
        pytest.param([((2, 5, LANDS),)], [(2, 5)], id="one piece"),
        pytest.param([((8, 10, LANDS),), ((0, 3, LANDS),)], [(8, 13)], id="cut once"),
        pytest.param([((9, 9.6, LANDS),), ((0.3, 3, LANDS),)], [(9, 13)], id="cut, times rough"),
        pytest.param(
            [((8, 10, LANDS),), ((0, 10, LANDS),), ((0, 1, LANDS),)], [(8, 21)], id="cut twice"
        ),
        pytest.param(
            [((8, 8.5, LANDS),), ((0, 3, LANDS),)], [(8, 8.5), (10, 13)], id="first ends before"
        ),
        pytest.param(
            [((8, 10, LANDS),), ((2, 3, LANDS),)], [(8, 10), (12, 13)], id="second starts after"
        ),
        pytest.param(
            [((8, 9.2, LANDS),), ((0.8, 3, LANDS),)],
            [(8, 9.2), (10.8, 13)],
            id="both near, far apart",
        ),
        pytest.param(
            [((8, 10, LANDS),), (), ((0, 3, LANDS),)], [(8, 10), (20, 23)], id="a clip between"
        ),
        pytest.param(
            [((1, 3, LANDS), (3.5, 5, LANDS))], [(1, 3), (3.5, 5)], id="twice within a clip"
        ),
        pytest.param([((1, 4, LANDS), (3, 5, LANDS))], [(1, 5)], id="overlapping within a clip"),
        pytest.param([((1, 9, LANDS), (3, 5, LANDS))], [(1, 9)], id="one inside the other"),
        pytest.param(
            [((1, 10, LANDS), (3, 5, LANDS)), ((0, 3, LANDS),)], [(1, 13)], id="cut, and one inside"
        ),
        pytest.param(
            [((8, 10, LANDS),), ((-2.5, 10, LANDS),), ((0.5, 2, LANDS),)],
            [(7.5, 22)],
            id="cut twice, and seen from before",
        ),
        pytest.param(
            [((6, 8.5, LANDS),), ((-1, 2, LANDS),)], [(6, 8.5), (9, 12)], id="a second in view"
        ),
        pytest.param(
            [((8, 10, LANDS),), ((0, 3, "a goose lands"),)], [(8, 10), (10, 13)], id="other texts"
        ),
        pytest.param(
            [((8, 10, "A heron lands."),), ((0, 3, "the heron is landing"),)],
            [(8, 13)],
            id="the same words in other forms",
        ),
    ],
)
def test_pieces_cut_by_clips_are_joined(
    clips: list[tuple[Noted, ...]], expected: list[tuple[float, float]]
) -> None:
    assert intervals(*clips) == expected


@pytest.mark.parametrize(("watched_s", "expected"), [(9.4, 1), (8.9, 2)])
def test_what_a_moment_unwatched_cuts_is_joined(watched_s: float, expected: int) -> None:
    before = events_of(note(0, events=((8, watched_s, LANDS),)))
    before = [one._replace(clip_span=span(0, watched_s)) for one in before]
    after = events_of(note(1, events=((0, 3, LANDS),)))

    assert len(occurrences([*before, *after])) == expected


def test_streams_are_not_joined() -> None:
    here = note(0, events=((8, 10, LANDS),))
    there = note(1, events=((0, 3, LANDS),), stream="hill")
    assert len(occurrences(events_of(here, there))) == 2


def test_an_occurrence_names_the_clips_that_it_rests_on() -> None:
    notes = [note(0, events=((8, 10, LANDS),)), note(1, events=((0, 2, LANDS), (1, 3, LANDS)))]
    (one,) = occurrences(events_of(*notes))

    assert one.text == LANDS
    assert one.clip_ids == (notes[0].clip_id, notes[1].clip_id)
    assert one.epoch_at == EPOCH_AT


def cut_into_clips(random: np.random.Generator) -> tuple[list[Noted], list[ClipEvent]]:
    """What happened, and the pieces of it that clips tell of, in no order."""
    texts = ("a heron lands", "a goose calls", "the old goose calls")
    truth: list[Noted] = []
    for text in texts:
        at_s = 0.0
        while at_s < 200:
            start_s = at_s + float(random.uniform(2.1, 30))
            at_s = start_s + float(random.uniform(0.2, 35))
            truth.append((start_s, at_s, text))
    clips: list[list[Noted]] = [[] for _ in range(30)]
    for start_s, end_s, text in truth:
        for number, clip in enumerate(clips):
            begin_s = max(start_s - number * CLIP_S, 0)
            stop_s = min(end_s - number * CLIP_S, CLIP_S)
            if begin_s < stop_s:
                clip.append((begin_s, stop_s, text))
    pieces = events_of(*(note(number, events=tuple(clip)) for number, clip in enumerate(clips)))
    random.shuffle(pieces)  # pyright: ignore[reportArgumentType]
    return truth, pieces


@pytest.mark.parametrize("seed", range(20))
def test_cutting_into_clips_and_joining_again_gives_what_was(seed: int) -> None:
    truth, pieces = cut_into_clips(np.random.default_rng(seed))

    found = occurrences(pieces)

    assert len(found) == len(truth)
    assert {(one.span, one.text) for one in found} == {
        (span(start_s, end_s), text) for start_s, end_s, text in truth
    }
    assert found == sorted(found, key=lambda one: one.span.start_ns)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_told_again_within_a_piece_is_no_other(seed: int) -> None:
    random = np.random.default_rng(seed)
    _, pieces = cut_into_clips(random)
    again: list[ClipEvent] = []
    for piece in pieces:
        whole = piece.event.span
        start_ns, end_ns = sorted(map(int, random.integers(whole.start_ns, whole.end_ns, 2)))
        part = whole.model_copy(update={"start_ns": start_ns, "end_ns": end_ns + 1})
        again.append(piece._replace(event=piece.event.model_copy(update={"span": part})))

    assert occurrences([*pieces, *again]) == occurrences(pieces)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("a heron lands", "the tall heron lands"),
        ("heron landing", "A heron lands."),
        ("the herons land", "a heron lands on the bank"),
        ("a heron is landing", "the heron landed"),
        ("no heron lands", "no heron lands here"),
        ("two herons land", "two grey herons are landing"),
        ("lights off", "he switches the light off"),
        ("the heron doesn't land", "a heron does not land"),
    ],
)
def test_a_phrase_matches_what_says_as_much_or_more(phrase: str, text: str) -> None:
    assert matches(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("a tall heron lands", "a heron lands"),
        ("a heron lands", "a goose lands"),
        ("a heron lands", "no heron lands"),
        ("no heron lands", "a heron lands"),
        ("a heron lands", "nothing happens"),
        ("lights on", "the light goes off"),
        ("a heron chases a heron", "a heron chases a goose"),
        ("the", "the heron"),
        ("", "a heron lands"),
        ("heron", ""),
    ],
)
def test_a_phrase_does_not_match_what_says_less_or_other(phrase: str, text: str) -> None:
    assert not matches(phrase, text)


def test_another_sense_of_likeness_may_match_too() -> None:
    asked: list[tuple[str, str]] = []

    def similar(phrase: str, text: str) -> float:
        asked.append((phrase, text))
        return 0.9 if text == "a bird touches down" else 0.1

    texts = ["a bird touches down", "a heron lands", "a goose calls", "no bird touches down"]
    found = [text for text in texts if matches(LANDS, text, similar=similar, at_least=0.8)]

    assert found == ["a bird touches down", "a heron lands"]
    assert asked == [(LANDS, "a bird touches down"), (LANDS, "a goose calls")]


def test_matching_keeps_the_order_and_takes_any_of_the_phrases() -> None:
    among = [happened(0, 1), happened(2, 3, "a goose calls"), happened(4, 5, "a fish splashes")]

    assert matching(LANDS, among) == among[:1]
    assert matching(["fish splashing", "heron lands"], among) == [among[0], among[2]]
    assert matching([], among) == []


def test_a_range_keeps_what_overlaps_it() -> None:
    among = [happened(0, 2), happened(5, 9), happened(5, 9, stream="hill"), happened(10, 12)]

    assert in_range(among, [span(2, 10)]) == [among[1]]
    assert in_range(among, [span(1, 6), span(0, 99, stream="hill")]) == among[:3]
    assert in_range(among, []) == []


def test_first_and_last_go_by_start() -> None:
    among = [happened(5, 6), happened(1, 20), happened(3, 4)]

    assert first(among) == among[1]
    assert last(among) == among[0]
    assert first([]) is None
    assert last([]) is None


def test_across_streams_order_follows_wall_time() -> None:
    early = happened(100, 101)
    late = Occurrence(LANDS, span(1, 2, stream="hill"), EPOCH_AT + timedelta(seconds=200), ())

    assert first([late, early]) == early
    assert gap_ns(late, early) == 100 * NS_PER_S


def test_order_is_by_first_occurrence_and_leaves_out_what_never_was() -> None:
    calls = [happened(7, 8, "a goose calls"), happened(2, 3, "a goose calls")]
    named = {"lands": [happened(4, 5)], "calls": calls, "splashes": []}

    assert order(named) == [("calls", calls[1]), ("lands", happened(4, 5))]


@pytest.mark.parametrize(
    ("one", "other", "between_s"), [((0, 2), (5, 6), 3), ((5, 6), (0, 2), 3), ((0, 9), (5, 6), 0)]
)
def test_the_gap_between_two(
    one: tuple[float, float], other: tuple[float, float], between_s: float
) -> None:
    assert gap_ns(happened(*one), happened(*other)) == between_s * NS_PER_S


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        ([], [], StateNow.UNKNOWN),
        ([1], [], StateNow.HOLDS),
        ([], [1], StateNow.ENDED),
        ([1], [5], StateNow.ENDED),
        ([5], [1], StateNow.HOLDS),
        ([1, 7], [5], StateNow.HOLDS),
        ([1, 7], [5, 9], StateNow.ENDED),
        ([5], [5], StateNow.UNKNOWN),
    ],
)
def test_a_state_is_what_happened_last(
    begins: list[float], ends: list[float], expected: StateNow
) -> None:
    state, decided_by = still_holds(
        [happened(at_s, at_s + 1) for at_s in begins],
        [happened(at_s, at_s + 1, "a heron flies off") for at_s in ends],
    )
    assert state is expected
    latest_s = max([*begins, *ends], default=0)
    assert decided_by is None or decided_by.span == span(latest_s, latest_s + 1)


def test_a_state_can_be_asked_of_the_past() -> None:
    begins, ends = [happened(1, 2), happened(7, 8)], [happened(5, 6)]
    zero_ns = first(begins).starts_at_ns - NS_PER_S  # pyright: ignore[reportOptionalMemberAccess]

    def state_at(second: int) -> StateNow:
        return still_holds(begins, ends, at_ns=zero_ns + second * NS_PER_S)[0]

    assert [state_at(second) for second in (1, 3, 6, 9)] == [
        StateNow.UNKNOWN,
        StateNow.HOLDS,
        StateNow.ENDED,
        StateNow.HOLDS,
    ]
