"""Scripted questions have one right answer, and it follows from the script by plain arithmetic."""

from collections import Counter
from random import Random

import pytest

from memory.events import matches
from models.nano.asking import KINDS_OF_QUESTION, phrasings
from models.nano.baselines import Prior
from models.nano.grammar import event_of
from models.nano.questions import MAX_COUNT, ScriptedQuestion, ScriptTooQuiet, questions
from models.nano.scoring import Reply, score
from models.nano.timeline import Moment, Timeline
from models.nano.world import Happening, Script, write_script

HOURS_2 = 7200.0


@pytest.fixture(scope="module")
def script() -> Script:
    return write_script(11, duration_s=HOURS_2)


@pytest.fixture(scope="module")
def asked(script: Script) -> list[ScriptedQuestion]:
    return [
        one
        for unseen in (False, True)
        for one in questions(script, rng=Random(1), per_kind=80, unseen=unseen)
    ]


def of_kind(asked: list[ScriptedQuestion], *kinds: str) -> list[ScriptedQuestion]:
    return [one for one in asked if one.kind in kinds]


def found(script: Script, one: ScriptedQuestion, phrase: str) -> list[Happening]:
    """What the product's own arithmetic would find, had every note been perfect."""
    since_s, until_s = one.asked_s or (0.0, script.duration_s)
    return [
        happening
        for happening in script.happenings
        if happening.start_s < until_s
        and happening.end_s > since_s
        and matches(phrase, happening.text)
    ]


def test_each_phrasing_gets_its_turn(asked: list[ScriptedQuestion]) -> None:
    for kind in KINDS_OF_QUESTION:
        used = {one.phrasing_id for one in of_kind(asked, kind)}
        assert used == {
            phrasing.id for seen in (True, False) for phrasing in phrasings(kind, seen=seen)
        }


def test_unseen_questions_are_asked_only_where_wanted(script: Script) -> None:
    assert all(one.seen for one in questions(script, rng=Random(0), per_kind=2, unseen=False))
    assert not any(one.seen for one in questions(script, rng=Random(0), per_kind=2, unseen=True))


def test_a_seed_asks_the_same(script: Script) -> None:
    first, second = (questions(script, rng=Random(9), per_kind=3, unseen=True) for _ in range(2))
    assert first == second


def test_when_is_asked_of_what_happens_once_or_first_or_last(
    script: Script, asked: list[ScriptedQuestion]
) -> None:
    for one in of_kind(asked, "when"):
        hits = found(script, one, one.plan.events[0])
        assert len(hits) > 1 if one.plan.which != "all" else len(hits) == 1
        true = hits[-1 if one.plan.which == "last" else 0]
        assert one.truth.interval_s == (true.start_s, true.end_s)


def test_counts_are_those_of_the_script(script: Script, asked: list[ScriptedQuestion]) -> None:
    for one in of_kind(asked, "count"):
        count = len(found(script, one, one.plan.events[0]))
        assert 1 <= count <= MAX_COUNT
        assert one.truth.value == count
    assert len({one.truth.value for one in of_kind(asked, "count")}) > 6


def test_half_of_what_is_asked_never_happened(
    script: Script, asked: list[ScriptedQuestion]
) -> None:
    for one in of_kind(asked, "exists"):
        assert one.truth.value is bool(found(script, one, one.plan.events[0]))
    for kind in ("exists", "state"):
        values = Counter(one.truth.value for one in of_kind(asked, kind))
        assert values[True] == values[False]


def test_the_first_of_several_is_the_one_that_starts_first(
    script: Script, asked: list[ScriptedQuestion]
) -> None:
    for one in of_kind(asked, "order"):
        hits = [found(script, one, phrase) for phrase in one.plan.events]
        assert all(len(of_one) == 1 for of_one in hits)
        assert one.truth.value == min(hits, key=lambda of_one: of_one[0].start_s)[0].text


def test_a_state_is_what_its_last_change_made_it(
    script: Script, asked: list[ScriptedQuestion]
) -> None:
    for one in of_kind(asked, "state"):
        began = found(script, one, one.plan.events[0])
        ended = found(script, one, one.plan.ended_by[0])
        last = max((*began, *ended), key=lambda happening: happening.start_s)
        assert one.truth.value is (last in began)


def test_a_range_lists_what_lies_in_it(script: Script, asked: list[ScriptedQuestion]) -> None:
    for one in of_kind(asked, "between"):
        assert one.asked_s is not None
        true = {happening.text for happening in script.between(*one.asked_s, least_s=1.0)}
        assert isinstance(one.truth.value, tuple)
        assert set(one.truth.value) == true
        assert score(one.truth, Reply(tuple(true))).is_right


def test_a_footage_that_is_too_quiet_is_said_to_be_so() -> None:
    with pytest.raises(ScriptTooQuiet, match="take a longer one"):
        questions(write_script(0, duration_s=30), rng=Random(0), per_kind=5, unseen=False)


def timeline(*spans: tuple[str, str, float, float]) -> Timeline:
    return Timeline(
        tuple(
            Moment(start_s, end_s, f"{subject} {action}", event_of(subject, action))
            for subject, action, start_s, end_s in spans
        ),
        duration_s=1000.0,
    )


GATE_OPENS, GATE_CLOSES = event_of("the gate", "opens"), event_of("the gate", "closes")


def test_what_lies_across_an_edge_is_not_asked_about() -> None:
    line = timeline(("the gate", "opens", 100, 104))

    assert line.within(GATE_OPENS, (50.0, 102.0)) is None
    assert line.within(GATE_OPENS, (105.0, 200.0)) is None
    assert line.within(GATE_OPENS, (110.0, 200.0)) == []


def test_what_comes_twice_in_a_row_is_not_asked_about() -> None:
    line = timeline(("the gate", "opens", 100, 104), ("the gate", "opens", 105, 108))

    assert line.within(GATE_OPENS, None) is None


def test_the_edges_of_a_range_are_lenient() -> None:
    line = timeline(("the gate", "opens", 100, 104), ("the gate", "closes", 110, 114))

    assert line.listed((103.5, 112.0)) == (("the gate closes",), frozenset({"the gate opens"}))


def test_a_state_is_settled_between_its_changes() -> None:
    line = timeline(("the gate", "opens", 100, 104), ("the gate", "closes", 200, 204))

    assert line.settled(GATE_OPENS, GATE_CLOSES, holds=True) == [(104, 200)]
    assert line.settled(GATE_OPENS, GATE_CLOSES, holds=False) == [(204, 384)]


def test_a_state_of_two_who_look_alike_is_not_asked_about() -> None:
    enters, leaves = event_of("the red dog", "enters"), event_of("the red dog", "leaves")
    line = timeline(
        ("the red dog", "enters", 10, 13),
        ("the red dog", "enters", 30, 33),
        ("the red dog", "leaves", 50, 53),
    )

    assert line.settled(enters, leaves, holds=True) == []


def test_baselines_know_what_is_common_and_nothing_of_the_footage(
    asked: list[ScriptedQuestion],
) -> None:
    prior, rng = Prior.of_training(asked, duration_s=HOURS_2), Random(0)
    rights: Counter[tuple[str, str]] = Counter()
    for one in asked:
        rights["blind", one.kind] += score(one.truth, prior.blind(one, duration_s=HOURS_2)).is_right
        rights["random", one.kind] += score(
            one.truth, prior.random(one, rng, duration_s=HOURS_2)
        ).is_right

    assert rights["blind", "exists"] == rights["blind", "state"] == 80
    assert 0.3 < rights["random", "exists"] / 160 < 0.7
    assert rights["blind", "count"] > rights["random", "count"]
    assert rights["blind", "when"] < 0.1 * 160
