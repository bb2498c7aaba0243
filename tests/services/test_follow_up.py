"""What a question of a conversation means, which by itself leaves something open."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from models.schemas import Plan
from services.errors import QuestionTooLong
from services.follow_up import Exchange, Understood, understood
from services.moments import Bounds, MediaMoment, WallMoment
from streaming.messages import NS_PER_S

NOW_AT = datetime(2025, 3, 1, 18, tzinfo=UTC)
DOG = Plan(intent="when", events=("a dog enters",))
MADE_UP = ("the blue truck leaves",)
PLANS = {
    "When did a dog enter?": DOG,
    "How often?": Plan(intent="count", events=MADE_UP),
    "When was the last time?": Plan(intent="when", events=MADE_UP, which="last"),
    "Is it still there?": Plan(intent="state", events=MADE_UP),
    "When did a dog enter? How often?": DOG,
    "When did a dog enter? When was the last time?": DOG,
    "When did a dog enter? Is it still there?": Plan(
        intent="state", events=("a dog enters",), ended_by=("a dog leaves",)
    ),
    "When did a fox enter?": Plan(intent="when", events=("a fox enters",)),
    "What happened?": Plan(intent="describe"),
    "Did a dog enter": Plan(intent="exists", events=("a dog enters",)),
}
TOLD = "It did at 0:10:00.000–0:10:05.250, and at 0:20:00.000–0:20:04.000."


def media(minutes: float, milliseconds: int = 0) -> MediaMoment:
    return MediaMoment(round(minutes * 60 * NS_PER_S) + milliseconds * NS_PER_S // 1000)


def asked(
    text: str, *earlier: tuple[str, str], plan_of: Callable[[str], Plan] = PLANS.__getitem__
) -> Understood:
    exchanges = [Exchange(question=question, answer=answer) for question, answer in earlier]
    return understood(text, exchanges, plan_of, now_at=NOW_AT, otherwise="What happened?")


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("How often?", Plan(intent="count", events=DOG.events)),
        ("When was the last time?", Plan(intent="when", events=DOG.events, which="last")),
        (
            "Is it still there?",
            Plan(intent="state", events=DOG.events, ended_by=("a dog leaves",)),
        ),
    ],
)
def test_what_names_no_event_is_about_that_of_the_question_before(text: str, plan: Plan) -> None:
    meant = asked(text, ("When did a dog enter between 0:05 and 0:30:00?", TOLD))

    assert meant.plan == plan
    assert meant.bounds == Bounds(media(5 / 60), media(30))
    assert meant.text == f"When did a dog enter between 0:05 and 0:30:00? {text}"


def test_what_left_things_open_itself_is_looked_past() -> None:
    meant = asked("How often?", ("When did a dog enter?", TOLD), ("Is it still there?", "No."))

    assert meant.plan == Plan(intent="count", events=DOG.events)


def test_times_of_its_own_come_first() -> None:
    meant = asked("How often before 0:15:00?", ("When did a dog enter after 0:05:00?", TOLD))

    assert meant.bounds == Bounds(end=media(15))
    assert meant.plan.events == DOG.events


def test_a_question_that_says_what_it_is_about_is_asked_by_itself() -> None:
    meant = asked("When did a fox enter?", ("When did a dog enter after 0:05:00?", TOLD))

    assert meant == asked("When did a fox enter?")
    assert meant.bounds == Bounds()


def test_without_anything_before_it_the_plan_stands() -> None:
    assert asked("How often?").plan == PLANS["How often?"]
    assert asked("How often?", ("Is it still there?", "")).plan == PLANS["How often?"]


def test_a_question_before_that_was_too_long_is_looked_past() -> None:
    def plan_of(question: str) -> Plan:
        if len(question) > 100:
            raise QuestionTooLong(chars=len(question), most_chars=100)
        return PLANS[question]

    earlier = [("When did a dog enter?", TOLD), ("and " * 100, "")]
    assert asked("How often?", *earlier, plan_of=plan_of).plan.events == DOG.events


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("And after that?", Bounds(start=media(20, 4001))),
        ("And then?", Bounds(start=media(20, 4001))),
        ("What happened next?", Bounds(start=media(20, 4001))),
        ("And before that?", Bounds(end=media(10))),
        ("What happened meanwhile?", Bounds(media(10), media(20, 4001))),
    ],
)
def test_that_is_when_the_answer_before_says_it_was(text: str, bounds: Bounds) -> None:
    meant = asked(text, ("When did a dog enter?", TOLD))

    assert (meant.bounds, meant.rest) == (bounds, "What happened?")


def test_after_that_goes_with_a_question_of_its_own() -> None:
    meant = asked("Did a dog enter after that", ("When did a fox enter?", TOLD))

    assert meant.plan == PLANS["Did a dog enter"]
    assert meant.bounds == Bounds(start=media(20, 4001))


def test_what_a_camera_saw_is_told_by_the_clock_on_the_wall_also_past_midnight() -> None:
    told = "At 2025-02-28 23:59:58.000–00:00:03.500."
    meant = asked("And after that?", ("When did a dog enter?", told))

    after = datetime(2025, 3, 1, 0, 0, 3, 501_000, tzinfo=UTC)
    assert isinstance(meant.bounds.start, WallMoment)
    assert meant.bounds.start.at == after


def test_where_the_answer_names_no_moment_that_is_nothing() -> None:
    plans = PLANS | {
        "And after that?": Plan(intent="count", events=MADE_UP),
        "When did a dog enter? And after that?": DOG,
    }
    meant = asked(
        "And after that?",
        ("When did a dog enter?", "Nothing of that kind was noted."),
        plan_of=plans.__getitem__,
    )

    assert meant.bounds == Bounds()
    assert meant.plan.events == DOG.events
