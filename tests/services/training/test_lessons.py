"""What lessons are made of a set: here those that show two labelled times as one."""

import json
from pathlib import Path
from random import Random

import av
import numpy as np
import pytest

from memory.datasets import TRAIN, read_examples
from models.finetune import Lesson
from models.layout import Pooling, StreamLayout
from models.reply_loss import Target
from models.schemas import Note, NoteEvent
from models.transformers_engine import TransformersEngine
from services.settings import load_settings
from services.training.lessons import composed_lessons, firsts_of
from services.training.media import Media
from services.wiring import opened
from streaming.messages import NS_PER_S
from tests.memory.notes import span
from tests.services.conftest import remember
from tests.services.films import FPS
from tests.services.training.light import wordless
from tests.services.training.test_commands import light_run

LENGTH_S, HEIGHT_PX, WIDTH_PX = 60, 48, 64
UP, DOWN = "a bird flies by", "a dog runs by"
SEEN = {UP: (22, 26, 4), DOWN: (43, 47, 32)}
"""From when to when something goes by, from left to right, and how far below the upper edge."""
SIZE_PX = 12
LOST_NS = 52 * NS_PER_S  # what is filmed from then on is deleted to make room


def street(path: Path) -> Path:
    """Film a wall before which something goes by twice."""
    wall = np.random.default_rng(0).integers(60, 160, (HEIGHT_PX // 8, WIDTH_PX // 8, 3))
    wall = wall.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "16"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.gop_size = FPS
        stream.codec_context.thread_count = 1
        for number in range(LENGTH_S * FPS):
            picture = wall.copy()
            for start_s, end_s, top in SEEN.values():
                share = (number / FPS - start_s) / (end_s - start_s)
                if 0 <= share < 1:
                    left = round(share * (WIDTH_PX - SIZE_PX))
                    picture[top : top + SIZE_PX, left : left + SIZE_PX] = 250
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_two_labelled_times_are_shown_as_one_and_both_told(
    checkpoint: Path, tmp_path: Path
) -> None:
    settings = load_settings(data=tmp_path / "data", model=checkpoint)
    remember(settings, "street", street(tmp_path / "street.mp4"), wordless(checkpoint))
    labels = [
        {"stream": "street", "start": start_s, "end": end_s, "text": text}
        for text, (start_s, end_s, _) in SEEN.items()
    ]
    (tmp_path / "labels.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in labels))
    built = ("dataset", "build", str(tmp_path / "set"), "--labels", str(tmp_path / "labels.jsonl"))
    result = light_run(settings, *built, "--people-only", "--hold-out", "0.05")
    assert result.exit_code == 0, result.output
    examples = read_examples(tmp_path / "set" / TRAIN)

    with opened(settings) as stores:
        media = Media(TransformersEngine.load(checkpoint), stores, tmp_path / "set")
        lessons = list(composed_lessons(media, examples, [Target.CORRECTED] * len(examples)))
        notes = [told_by(lesson) for lesson in lessons]
        again = [told_by(lesson) for lesson in lessons]
        lost = [one for one in stores.footage.segments("street") if one.span.start_ns >= LOST_NS]
        for segment in lost:
            stores.footage.delete(segment.uri)
        media = Media(TransformersEngine.load(checkpoint), stores, tmp_path / "set")
        lessons = composed_lessons(media, examples, [Target.CORRECTED] * len(examples))
        without = [told_by(lesson) for lesson in lessons]

    assert lost
    assert sum(len(note.events) == 2 for note in without) > 0
    assert notes == again
    both = [note for note in notes if len(note.events) == 2]
    assert len(both) > len(notes) / 2
    for note in both:
        assert {event.text for event in note.events} == {UP, DOWN}
        assert note.text == ", ".join(event.text for event in note.events)
        for event in note.events:
            assert 0 <= event.start_s < event.end_s <= media.layout.clip_length_s
            assert abs(event.end_s - event.start_s - 4) <= 0.5
    assert all(len(note.events) == 1 for note in notes if note not in both)


@pytest.mark.parametrize(
    ("length_s", "begins_s", "firsts"),
    [(6, 2, 5), (4, 2, 6), (10, 2, 1), (9, 7, 1), (9, 7.5, 0), (9, 8.5, 0)],
)
def test_nothing_of_a_stretch_begins_so_late_in_a_clip_that_the_next_may_tell_it(
    length_s: float, begins_s: float, firsts: int
) -> None:
    layout = StreamLayout(image_size_px=16, compression=Pooling(), lead_in_s=3, fps=1)
    note = Note(text=UP, events=(NoteEvent(start_s=begins_s, end_s=begins_s + 1, text=UP),))

    found = firsts_of(span(0, length_s), note, layout, Random(0))

    assert sorted(found) == list(range(firsts))
    for first in found:
        assert first + length_s <= layout.clip_length_s
        assert first + begins_s <= layout.clip_length_s - layout.lead_in_s


def told_by(lesson: Lesson) -> Note:
    sample = lesson.load()
    note = Note.model_validate_json(sample.reply)
    assert sample.target is Target.CORRECTED
    assert set(sample.captions) == {note.text, *(event.text for event in note.events)}
    return note
