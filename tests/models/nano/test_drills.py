"""Drills ask about what the script says, and their replies are true of it."""

import numpy as np
import pytest

from models.nano.drills import deeds, where, who
from models.nano.truth import seen_in
from models.nano.world import Script, write_script


@pytest.fixture(scope="module")
def script() -> Script:
    return write_script(11, duration_s=1200)


def test_who_is_in_view_in_the_middle_of_a_crossing(script: Script):
    passage = next(p for p in script.passages if p.span_s[0] > 0)
    middle_s = sum(passage.span_s) / 2

    drill = who(script, middle_s - 3, 3.0)

    assert f"the {passage.colour} {passage.kind}" in drill.reply.split(", ")


def test_deeds_are_those_of_the_script(script: Script):
    rng = np.random.default_rng(0)
    for start_s in range(0, 1200, 10):
        drill = deeds(rng, script, start_s, 10)
        subject = drill.question.removeprefix("What does ").removesuffix(" do, and when?")
        done = [h for h in seen_in(script, start_s=start_s, end_s=start_s + 10)
                if h.subject == subject]  # fmt: skip
        said = [] if drill.reply == "nothing" else drill.reply.split(", ")
        assert len(said) == len(done)
        assert all(text.startswith(one.action) for text, one in zip(said, done, strict=True))


def test_a_place_is_named_for_each_second_in_view(script: Script):
    rng = np.random.default_rng(1)
    moving = 0
    for start_s in range(0, 1200, 10):
        reply = where(rng, script, start_s, 10).reply
        if reply == "nowhere":
            continue
        zones = [int(place.split()[1]) for place in reply.split(", ")]
        assert set(zones) <= {1, 2, 3, 4, 5}
        moving += len(set(zones)) > 1
    assert moving > 10
