"""Questions say what their plans mean, and those kept out of training stay out."""

import re
from random import Random

import pytest

from models.nano import novelty
from models.nano.asking import (
    FIXED_STATES,
    KINDS_OF_QUESTION,
    PHRASINGS,
    ask_event,
    ask_range,
    ask_state,
    clock,
    phrasings,
)
from models.nano.grammar import FULL_EVENTS, VERBS, Event, event_of, in_full, mention
from models.nano.phrasings import example, plan_example, plan_examples_unseen
from models.nano.world import ACTIONS, write_script
from models.schemas import Intent

RED_CAR = Event("crosses", "car", "red")


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


@pytest.mark.parametrize("kind", KINDS_OF_QUESTION)
def test_every_kind_has_enough_phrasings_and_a_third_of_an_examination_is_unseen(
    kind: Intent,
) -> None:
    assert len(phrasings(kind, seen=True)) >= 60
    assert len(phrasings(kind, seen=False)) >= 12


def test_no_phrasing_occurs_twice_be_it_seen_or_unseen() -> None:
    plain = [" ".join(re.findall(r"[\w{}.]+", phrasing.template)) for phrasing in PHRASINGS]

    assert len(set(plain)) == len(plain)
    assert len({phrasing.id for phrasing in PHRASINGS}) == len(PHRASINGS)


def test_unseen_phrasings_are_built_of_words_that_training_knows() -> None:
    rng = Random(0)
    known = set[str]().union(*(words(plan_example(rng)[0]) for _ in range(15_000)))
    unknown = {
        word
        for phrasing in PHRASINGS
        if not phrasing.seen
        for word in words(re.sub(r"\{[^}]*\}", " ", phrasing.template)) - known
    }

    assert len(unknown) <= 8, unknown


@pytest.mark.parametrize(
    ("event", "plan"),
    [
        (RED_CAR, "the red car crosses"),
        (Event("crosses", "car"), "a car crosses"),
        (Event("crosses", colour="red"), "red crosses"),
        (Event("puts down the box"), "puts down the box"),
        (Event("opens", "gate"), "the gate opens"),
    ],
)
def test_a_plan_says_what_was_said_and_no_more(event: Event, plan: str) -> None:
    assert event.plan_text == plan


def test_a_plan_says_a_full_event_as_the_notes_do() -> None:
    for happening in write_script(3, duration_s=1200).happenings:
        assert event_of(happening.subject, happening.action).plan_text == happening.text


def test_a_description_covers_what_it_leaves_open() -> None:
    assert Event("crosses", "car").covers(RED_CAR)
    assert Event("crosses").covers(RED_CAR)
    assert not Event("crosses", "truck").covers(RED_CAR)
    assert not Event("enters", "car").covers(RED_CAR)


def test_every_action_can_be_worded_and_every_event_said_in_full() -> None:
    assert set(VERBS) == {*ACTIONS, novelty.ACTION}
    for action in ACTIONS:
        assert in_full(Event(action), Random(0)) in FULL_EVENTS


def test_verbs_are_inflected_as_the_sentence_asks() -> None:
    said = mention(RED_CAR, Random(0), plain=1.0)

    assert (said.q, said.s, said.base, said.past) == (
        "the red car crosses",
        "the red car",
        "cross",
        "crossed",
    )
    assert (said.ger, said.nom, said.pl) == ("crossing", "crossing of the red car", "red cars")


def test_an_is_said_before_a_vowel() -> None:
    phrasing = next(p for p in PHRASINGS if p.template == "was there a {nom}")
    question = ask_event(phrasing, Event("opens", "gate"), Random(0), plain=1.0)

    assert question == "was there an opening of the gate"


def test_a_range_may_be_cut_out_of_the_question() -> None:
    phrasing = next(p for p in PHRASINGS if p.template == "{t} what happened")

    assert ask_range(phrasing, "between 0:12:00 and 0:13:30") == (
        "between 0:12:00 and 0:13:30 what happened"
    )
    assert ask_range(phrasing, "") == "what happened"


def test_states_are_asked_about_in_their_own_words() -> None:
    phrasing = next(p for p in PHRASINGS if p.template == "is {s} still {st}")
    asked = {ask_state(phrasing, state, Random(0)) for state in FIXED_STATES}

    assert len(asked) == len(FIXED_STATES)
    assert all(question.startswith("is the ") for question in asked)


def test_training_questions_leave_no_slot_open_and_plan_something() -> None:
    rng = Random(1)
    for _ in range(3000):
        question, plan = plan_example(rng)
        assert not re.search(r"[{}]|  ", question), question
        assert question.strip() == question
        needed = {"order": (2, 3), "between": (0,), "describe": (0,)}.get(plan.intent, (1,))
        assert len(plan.events) in needed
        assert bool(plan.ended_by) == (plan.intent == "state")


def test_a_seed_draws_the_same_questions() -> None:
    assert [example(Random(5)) for _ in range(3)] == [example(Random(5)) for _ in range(3)]


def test_the_examination_goes_through_every_unseen_phrasing() -> None:
    unseen = [phrasing for phrasing in PHRASINGS if not phrasing.seen]

    assert len(plan_examples_unseen(Random(0), per_phrasing=2)) == 2 * len(unseen)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "00:00:00"), (3723.0, "01:02:03")])
def test_the_clock_shows_hours_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
