"""Arithmetic over noted events, intent by intent."""

from datetime import UTC, datetime

import pytest

from memory.events import Occurrence
from models.schemas import Plan
from services.findings import find
from streaming.messages import NS_PER_S, Span

EPOCH = datetime(2025, 6, 1, tzinfo=UTC)


def happened(text: str, start_s: int, end_s: int) -> Occurrence:
    span = Span(stream_id="a", start_ns=start_s * NS_PER_S, end_ns=end_s * NS_PER_S)
    return Occurrence(text, span, EPOCH, (f"clip-{start_s}",))


NOTED = [
    happened("the tall courier arrives", 10, 14),
    happened("the door shuts", 20, 22),
    happened("the tall courier arrives", 40, 43),
    happened("the small courier arrives", 50, 53),
    happened("the tall courier goes away", 60, 63),
]


def starts_s(plan: Plan) -> list[int]:
    return [one.span.start_ns // NS_PER_S for one in find(plan, NOTED).moments]


@pytest.mark.parametrize(
    ("which", "expected"), [("all", [10, 40]), ("first", [10]), ("last", [40])]
)
def test_when(which: str, expected: list[int]) -> None:
    plan = Plan.model_validate(
        {"intent": "when", "events": ["the tall courier arrives"], "which": which}
    )

    assert starts_s(plan) == expected
    assert find(plan, NOTED).value is None
    assert find(plan, NOTED).result == str(len(expected))


def test_how_many_counts_every_occurrence() -> None:
    finding = find(Plan(intent="count", events=("a courier arrived",)), NOTED)

    assert (finding.value, finding.result) == (3, "3")


def test_how_many_of_what_never_happened_is_none() -> None:
    finding = find(Plan(intent="count", events=("a cat arrives",)), NOTED)

    assert (finding.value, finding.is_found) == (0, False)


@pytest.mark.parametrize(("event", "expected"), [("the door shuts", True), ("a cat sits", False)])
def test_whether_it_happened(event: str, expected: bool) -> None:
    finding = find(Plan(intent="exists", events=(event,)), NOTED)

    assert finding.value is expected
    assert finding.result == ("yes" if expected else "no")


def test_which_came_first_is_said_as_it_was_noted() -> None:
    finding = find(Plan(intent="order", events=("the small courier", "door shuts")), NOTED)

    assert finding.value == "the door shuts"
    assert [one.text for one in finding.moments] == ["the door shuts", "the small courier arrives"]


def test_of_two_events_the_one_that_happened_came_first() -> None:
    assert find(Plan(intent="order", events=("a cat sits", "door shuts")), NOTED).value == (
        "the door shuts"
    )


def test_of_two_events_that_never_happened_none_came_first() -> None:
    finding = find(Plan(intent="order", events=("a cat sits", "a cat runs")), NOTED)

    assert (finding.value, finding.result, finding.is_found) == (None, "nothing", False)


@pytest.mark.parametrize(
    ("begins", "ends", "value", "start_s"),
    [
        ("the tall courier arrives", "the tall courier goes away", False, 60),
        ("the small courier arrives", "the small courier goes away", True, 50),
        ("a cat comes", "a cat goes", None, None),
    ],
)
def test_whether_a_state_still_holds(
    begins: str, ends: str, value: bool | None, start_s: int | None
) -> None:
    plan = Plan(intent="state", events=(begins,), ended_by=(ends,))

    assert find(plan, NOTED).value is value
    assert starts_s(plan) == ([] if start_s is None else [start_s])


def test_what_happened_lists_everything_in_order() -> None:
    finding = find(Plan(intent="between"), NOTED)

    assert finding.value == tuple(one.text for one in NOTED)
    assert finding.result == "5"


def test_what_happened_between_two_events_is_cut_to_them() -> None:
    plan = Plan(intent="between", events=("door shuts", "the small courier arrives"))

    assert starts_s(plan) == [20, 40, 50]


def test_a_description_keeps_to_what_is_named() -> None:
    assert starts_s(Plan(intent="describe", events=("courier",))) == [10, 40, 50, 60]
