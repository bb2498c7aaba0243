"""Facts are counted once, in the same words, at about the same time."""

import pytest

from memory.datasets import Example, ExampleTask, turns_of
from models.schemas import Note, NoteEvent
from services.training.scoring import Scores, compared, num_right, score


def event(start_s: float, end_s: float, text: str) -> NoteEvent:
    return NoteEvent(start_s=start_s, end_s=end_s, text=text)


TRUE = (event(1, 3, "the boat leaves"), event(6, 8, "the boat leaves"), event(2, 4, "a bird sings"))


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (TRUE, 3),
        ((), 0),
        ((event(1, 3, "a boat is leaving"),), 1),
        ((event(1, 3, "the boat leaves"),) * 3, 1),
        ((event(3.9, 5, "the boat leaves"), event(4, 5.5, "the boat leaves")), 2),
        ((event(9.5, 10, "the boat leaves"),), 0),
        ((event(2, 4, "a red bird sings"),), 0),
        ((event(2, 4, "no bird sings"),), 0),
        ((event(1, 3, "leaves the boat"),), 0),
    ],
)
def test_a_fact_is_right_once(said: tuple[NoteEvent, ...], right: int) -> None:
    assert num_right(TRUE, said) == right


def example(number: int, task: ExampleTask, *turns: tuple[str, str]) -> Example:
    return Example(id=str(number), task=task, origin="given", conversations=turns_of(*turns))


def scored(example: Example, *replies: str) -> dict[str, tuple[int, int]]:
    scores = Scores()
    score(scores, example, replies)
    return {measure: trials[example.id] for measure, trials in scores.by_measure.items()}


def test_notes_are_scored_by_their_facts() -> None:
    true = Note(text="x", events=TRUE).as_reply()
    said = Note(text="y", events=(TRUE[0], event(9, 10, "a duck quacks"))).as_reply()

    assert scored(example(1, "note", ("p", true)), said) == {
        "note precision": (1, 2),
        "note recall": (1, 3),
    }
    assert scored(example(1, "note", ("p", true)), "what?") == {
        "note precision": (0, 0),
        "note recall": (0, 3),
    }


def test_calm_is_to_be_recognised_in_words() -> None:
    calm = example(1, "note", ("p", Note(text="nothing happens").as_reply()))

    assert scored(calm, Note(text="all quiet").as_reply())["note calm recognised"] == (1, 1)
    assert scored(calm, "{")["note calm recognised"] == (0, 1)
    assert scored(calm, Note(text="x", events=TRUE).as_reply())["note calm recognised"] == (0, 1)


def test_judgements_answers_and_folds() -> None:
    claims = example(1, "judge", ("a", "yes"), ("b", "no"), ("c", "no"))
    assert scored(claims, "yes", "no", "yes") == {"judge right": (2, 3)}
    assert scored(example(1, "answer", ("q", "the red boat")), "red boats") == {
        "answer right": (1, 1)
    }
    fold = example(1, "fold", ("q", "a boat leaves, 2 times; a bird sings"))
    assert scored(fold, "a bird sings; a boat leaves")["fold precision"] == (1, 2)


def scores_of(rights: list[int]) -> Scores:
    scores = Scores()
    for number, right in enumerate(rights):
        scores.add("judge right", str(number), (right, 1))
    return scores


def test_a_difference_is_measured_on_the_same_examples() -> None:
    good, bad = scores_of([1] * 40), scores_of([1] * 20 + [0] * 20)

    worse = compared(bad, good)["judge right"]
    assert worse.value == -0.5
    assert worse.high < 0
    assert compared(good, good)["judge right"].high == 0
    one_off = compared(scores_of([1] * 39 + [0]), good)["judge right"]
    assert one_off.low < 0 <= one_off.high


@pytest.mark.parametrize(("count", "is_told"), [(1, False), (5, False), (6, True)])
def test_few_examples_tell_no_difference(count: int, is_told: bool) -> None:
    worse = compared(scores_of([0] * count), scores_of([1] * count))["judge right"]

    assert worse.value == -1
    assert (worse.high < 0) == is_told


def test_measures_without_trials_are_left_out() -> None:
    scores = Scores()
    scores.add("note precision", "1", (0, 0))
    scores.add("note recall", "1", (1, 2))

    assert list(scores.estimates()) == ["note recall"]
    assert scores.counts() == {"note precision": 0, "note recall": 2}
