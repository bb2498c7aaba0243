"""On footage from outside its world the shipped model may be wrong, and does not babble."""

from fractions import Fraction

import av
import numpy as np
import pytest

from models.errors import UnparsableReply
from models.generate import LOOP_TIMES
from models.transformers_engine import TransformersEngine
from services.settings import SHIPPED_MODEL
from tests.conftest import FOOTAGE

NAME, CLIPS = "one-by-one-person-detection.mp4", 3


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="real footage is not at hand")
def test_no_note_of_real_footage_says_one_thing_over_and_over() -> None:
    engine = TransformersEngine.load(SHIPPED_MODEL, num_threads=1)
    length_s, fps = int(engine.layout.clip_length_s), engine.layout.fps
    pictures = sampled(round(CLIPS * length_s * fps), Fraction(1) / Fraction(fps))
    times_s = [number / fps for number in range(round(length_s * fps))]
    said: list[str] = []
    for first in range(0, len(pictures), len(times_s)):
        encoded = engine.encode(np.stack(pictures[first : first + len(times_s)]), times_s)
        try:
            note = engine.describe(encoded.tokens, previous=said[-2:])
        except UnparsableReply as error:
            said.append("")
            assert len(error.reply) < 500
        else:
            said.append(note.text)
            texts = note.text.split(", ")
            runs = zip(*(texts[at:] for at in range(LOOP_TIMES)), strict=False)
            assert all(len(set(run)) > 1 for run in runs)

    assert len(said) == CLIPS


def sampled(count: int, every_s: Fraction) -> list[np.ndarray]:
    """The first pictures of a film, so far apart."""
    found: list[np.ndarray] = []
    with av.open(str(FOOTAGE / NAME)) as container:
        for frame in container.decode(video=0):
            if frame.time >= len(found) * every_s:
                found.append(frame.to_ndarray(format="rgb24"))
            if len(found) == count:
                break
    return found
