"""A plan's garbled words are put right by the question and by what was noted; others stay."""

import pytest

from models.schemas import Plan
from services.respelling import respelt

NOTED = ("the tram crosses", "the fire burns", "the red dog enters", "the gate opens")


@pytest.mark.parametrize(
    ("asked", "planned", "meant"),
    [
        ("How many crossings of a tram were recorded?", "the fam crosses", "the tram crosses"),
        ("When do you first see any fire burning?", "the fre bururns", "the fire burns"),
        ("How often did any tram cross?", "the tram crosses", "the tram crosses"),
        ("How often did any tram pass by?", "the tram crosses", "the tram crosses"),
        ("Did a lorry come by the gate?", "a truck arrives", "a truck arrives"),
        ("How many vans were there?", "the vn crosses", "the vn crosses"),
    ],
)
def test_what_is_neither_asked_nor_noted_is_the_word_like_it_that_is_both(
    asked: str, planned: str, meant: str
) -> None:
    plan = Plan(intent="count", events=(planned,), which="last")

    assert respelt(plan, asked=asked, noted=NOTED) == plan.model_copy(update={"events": (meant,)})


def test_what_ends_a_state_is_put_right_as_well_and_no_word_is_said_twice() -> None:
    plan = Plan(intent="state", events=("the red dog enters",), ended_by=("the red dag leaves",))

    found = respelt(plan, asked="Is the red dog still there?", noted=NOTED)

    assert found.ended_by == ("the red dog leaves",)
    assert found.events == plan.events


def test_where_nothing_was_noted_a_plan_stays_as_it_is() -> None:
    plan = Plan(intent="exists", events=("the fam crosses",))

    assert respelt(plan, asked="Did a tram cross?", noted=()) == plan
