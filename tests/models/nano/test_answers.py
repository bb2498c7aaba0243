"""Answers are a function of what was found, and cite nothing else."""

import re
from random import Random

import pytest

from models.nano.answers import MAX_MOMENTS, answer_example, answer_text, findings_of
from models.schemas import Intent

CAR, GATE = "the red car crosses", "the gate opens"


@pytest.mark.parametrize(
    ("intent", "result", "num_moments", "answer"),
    [
        ("when", "1", 1, "At [1]."),
        ("when", "0", 0, "That did not happen."),
        ("when", "3", 3, "3 times, at [1], [2] and [3]."),
        ("count", "1", 1, "Once, at [1]."),
        ("count", "12", 8, "12 times, first at [1], [2], [3], [4] and [5]."),
        ("order", CAR, 2, "First [what 1], at [1]."),
        ("order", "nothing", 0, "None of them was seen."),
        ("state", "yes", 1, "Yes, since [1]."),
        ("state", "no", 1, "No, not since [1]."),
        ("state", "no", 0, "No."),
        ("state", "nothing", 0, "That was not seen."),
        ("exists", "yes", 2, "Yes, at [1] and [2]."),
        ("exists", "no", 0, "No, that did not happen."),
        ("between", "2", 2, "2 events: [what 1] [1] and [what 2] [2]."),
        (
            "between",
            "4",
            4,
            "4 events: first [what 1] [1], [what 2] [2] and [what 3] [3].",
        ),
        ("between", "0", 0, "Nothing happened."),
    ],
)
def test_an_answer_follows_from_the_findings(
    intent: Intent, result: str, num_moments: int, answer: str
) -> None:
    assert answer_text(intent, result, num_moments) == answer


def test_findings_are_the_result_and_numbered_moments() -> None:
    assert findings_of("2", [CAR, GATE]) == ["result: 2", f"[1] {CAR}", f"[2] {GATE}"]


def test_findings_stay_short_where_much_was_found() -> None:
    assert len(findings_of("500", [CAR] * 500)) == 1 + MAX_MOMENTS


def test_trained_answers_are_short_and_cite_only_what_is_there() -> None:
    rng = Random(0)
    for _ in range(3000):
        _, _, findings, answer = answer_example(rng)
        cited = {int(number) for number in re.findall(r"\[(?:what )?(\d+)\]", answer)}
        assert cited <= set(range(1, len(findings)))
        assert len(re.sub(r"\[(what )?\d+\]", "", answer).split()) < 30


def test_the_same_findings_for_the_same_intent_train_one_answer() -> None:
    rng = Random(1)
    answers: dict[tuple[str, ...], set[str]] = {}
    for _ in range(3000):
        _, intent, findings, answer = answer_example(rng)
        answers.setdefault((intent, *findings), set()).add(answer)

    assert all(len(of_one) == 1 for of_one in answers.values())
