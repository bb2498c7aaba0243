"""Logs and claims say what the script says, and batches follow the order of the lessons."""

from itertools import islice

import numpy as np
import pytest

from models.nano.clips import ScriptFeatures, training_script
from models.nano.lessons import (
    CLAIMS,
    LESSONS,
    claims_of_clip,
    claims_of_some,
    log_of_all,
    log_of_clip,
    visual_batches,
)
from models.nano.recipe import LAYOUT, Clip, Marks, clips_from_anywhere, frame_of_tokens
from models.nano.truth import LEAST_S
from models.nano.watch import FACTS, facts_by_frame
from models.nano.world import write_script
from models.prompts import VIDEO
from models.train import ClipFeatures


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    script = write_script(7, duration_s=600, pace=2.0)
    facts_TY = facts_by_frame(script, fps=1)
    blank_SKC = np.zeros((60, len(frame_of_tokens()), 4), np.float16)
    return [
        Clip(script, first, facts_TY[first : first + 10], blank_SKC) for first in range(0, 600, 10)
    ]


def test_a_log_has_every_happening_at_each_of_its_frames(clips: list[Clip]):
    marks, rng = Marks(), np.random.default_rng(0)
    for clip in clips:
        lines = log_of_clip(rng, clip, marks).reply.split("; ")

        assert [line.split()[0] for line in lines] == [f"{n}.0" for n in range(10)]
        for one in clip.script.between(clip.start_s, clip.start_s + 10, least_s=LEAST_S):
            middle = int((one.start_s + one.end_s) / 2 - clip.start_s)
            assert any(one.text in line for line in lines[middle : middle + 2])


def test_a_short_log_says_what_is_there_too(clips: list[Clip]):
    marks, rng = Marks(), np.random.default_rng(0)

    logs = [log_of_all(rng, clip, marks) for clip in clips]

    assert any("is there" in one.reply for one in logs)
    assert all(len(one.clips[0].frames.times_s_T) <= 2 for one in logs)


def test_claims_are_as_often_true_as_false_and_rightly_so(clips: list[Clip]):
    marks, rng = Marks(), np.random.default_rng(0)
    verdicts: list[bool] = []
    for clip in clips:
        sample = claims_of_some(rng, clip, marks)
        frames = len(sample.clips[0].frames.times_s_T)
        seen = {FACTS[n] for n in np.flatnonzero(clip.facts_TY[:frames].any(0))}
        for prompt, reply in ((sample.prompt, sample.reply), *sample.more):
            claim = next(f for f in sorted(FACTS, key=len, reverse=True) if f in prompt)
            assert (reply == "yes") == (claim in seen)
            verdicts.append(reply == "yes")

    assert len(verdicts) == CLAIMS * len(clips)
    assert 0.35 < np.mean(verdicts) < 0.65


def test_a_clip_stands_before_the_first_of_its_claims_only(clips: list[Clip]):
    sample = claims_of_clip(np.random.default_rng(0), clips[0], Marks())

    assert [VIDEO in prompt for prompt in (sample.prompt, *dict(sample.more))] == [True] + [
        False
    ] * len(dict(sample.more))


def test_lessons_begin_with_short_logs_and_end_with_notes(clips: list[Clip]):
    batches = list(islice(visual_batches(clips, seed=1), LESSONS[1][0]))

    read = [sample.clips[0] for batch in batches for sample in batch]
    assert all(isinstance(clip, ClipFeatures) and len(clip.slot_K) < 60 for clip in read)
    assert all(sum(asks.values()) == pytest.approx(1) for _, asks in LESSONS)
    assert LAYOUT.max_frames == 10


def test_clips_begin_within_others_too_and_show_their_own_frames() -> None:
    frame_K = frame_of_tokens()
    numbers_SKC = np.stack([frame_K + 10 * n for n in range(24)])[..., None].astype(np.float16)
    facts_TY = facts_by_frame(training_script(5), fps=1)

    clips = clips_from_anywhere([ScriptFeatures(5, numbers_SKC)])

    assert sorted(clip.start_s for clip in clips) == list(range(0, 231, 2))
    for clip in clips:
        assert (clip.features[:, 0] == frame_K + clip.first_frame).all()
        assert (clip.facts_TY == facts_TY[clip.first_frame : clip.first_frame + 10]).all()
        assert clip.before is None or clip.before.start_s == clip.start_s - 10
