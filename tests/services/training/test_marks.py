"""What people say of alerts and answers becomes claims to learn from."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memory.datasets import TRAIN, read_examples
from memory.feedback import Feedback, KeptAnswer, Mark
from services.settings import Settings
from services.training.building import claims_of
from services.wiring import opened
from streaming.messages import Alert, AlertState, Answer, Citation, Coverage, Span, Verdict
from tests.services.test_cli import run

AT = datetime(2025, 3, 1, tzinfo=UTC)
SPAN = Span(stream_id="cam", start_ns=10**10, end_ns=2 * 10**10)


def alert(sentence: str, *clip_ids: str) -> Alert:
    return Alert(
        alert_id="a1", number=0, state=AlertState.NEW, rule="r", sentence=sentence, span=SPAN,
        start_at=AT, end_at=AT, probability=0.9, clip_ids=clip_ids,
    )  # fmt: skip


def answer(*texts: str) -> KeptAnswer:
    evidence = tuple(
        Citation(span=SPAN, clip_id=f"c{n}", text=text, start_at=AT, end_at=AT)
        for n, text in enumerate(texts)
    )
    said = Answer(
        question="q",
        intent="when",
        text="t",
        verdict=Verdict.FOUND,
        evidence=evidence,
        coverage=Coverage(asked=(SPAN,), watched_ns=1, asked_ns=1),
        model_id="m",
    )
    return KeptAnswer(answer_id="x", asked_at=AT, answer=said)


def mark(about: Alert | KeptAnswer, *, is_right: bool) -> Mark:
    return Mark(about=about, is_right=is_right, marked_at=AT, marked_by="me")


@pytest.mark.parametrize(
    ("about", "is_right", "claims"),
    [
        (alert("a light shines", "c1", "c2"), True,
         [("c1", "a light shines"), ("c2", "a light shines")]),
        (alert("a light shines", "c1"), False, [("c1", "a light shines")]),
        (alert("a light shines then it is dark within 30s", "c1"), False, []),
        (answer("a dim light", "a bright light"), True,
         [("c0", "a dim light"), ("c1", "a bright light")]),
        (answer("a dim light"), False, []),
    ],
)  # fmt: skip
def test_what_a_mark_says_of_clips(
    about: Alert | KeptAnswer, is_right: bool, claims: list[tuple[str, str]]
) -> None:
    assert list(claims_of(mark(about, is_right=is_right))) == claims


def test_marks_are_in_the_set(settings: Settings, tmp_path: Path) -> None:
    with opened(settings) as stores:
        clip_id = stores.record.clips()[1].clip_id
        about = alert("a lantern swings", clip_id)
        Feedback(stores.record.documents).mark(mark(about, is_right=False))

    assert run(settings, "dataset", "build", str(tmp_path / "set")).exit_code == 0

    found = [one for name in (TRAIN, "held-out.jsonl")
             for one in read_examples(tmp_path / "set" / name)
             if "a lantern swings" in one.turns[0][0]]  # fmt: skip
    assert [(one.clips, one.origin, one.turns[0][1]) for one in found] == [
        ((clip_id,), "label", "no")
    ]
