"""Our own words: exact times for [n], and what is said without evidence."""

import pytest

from models.schemas import Intent
from services.wording import Told, cite, counted, unwatched, without_evidence
from streaming.messages import NS_PER_S, Coverage, GapReason, Span, StreamGap, Verdict

SPAN = Span(stream_id="a", start_ns=0, end_ns=600 * NS_PER_S)
WATCHED = Coverage(asked=(SPAN,), asked_ns=600 * NS_PER_S, watched_ns=600 * NS_PER_S)
PART = Coverage(
    asked=(SPAN,),
    asked_ns=600 * NS_PER_S,
    watched_ns=500 * NS_PER_S,
    gaps=(
        StreamGap(
            span=Span(stream_id="a", start_ns=0, end_ns=100 * NS_PER_S),
            reason=GapReason.UNREACHABLE,
        ),
    ),
)
TOLD = [Told("a car comes", at="0:00:01"), Told("it goes", at="0:00:02")]
NONE = PART.model_copy(update={"watched_ns": 0})


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_citations_become_times_however_the_text_is_cut(size: int) -> None:
    text = "Twice: [1] and [2], not [7]; see [a] and [12"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]

    said = "".join(cite(pieces, TOLD))

    assert said == "Twice: 0:00:01 and 0:00:02, not; see [a] and [12"


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("First [what 1], at [1].", "First a car comes, at 0:00:01."),
        ("2 events: [what 1] [1] and [what 2] [2].",
         "2 events: a car comes 0:00:01 and it goes 0:00:02."),
        ("3 times, at [1], [2] and [3].", "3 times, at 0:00:01, 0:00:02."),
        ("At [9].", "."),
        ("A band and at", "A band and at"),
    ],
)  # fmt: skip
def test_what_is_cited_is_said_exactly_and_what_is_not_there_not_at_all(
    written: str, said: str, size: int
) -> None:
    pieces = [written[at : at + size] for at in range(0, len(written), size)]

    assert "".join(cite(pieces, TOLD)) == said


def test_words_are_said_as_soon_as_they_are_whole() -> None:
    assert list(cite(["One two", " three [", "1] four."], TOLD)) == [
        "One", " two three", " 0:00:01 four.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "is_heard"),
    [
        ("12 times, at [1].", True),
        ("In 3 hours 12 times.", True),
        ("In 3 hours often, at [1] and [7].", True),
        ("Twelve times.", True),
        ("122 times, at [1].", False),
        ("In 3 hours 2 times, at [12].", False),
    ],
)
def test_a_count_is_the_one_that_was_found(written: str, is_heard: bool) -> None:
    pieces = [written[:5], written[5:]]

    said = list(counted(pieces, "12", asked="How often in 3 hours?"))

    assert said == ([written] if is_heard else [])


@pytest.mark.parametrize(
    "intent", ["when", "count", "order", "between", "state", "exists", "describe"]
)
def test_the_three_ways_not_to_know_differ(intent: Intent) -> None:
    said = {
        without_evidence(verdict, intent, coverage)
        for verdict, coverage in (
            (Verdict.NOT_FOUND, WATCHED),
            (Verdict.NOT_VISIBLE, WATCHED),
            (Verdict.NOT_WATCHED, NONE),
        )
    }

    assert len(said) == 3


def test_not_found_says_what_was_not_watched() -> None:
    said = without_evidence(Verdict.NOT_FOUND, "exists", PART)

    assert said == (
        "No: nothing like that was noted. "
        "Of the 0:10:00 asked about, 0:01:40 was not watched (unreachable)."
    )


def test_not_watched_says_why() -> None:
    assert "unreachable" in without_evidence(Verdict.NOT_WATCHED, "when", NONE)
    assert "no footage" in without_evidence(
        Verdict.NOT_WATCHED, "when", NONE.model_copy(update={"asked": ()})
    )


def test_all_watched_needs_no_words() -> None:
    assert unwatched(WATCHED) == ""
