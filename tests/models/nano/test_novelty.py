"""What is new to longwatch-nano, and questions about it."""

from dataclasses import replace

import numpy as np
import pytest

from models.nano.clips import training_script
from models.nano.draw import SIZE_OF, Painter, placed_passage
from models.nano.novelty import (
    ACTION,
    KIND,
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


def test_only_here_are_trams_and_fires(taught: tuple[Script, ...]) -> None:
    texts = [one.text for script in taught for one in script.happenings]
    assert texts.count("the tram crosses") >= 10
    assert texts.count("the fire burns") >= 10
    for seed in range(30):
        assert not any(
            KIND in one.text or ACTION in one.text for one in training_script(seed).happenings
        )


def test_a_fire_is_seen_where_it_stays(taught: tuple[Script, ...]) -> None:
    script, one = next(
        (script, one)
        for script in taught
        for one in script.passages
        if one.stays_at_x is not None and 0 < one.span_s[0] < one.span_s[1] < script.duration_s
    )
    early_s, late_s = one.span_s[0] + 0.1, one.span_s[1] - 0.1
    (early,), (late,) = (placed_passage(one, at_s, ASPECT) for at_s in (early_s, late_s))

    assert (early.kind, early.x, early.bottom_y) == ("fire", one.stays_at_x, late.bottom_y)
    assert early.x == late.x
    shown = Painter(script, width_px=320, height_px=180).picture(early_s)
    others = tuple(each for each in script.passages if each is not one)
    calm = Painter(replace(script, passages=others), width_px=320, height_px=180).picture(early_s)
    rows, columns = np.nonzero((shown != calm).any(-1))
    assert rows.min() > (early.bottom_y - SIZE_OF["fire"][1]) * 180 - 2
    assert abs(columns.mean() - early.x * 320) < 10


def test_a_person_says_all_of_one_clip_of_a_film_and_it_tells_most_of_what_is_new() -> None:
    for seed in range(5):
        script = novel_script(seed, duration_s=50, mean_gap_s=8)
        said = [one for one in said_of(script) if one.text]

        def told_in(start_s: int, script: Script = script) -> list[str]:
            from_s = start_s - 3
            return [
                h.text
                for h in script.happenings
                if from_s <= h.start_s < start_s + 7
                or h.start_s < from_s < start_s + 1.5 <= h.end_s
            ]

        told = {start_s: told_in(start_s) for start_s in (10, 20, 30)}
        new_in = {
            start_s: sum(KIND in text or ACTION in text for text in texts)
            for start_s, texts in told.items()
        }
        (clip_s,) = (start_s for start_s, texts in told.items() if [s.text for s in said] == texts)
        assert new_in[clip_s] == max(new_in.values())
        assert all(clip_s - 3 <= one.start_s < one.end_s <= clip_s + 10 for one in said)


def test_the_last_clip_is_never_the_one_for_no_other_tells_what_begins_late_in_it() -> None:
    script = novel_script(1, duration_s=50, mean_gap_s=8)
    new = next(one for one in script.happenings if KIND in one.text)
    late = [replace(new, start_s=at_s, end_s=at_s + 4) for at_s in (41, 44)]

    (said,) = said_of(replace(script, happenings=tuple(late)))

    assert (said.start_s, said.end_s, said.text) == (7.0, 17.0, "")


def test_where_nothing_happens_a_person_says_so() -> None:
    calm = replace(novel_script(1, duration_s=50, mean_gap_s=8), happenings=())

    (said,) = said_of(calm)

    assert (said.start_s, said.end_s, said.text) == (7.0, 17.0, "")


def test_one_camera_sees_what_is_taught_and_what_is_asked_about_at_other_times() -> None:
    shown = footage(clips=3, minutes=2)
    films = (*shown.taught, shown.asked)

    assert len({(one.seed, one.noise_level, one.shake_px, one.day_s) for one in films}) == 1
    assert len({one.dawn_s for one in films}) == len(films)
    assert len({one.happenings for one in films}) == len(films)


def test_questions_are_about_what_is_new_or_about_everything_else() -> None:
    asked = footage(clips=6, minutes=15, seed=1).asked

    new, known = new_questions(asked, count=12), known_questions(asked, count=24)

    assert [one.kind for one in new] == ["when"] * 6 + ["count"] * 6
    assert len({one.kind for one in known}) == 6
    for some, count in ((new, 12), (known, 24)):
        assert len({(one.scripted.plan, one.asked_s) for one in some}) == count
    for one in new:
        assert KIND in one.question or "fire" in one.question
        assert not one.is_right(None, [])
    assert not any(KIND in one.question or "fire" in one.question for one in known)
