"""What is new to longwatch-nano, and questions about it."""

from dataclasses import replace

import numpy as np
import pytest

from models.nano.clips import training_script
from models.nano.draw import SIZE_OF, Painter, placed_passage
from models.nano.novelty import (
    ACTION,
    KIND,
    MACHINES,
    footage,
    known_questions,
    new_questions,
    novel_script,
    said_of,
)
from models.nano.world import Script

ASPECT = 16 / 9


@pytest.fixture(scope="module")
def taught() -> tuple[Script, ...]:
    return footage(clips=48, minutes=10).taught


def test_only_here_are_cows_and_machines_that_burn(taught: tuple[Script, ...]) -> None:
    texts = [one.text for script in taught for one in script.happenings]
    assert sum(KIND in text for text in texts) >= 10
    assert sum(ACTION in text for text in texts) >= 10
    for seed in range(30):
        assert not any(
            KIND in one.text or ACTION in one.text for one in training_script(seed).happenings
        )


def test_flames_are_seen_above_what_burns(taught: tuple[Script, ...]) -> None:
    script, one = next(
        (script, one)
        for script in taught
        for one in script.passages
        if one.burns and 0 < one.span_s[0] < one.span_s[1] < script.duration_s
    )
    middle_s = sum(one.span_s) / 2
    burning, flames = placed_passage(one, middle_s, ASPECT)

    assert (burning.kind, flames.kind, flames.x) == (one.kind, "fire", burning.x)
    assert burning.kind in MACHINES
    assert 0 < burning.bottom_y - flames.bottom_y < SIZE_OF[one.kind][1]
    assert f"the {one.colour} {one.kind} {ACTION}" in {h.text for h in script.happenings}
    shown = Painter(script, width_px=320, height_px=180).picture(middle_s)
    calm = replace(script, passages=tuple(replace(each, burns=False) for each in script.passages))
    differs = (shown != Painter(calm, width_px=320, height_px=180).picture(middle_s)).any(-1)
    rows, columns = np.nonzero(differs)
    assert rows.max() < flames.bottom_y * 180 + 4
    assert abs(columns.mean() - flames.x * 320) < 10


def test_a_person_says_something_of_every_clip() -> None:
    script = novel_script(7, duration_s=60, mean_gap_s=10)
    said = list(said_of(script))

    assert {one.text for one in said if one.text} == {one.text for one in script.happenings}
    for start_s in range(0, 60, 10):
        assert any(one.start_s < start_s + 10 and one.end_s > start_s - 3 for one in said)
    calm = [one for one in said if not one.text]
    assert all(one.end_s - one.start_s == 10 for one in calm)


def test_questions_are_about_what_is_new_or_about_everything_else() -> None:
    asked = footage(clips=6, minutes=15).asked

    new, known = new_questions(asked, count=12), known_questions(asked, count=12)

    assert len(new) == len(known) == 12
    assert {one.kind for one in new} <= {"when", "count"}
    for one in new:
        assert KIND in one.question or any(
            word in one.question.lower() for word in ("burn", "burns", "burned", "burning")
        )
        assert not one.is_right(None, [])
    assert not any(KIND in one.question for one in known)
