"""What is new to longwatch-nano, and questions about it."""

import pytest

from models.nano.clips import training_script
from models.nano.draw import SIZE_OF, Painter, placed_passage
from models.nano.novelty import ACTION, KIND, footage, known_questions, new_questions, said_of
from models.nano.world import Script

ASPECT = 16 / 9


@pytest.fixture(scope="module")
def taught() -> tuple[Script, ...]:
    return footage(clips=48, minutes=10).taught


def test_only_here_are_cows_and_some_that_fly(taught: tuple[Script, ...]) -> None:
    texts = [one.text for script in taught for one in script.happenings]
    assert sum(KIND in text for text in texts) >= 10
    assert sum(ACTION in text for text in texts) >= 10
    for seed in range(30):
        assert not any(
            KIND in one.text or ACTION in one.text for one in training_script(seed).happenings
        )


def test_whoever_flies_is_seen_whole_in_the_sky(taught: tuple[Script, ...]) -> None:
    one = next(one for one in taught[0].passages if one.lane == "sky" and one.kind == KIND)
    middle_s = sum(one.span_s) / 2
    (placed,) = placed_passage(one, middle_s, ASPECT)

    assert SIZE_OF[KIND][1] <= placed.bottom_y < 0.3
    assert f"the {one.colour} {one.kind} {ACTION}" in {h.text for h in taught[0].happenings}
    pictures = Painter(taught[0], width_px=320, height_px=180)
    assert pictures.picture(middle_s).shape == (180, 320, 3)


def test_a_person_says_something_of_every_clip(taught: tuple[Script, ...]) -> None:
    said = list(said_of(taught[0]))

    assert {one.text for one in said if one.text} == {one.text for one in taught[0].happenings}
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
            word in one.question.lower() for word in ("fly", "flies", "flew", "flown", "flight")
        )
        assert not one.is_right(None, [])
    assert not any(KIND in one.question for one in known)
