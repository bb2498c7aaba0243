"""Marks are kept with what they are about, in each kind of record, and go with the footage."""

from datetime import timedelta

import pytest

from memory.feedback import ID_TIME, KEPT, Feedback, KeptAnswer, Mark
from memory.record import Record
from memory.spans import whole_stream
from streaming.messages import (
    NS_PER_S,
    Alert,
    AlertState,
    Answer,
    Citation,
    Coverage,
    Span,
    Verdict,
)
from tests.memory.notes import EPOCH_AT, span

LATER = EPOCH_AT + timedelta(days=1)


@pytest.fixture
def feedback(record: Record) -> Feedback:
    return Feedback(record.documents)


def alert(start_s: int, end_s: int, *, stream: str = "pond") -> Alert:
    return Alert(
        alert_id=f"fox@1:{stream}:{start_s * NS_PER_S}",
        number=1,
        state=AlertState.END,
        rule="fox",
        sentence="a fox",
        span=span(start_s, end_s, stream=stream),
        start_at=EPOCH_AT,
        end_at=EPOCH_AT,
        probability=0.9,
        clip_ids=("clip",),
    )


def answer(*evidence: Span, asked: Span, hours: float = 0) -> KeptAnswer:
    asked_at = EPOCH_AT + timedelta(hours=hours)
    said = Answer(
        question="a fox?",
        intent="exists",
        text="yes",
        value=True,
        verdict=Verdict.FOUND,
        evidence=tuple(
            Citation(span=one, clip_id="clip", text="a fox", start_at=EPOCH_AT, end_at=EPOCH_AT)
            for one in evidence
        ),
        coverage=Coverage(asked=(asked,), watched_ns=1, asked_ns=1),
        model_id="some-model@1",
    )
    answer_id = f"{asked_at.strftime(ID_TIME)}-{hours:g}"
    return KeptAnswer(answer_id=answer_id, asked_at=asked_at, answer=said)


def mark(about: Alert | KeptAnswer, *, is_right: bool = False, by: str = "ann") -> Mark:
    return Mark(about=about, is_right=is_right, note="it was a dog", marked_at=LATER, marked_by=by)


def test_a_thing_has_one_mark_the_latest(feedback: Feedback) -> None:
    one, other, said = alert(0, 10), alert(20, 30), answer(asked=span(0, 60))
    for about in (said, one, other):
        feedback.mark(mark(about))
    feedback.mark(mark(one, is_right=True, by="bob"))

    assert feedback.mark_of(one) == mark(one, is_right=True, by="bob")
    assert list(feedback.marks()) == [mark(one, is_right=True, by="bob"), mark(other), mark(said)]
    assert feedback.mark_of(alert(40, 50)) is None


def test_an_answer_is_kept_for_a_while_and_its_mark_for_ever(feedback: Feedback) -> None:
    first, second = answer(asked=span(0, 60)), answer(asked=span(0, 60), hours=1)
    feedback.keep(first)
    feedback.keep(second)
    assert feedback.answer(first.answer_id) == first
    assert feedback.answers(last=5) == [first, second]
    assert feedback.answers(last=5, before=second.answer_id) == [first]
    feedback.mark(mark(first))

    feedback.keep(latest := answer(asked=span(0, 60), hours=KEPT.days * 24 + 0.5))
    assert feedback.answer(first.answer_id) is None
    assert feedback.answers(last=5) == [second, latest]
    assert list(feedback.marks()) == [mark(first)]


@pytest.mark.parametrize(
    ("forgotten", "left"),
    [
        (span(0, 60), {"hill", "wide"}),
        (span(5, 6), {"hill", "wide"}),
        (span(10, 60), {"hill", "here", "wide"}),
        (span(60, 100), {"hill", "here", "wide"}),
        (whole_stream("pond"), {"hill"}),
    ],
)
def test_what_rests_on_forgotten_footage_goes_with_it(
    feedback: Feedback, forgotten: Span, left: set[str]
) -> None:
    answers = {
        "hill": answer(asked=span(0, 60, stream="hill"), hours=1),
        "here": answer(span(5, 8), asked=span(0, 60), hours=2),
        "wide": answer(asked=span(0, 90), hours=3),
    }
    alerts = {"hill": alert(0, 10, stream="hill"), "here": alert(0, 10)}
    for kept in answers.values():
        feedback.keep(kept)
        feedback.mark(mark(kept))
    for raised in alerts.values():
        feedback.mark(mark(raised))
    feedback.forget(forgotten)
    feedback.forget(forgotten)

    assert {name for name, one in answers.items() if feedback.answer(one.answer_id)} == left
    assert {name for name, one in answers.items() if feedback.mark_of(one)} == left
    assert {name for name, one in alerts.items() if feedback.mark_of(one)} == left - {"wide"}
