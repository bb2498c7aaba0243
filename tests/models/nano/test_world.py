"""Scripts, pictures and footage: exact, repeatable, and as rich as promised."""

import itertools
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from models.nano.demo import DEMO_SEED, demo_questions, demo_script
from models.nano.draw import CLASS_BACKGROUND, NUM_CLASSES, Painter, class_of
from models.nano.footage import VideoFormat, render
from models.nano.make import CLIPS_SEED, HELD_OUT_SEED, TOWER_SEED
from models.nano.recipe import note_at
from models.nano.replay import REPLAY_SEED
from models.nano.truth import LEAST_S, NOTHING, claim_of, note_of, round_half
from models.nano.world import (
    ACTIONS,
    COLOURS,
    KINDS,
    MAX_EVENT_S,
    MIN_EVENT_S,
    Script,
    write_script,
)


@pytest.fixture(scope="module")
def hour() -> Script:
    return write_script(4, duration_s=3600)


def test_a_seed_always_writes_the_same_script():
    assert write_script(7, duration_s=600) == write_script(7, duration_s=600)
    assert write_script(7, duration_s=600) != write_script(8, duration_s=600)


def test_the_world_is_as_rich_as_promised(hour: Script):
    actions = {happening.action for happening in hour.happenings}
    subjects = {happening.subject for happening in hour.happenings}

    assert len(KINDS) >= 6
    assert len(COLOURS) >= 6
    assert actions == set(ACTIONS)
    assert len(subjects) > 30


def test_every_happening_takes_its_time(hour: Script):
    lengths = [happening.end_s - happening.start_s for happening in hour.happenings]

    assert min(lengths) >= MIN_EVENT_S - 1e-6
    assert max(lengths) <= MAX_EVENT_S + 1e-6


def test_what_goes_on_goes_off_before_it_goes_on_again(hour: Script):
    for switchings in (hour.gate, hour.lamp):
        states = [switching.on for switching in switchings]
        assert all(one != other for one, other in itertools.pairwise(states))


def test_there_is_one_box_at_most(hour: Script):
    handled = [h.action for h in hour.happenings if h.action.endswith("the box")]

    assert all(one != other for one, other in itertools.pairwise(handled))


def test_each_place_is_taken_by_one_visitor_at_a_time(hour: Script):
    for place in (0, 1):
        visits = [visit for visit in hour.visits if visit.place == place]
        for one, other in itertools.pairwise(visits):
            assert one.leave_s[1] < other.enter_s[0]


def test_a_note_holds_what_a_clip_shows_for_long_enough(hour: Script):
    for start_s in range(0, 3600, 10):
        note = note_of(hour, start_s=start_s, end_s=start_s + 10)
        shown = {h.text for h in hour.between(start_s, start_s + 10, least_s=LEAST_S)}
        assert {event.text for event in note.events} == shown
        assert (note.text == NOTHING) == (not shown)
        assert all(0 <= event.start_s < event.end_s <= 10 for event in note.events)


def test_with_lead_ins_each_happening_is_noted_once_from_its_beginning(hour: Script):
    starts_s = Counter[tuple[str, float]]()
    for start_s in range(0, 3600, 10):
        for event in note_at(hour, float(start_s)).events:
            starts_s[event.text, start_s + event.start_s] += 1

    for one in hour.happenings:
        if one.start_s > 1 and one.end_s < 3590:
            told = [starts_s[one.text, round_half(one.start_s) + off] for off in (-0.5, 0, 0.5)]
            assert sum(told) >= 1
    again = [key for key, times in starts_s.items() if times > 1]
    assert not again


def test_the_last_note_tells_what_has_only_begun(hour: Script):
    late = next(h for h in hour.happenings if h.start_s % 10 > 7.5 and h.start_s % 10 < 8)
    start_s = late.start_s // 10 * 10

    whole, last = (note_at(hour, start_s, length_s=length_s) for length_s in (10, 9.6))

    assert late.text not in {event.text for event in whole.events}
    assert late.text in {event.text for event in last.events}


def test_claims_are_as_true_as_they_say(hour: Script):
    rng = np.random.default_rng(0)
    verdicts: list[bool] = []
    for start_s in range(0, 3600, 10):
        note = note_of(hour, start_s=start_s, end_s=start_s + 10)
        claim, true = claim_of(rng, [event.text for event in note.events])
        assert true == (claim in {event.text for event in note.events})
        verdicts.append(true)
    assert 0.15 < np.mean(verdicts) < 0.6


def test_a_crossing_subject_is_painted_in_its_colour_where_the_classes_say(hour: Script):
    painter = Painter(hour, width_px=320, height_px=180)
    passage = next(p for p in hour.passages if p.kind == "car" and p.span_s[0] > 0)

    _, classes = painter.picture_and_classes(sum(passage.span_s) / 2)

    assert classes is not None
    assert (classes == class_of("car", passage.colour)).sum() > 300
    assert classes.max() < NUM_CLASSES
    assert (classes == CLASS_BACKGROUND).mean() > 0.4


def test_footage_is_real_h264_of_the_size_rate_and_gop_asked_for(tmp_path: Path):
    path = tmp_path / "short.mp4"
    video = VideoFormat(fps=15, width_px=320, height_px=180, gop_s=2)

    render(write_script(3, duration_s=6), path, video, on_progress=lambda share: None)

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = list(file.decode(stream))
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == (320, 180)
        assert [float(frame.time or 0) for frame in frames] == pytest.approx(
            [number / 15 for number in range(90)], abs=1e-4
        )
        assert [n for n, frame in enumerate(frames) if frame.key_frame] == [0, 30, 60]


def test_no_seed_of_training_is_a_seed_of_examination():
    seeds = sorted([TOWER_SEED, CLIPS_SEED, HELD_OUT_SEED, DEMO_SEED, REPLAY_SEED])

    assert min(b - a for a, b in itertools.pairwise(seeds)) >= 10_000_000


def test_the_demonstration_asks_six_kinds_and_the_truth_is_right():
    script = demo_script(minutes=30)

    asked = demo_questions(script)

    assert {q.kind for q in asked} == {"when", "between", "count", "order", "state", "exists"}
    for question in asked:
        truth = question.scripted.truth
        intervals = [truth.interval_s] if truth.interval_s else []
        assert question.is_right(truth.value, intervals)
        assert not question.is_right("something else", [(0.0, 0.1)])
