"""The words of time are cut out of a question, whatever the question is about."""

from datetime import datetime, timedelta, timezone

import pytest

from services.errors import BadTime, ReversedRange
from services.moments import AgoMoment, Bounds, MediaMoment, Moment, WallMoment
from services.timewords import find_times
from streaming.messages import NS_PER_S

NOW = datetime(2025, 6, 15, 16, 30, tzinfo=timezone(timedelta(hours=2)))
MINUTE = 60


def media(bounds: Bounds) -> tuple[float | None, float | None]:
    return seconds(bounds.start), seconds(bounds.end)


def seconds(moment: Moment | None) -> float | None:
    assert moment is None or isinstance(moment, MediaMoment), moment
    return moment.ns / NS_PER_S if moment else None


@pytest.mark.parametrize(
    ("question", "rest", "range_s"),
    [
        ("What happened between 00:10:00 and 0:20:30?", "What happened?", (600, 1230)),
        ("what happened from 0:10:00 to 0:20:30", "what happened", (600, 1230)),
        ("From 0:10:00 until 0:20:00, list it", "List it", (600, 1200)),
        ("How many came 0:10:00-0:12:00?", "How many came?", (600, 720)),
        ("How many came after 1:15:00?", "How many came?", (4500, None)),
        ("How many came after 1:15:00 and before 1:20:00?", "How many came?", (4500, 4800)),
        ("who came since 2:30", "who came", (150, None)),
        ("Up to 0:30:00, who came?", "Who came?", (None, 1800)),
        ("Who came before 0:30:00.5?", "Who came?", (None, 1800.5)),
        ("Is it still there as of 0:40:00?", "Is it still there?", (None, 2400)),
        ("What happened in the first half hour?", "What happened?", (0, 1800)),
        ("who came within the first two and a half hours", "who came", (0, 9000)),
        ("Did he come in the first ten minutes of the recording?", "Did he come?", (0, 600)),
        ("Did he come after the first 20 minutes?", "Did he come?", (1200, None)),
        ("How many during the third hour?", "How many?", (7200, 10_800)),
        ("who came in the 2nd minute", "who came", (60, 120)),
        ("What happened between minute 10 and minute 20?", "What happened?", (600, 1200)),
        ("What happened between 10 minutes and 20 minutes?", "What happened?", (600, 1200)),
        ("What happened after 20 minutes?", "What happened?", (1200, None)),
        ("What was going on at 0:12:30?", "What was going on?", (750, 751)),
        ("What was seen around 0:12:00?", "What was seen?", (660, 780)),
        ("Two minutes in, who is there?", "Who is there?", (120, 121)),
        ("Which was first in the first hour: A or B?", "Which was first: A or B?", (0, 3600)),
    ],
)
def test_a_time_within_the_footage(
    question: str, rest: str, range_s: tuple[float | None, float | None]
) -> None:
    found = find_times(question, now_at=NOW)

    assert found.rest == rest
    assert media(found.bounds) == range_s
    assert found.words


@pytest.mark.parametrize(
    ("question", "minutes"),
    [
        ("In the last 10 minutes, did anyone come?", 10),
        ("Did anyone come in the last hour and a half?", 90),
        ("who came over the past hour", 60),
        ("who came during the previous half hour", 30),
        ("Who came within the last couple of minutes", None),
        ("who came in the final 2 hours", 120),
    ],
)
def test_a_time_counted_back_from_now(question: str, minutes: int | None) -> None:
    found = find_times(question, now_at=NOW)

    if minutes is None:
        assert found.bounds == Bounds()
    else:
        assert found.bounds == Bounds(start=AgoMoment(minutes * MINUTE * NS_PER_S))


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("Did anyone come today?", (15, 0, 0), (16, 0, 0)),
        ("What happened yesterday?", (14, 0, 0), (15, 0, 0)),
        ("Who came yesterday at 14:00?", (14, 14, 0), (14, 14, 1)),
        ("Who came yesterday between 14:00 and 15:30?", (14, 14, 0), (14, 15, 30)),
        ("Between 2 pm and 3 pm, who came?", (15, 14, 0), (15, 15, 0)),
        ("What happened this morning?", (15, 6, 0), (15, 12, 0)),
        ("What happened last night?", (14, 18, 0), (15, 6, 0)),
        ("Who came on 2025-06-12?", (12, 0, 0), (13, 0, 0)),
        ("from 2025-06-12T08:00 to 2025-06-12T09:00 who came", (12, 8, 0), (12, 9, 0)),
    ],
)
def test_a_time_of_the_clock_on_the_wall(
    question: str, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    found = find_times(question, now_at=NOW)

    assert [wall(found.bounds.start), wall(found.bounds.end)] == [start, end]
    assert "come" in found.rest or "came" in found.rest or found.rest == "What happened?"
    assert not any(word in found.rest for word in ("day", ":", "pm", "2025"))


def wall(moment: Moment | None) -> tuple[int, int, int]:
    assert isinstance(moment, WallMoment)
    at = moment.at.astimezone(NOW.tzinfo)
    return at.day, at.hour, at.minute


@pytest.mark.parametrize(
    "question",
    [
        "When did the courier come for the last time?",
        "What about the second parcel after the first one?",
        "Which came first, the tall one or the short one?",
        "How many times in a row?",
        "Did it stay for 5 seconds in the doorway?",
        "Did she wait before she rang?",
        "How long ago was it?",
    ],
)
def test_words_that_only_look_like_times_stay(question: str) -> None:
    found = find_times(question, now_at=NOW)

    assert (found.rest, found.bounds, found.words) == (question, Bounds(), "")


def test_a_question_of_nothing_but_time_leaves_nothing() -> None:
    assert find_times("Yesterday?", now_at=NOW).rest == ""


def test_a_reversed_range_in_a_question_is_refused() -> None:
    with pytest.raises(ReversedRange, match=r"0:20:00\.000.*turn it round"):
        find_times("What happened between 0:20:00 and 0:10:00?", now_at=NOW)


def test_a_time_that_no_clock_shows_is_refused() -> None:
    with pytest.raises(BadTime, match="0:75:00"):
        find_times("What happened after 0:75:00?", now_at=NOW)


def test_a_long_question_is_read_quickly_enough_to_finish() -> None:
    question = "in the last and a half 1 hour and " * 60

    assert find_times(question, now_at=NOW)
