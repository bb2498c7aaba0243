"""What the shipped model knew is a data set that training further can replay."""

from pathlib import Path

import numpy as np

from memory.datasets import Example, read_examples
from models.engine import LeadIn
from models.nano.clips import SCRIPT_S
from models.nano.replay import write_replay
from models.transformers_engine import TransformersEngine
from services.settings import SHIPPED_MODEL, Settings
from services.training.evaluating import evaluate
from services.training.media import Media
from services.wiring import opened


def test_the_shipped_model_is_good_at_its_replay(bare: Settings, tmp_path: Path) -> None:
    write_replay(tmp_path / "replay", scripts=1, texts=12)
    found = read_examples(tmp_path / "replay" / "train.jsonl")
    engine = TransformersEngine.load(SHIPPED_MODEL)

    assert {one.task for one in found} == {"plan", "answer", "note", "judge"}
    clips = [one for one in found if one.video]
    assert len(clips) == 3 * SCRIPT_S / 10  # a note, claims and an answer of each
    assert {one.task for one in found if not one.video} == {"plan", "answer"}
    with opened(bare, make=True) as stores:
        some = [one for one in found if one.task == "plan"] + clips[3:24]
        measured = evaluate(engine, stores, some, tmp_path / "replay", with_blind=False)
        led = tokens_of(Media(engine, stores, tmp_path / "replay"), clips[3])

    scores = measured.seen.estimates()
    assert measured.seen.unusable == 0
    assert scores["plan right"].value > 0.9
    assert scores["note recall"].value > 0.5
    assert scores["judge right"].value > 0.6
    assert led.times_s_T[0] == -engine.lead_in_s


def tokens_of(media: Media, example: Example):
    (clip,) = media.tokens(example)
    return clip


def test_a_lead_in_of_a_file_is_the_clip_before_it(bare: Settings, tmp_path: Path) -> None:
    write_replay(tmp_path, scripts=1, texts=1)
    engine = TransformersEngine.load(SHIPPED_MODEL)
    second = next(one for one in read_examples(tmp_path / "train.jsonl") if one.start_s == 10)
    with opened(bare, make=True) as stores:
        media = Media(engine, stores, tmp_path)
        first = media.tokens(second.model_copy(update={"start_s": 0.0, "end_s": 10.0}))[0]
        led = media.tokens(second)[0]
        features = media.features(second)[0]
    alone = engine.led_into(first, LeadIn(first, 10.0))

    lead = int((led.times_s_T < 0).sum())
    kept = led.frame_K < lead
    assert np.array_equal(led.tokens_KD[kept], alone.tokens_KD[alone.frame_K < lead])
    assert np.array_equal(features.frames.frame_K, led.frame_K)
    assert np.array_equal(features.frames.times_s_T, led.times_s_T)
