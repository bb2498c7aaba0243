"""Questions about what people labelled, in the forms that people ask in."""

import pytest

from models.schemas import Intent, Plan, Which
from services.training.inflecting import told_in_parts, told_of_any
from services.training.plans import plans_of


@pytest.mark.parametrize(
    ("text", "forms", "many"),
    [
        ("the red car turns back", "turn back|turned back|turned back|turning back", "red cars"),
        ("the old bus stops", "stop|stopped|stopped|stopping", "old buses"),
        ("a gate closes", "close|closed|closed|closing", "gates"),
        ("a tree falls", "fall|fell|fallen|falling", "trees"),
        ("somebody goes home", "go home|went home|gone home|going home", None),
        ("the lady carries a box", "carry a box|carried a box|carried a box|carrying a box",
         "ladies"),
        ("a tall man passes", "pass|passed|passed|passing", "tall men"),
    ],
)  # fmt: skip
def test_an_event_has_forms(text: str, forms: str, many: str | None) -> None:
    told = told_in_parts(text)

    assert told is not None
    assert "|".join((told.base, told.past, told.part, told.ger)) == forms
    assert told.many == many
    assert f"{told.subject} {told.deed}" == text


@pytest.mark.parametrize("text", ["a parcel is put down", "a fire", "", "the bus", "glass"])
def test_what_has_no_verb_has_no_parts(text: str) -> None:
    assert told_in_parts(text) is None
    assert told_of_any(text) is None


def test_anybody_of_its_kind_is_named_without_more() -> None:
    assert told_of_any("the red car turns back") == "a car turns back"
    assert told_of_any("the old umbrella opens") == "an umbrella opens"
    assert told_of_any("a car turns back") is None
    assert told_of_any("somebody turns back") is None


def test_what_is_labelled_is_asked_for_in_its_forms() -> None:
    asked = dict(plans_of("the red cow turns back"))

    wanted: dict[str, Intent] = {
        "When did the red cow turn back?": "when",
        "Show me the moment when the red cow turned back.": "when",
        "How many red cows turned back?": "count",
        "Was the red cow ever turning back?": "exists",
        "Was it ever seen that the red cow turns back?": "exists",
    }
    for question, intent in wanted.items():
        assert asked[question] == Plan(intent=intent, events=("the red cow turns back",))
    assert {plan.intent for plan in dict(plans_of("a parcel is put down")).values()} == {
        "when", "count", "exists",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("question", "which"),
    [
        ("When did the red cow turn back?", "all"),
        ("When did the red cow first turn back?", "first"),
        ("When was the first time that the red cow turns back?", "first"),
        ("When did the red cow turn back last?", "last"),
        ("When was the red cow last seen turning back?", "last"),
    ],
)
def test_the_first_and_the_last_time_are_asked_for_as_such(question: str, which: Which) -> None:
    asked = dict(plans_of("the red cow turns back"))

    assert asked[question] == Plan(intent="when", events=("the red cow turns back",), which=which)


def test_deeds_of_one_word_are_counted_as_things() -> None:
    asked = dict(plans_of("a tree falls"))

    assert asked["Count the fallings of a tree."] == asked["How many trees fell?"]
    assert not any("pickings" in one for one in dict(plans_of("a man picks up a box")))
