"""The engine in this process: what it stores, reads, refuses and writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.engine import LeadIn
from models.errors import (
    CheckpointUnreadable,
    LayoutMismatch,
    PromptTooLong,
    UnparsableReply,
    UnusableFrames,
)
from models.generate import greedy, greedy_batch
from models.layout import Compression, Pooling, RandomTokens, SlowFast, WeightedSampler
from models.preprocess import to_pixels
from models.processor import Frames, Processor
from models.replies import parse_note, parse_reply
from models.schemas import Note, NoteEvent
from models.transformers_engine import TransformersEngine
from tests.models.builders import (
    IMAGE_SIZE_PX,
    tiny_engine,
    tiny_layout,
    tiny_model,
    tiny_tokenizer,
)


def frames(count: int = 4, *, seed: int = 0) -> np.ndarray:
    shape = (count, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "compression",
    [
        SlowFast(slow_stride=2, pool=1),
        WeightedSampler(tokens_per_frame=5, cells=2),
        Pooling(pool=2),
        RandomTokens(tokens_per_frame=5),
    ],
    ids=lambda compression: compression.kind,
)
def test_a_clip_encoded_once_can_be_judged_and_answered_from(compression: Compression):
    engine = tiny_engine(compression)

    encoded = engine.encode(frames(), [0.0, 1.0, 2.0, 3.0])

    tokens = encoded.tokens
    assert len(tokens.tokens_KD) == len(tokens.frame_K)
    assert set(tokens.frame_K) == {0, 1, 2, 3}
    assert encoded.vector_V is not None
    assert np.linalg.norm(encoded.vector_V) == pytest.approx(1, abs=1e-5)
    assert 0 <= engine.judge(tokens, "something happens") <= 1
    assert isinstance("".join(engine.answer("what", findings=["result: 1"], clips=[tokens])), str)


def test_the_same_frames_give_the_same_tokens():
    engine = tiny_engine()

    once, again = (engine.encode(frames(), range(4)).tokens for _ in range(2))

    assert np.array_equal(once.tokens_KD, again.tokens_KD)


def test_answers_depend_on_the_stored_tokens():
    engine = tiny_engine()
    one, other = (engine.encode(frames(seed=seed), range(4)).tokens for seed in (1, 2))

    assert engine.judge(one, "it happens") != engine.judge(other, "it happens")


@torch.inference_mode()
def test_a_lead_in_reads_as_if_its_frames_had_been_encoded_at_negative_times():
    layout = tiny_layout(Pooling(pool=2)).model_copy(update={"lead_in_s": 2.0})
    engine = TransformersEngine(
        tiny_model(layout), Processor(tiny_tokenizer(), layout), name="tiny"
    )
    earlier, later = (engine.encode(frames(seed=seed), range(4)).tokens for seed in (1, 2))

    seen = engine.led_into(later, LeadIn(earlier, ends_s=4.5))

    times_s = [-1.5, 0, 1, 2, 3]
    pixels = to_pixels(np.concatenate([frames(seed=1)[3:], frames(seed=2)]), size_px=IMAGE_SIZE_PX)
    expected_KD = engine.model.project(engine.model.compress(pixels), times_s)
    assert seen.times_s_T.tolist() == times_s
    assert sorted(set(seen.frame_K.tolist())) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(seen.tokens_KD, expected_KD.numpy(), atol=2e-3)


def test_a_lead_in_of_another_layout_is_refused():
    engine, other = tiny_engine(), tiny_engine(Pooling(pool=2))
    foreign = LeadIn(other.encode(frames(), range(4)).tokens, ends_s=4)

    with pytest.raises(LayoutMismatch, match="layout"):
        engine.describe(engine.encode(frames(), range(4)).tokens, previous=[], lead_in=foreign)


def test_a_saved_model_comes_back_the_same(tmp_path: Path):
    layout = tiny_layout()
    model = tiny_model(layout)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)

    engine = TransformersEngine.load(tmp_path)

    assert engine.layout == layout
    pixels = to_pixels(frames(2), size_px=IMAGE_SIZE_PX)
    with torch.inference_mode():
        before = model.compress(pixels).features_KC
        after = engine.model.compress(pixels).features_KC
    assert torch.equal(before, after)


def test_tokens_of_another_layout_are_refused():
    tokens = tiny_engine().encode(frames(), range(4)).tokens
    other = tiny_engine(Pooling(pool=2))

    with pytest.raises(LayoutMismatch, match="layout"):
        other.judge(tokens, "it happens")


def test_tokens_of_other_weights_are_refused():
    tokens = tiny_engine(seed=1).encode(frames(), range(4)).tokens

    with pytest.raises(LayoutMismatch, match="encoder"):
        tiny_engine(seed=2).judge(tokens, "it happens")


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 0, 8, 3), (1, 8, 8, 4), (8, 8, 3)])
def test_frames_of_no_use_are_refused(shape: tuple[int, ...]):
    with pytest.raises(UnusableFrames, match="expected"):
        tiny_engine().encode(np.zeros(shape, np.uint8), [0.0])


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (400, 720)])
def test_frames_of_any_size_are_averaged_to_the_towers(size: tuple[int, int]):
    pixels = to_pixels(np.full((1, *size, 3), 255, np.uint8), size_px=IMAGE_SIZE_PX)

    assert pixels.shape == (1, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    assert torch.allclose(pixels, torch.ones_like(pixels))


def test_an_overlong_prompt_is_refused():
    with pytest.raises(PromptTooLong, match="reads at most"):
        tiny_engine().plan("why " * 2000)


def test_a_missing_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(CheckpointUnreadable, match=r"config\.json"):
        TransformersEngine.load(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str):
    tiny_model(tiny_layout()).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    file = tmp_path / damage
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    with pytest.raises(CheckpointUnreadable):
        TransformersEngine.load(tmp_path)


def test_the_tokens_of_a_user_cannot_stand_for_a_clip():
    engine = tiny_engine()
    tokens = engine.encode(frames(), range(4)).tokens

    assert 0 <= engine.judge(tokens, "a <video> in the text") <= 1


def test_greedy_decoding_is_what_transformers_generates():
    engine = tiny_engine()
    model, processor = engine.model, engine.processor
    ids = processor.prompt_ids("what happens")
    embeds = model.get_input_embeddings()(torch.tensor([ids]))
    model.language_model.generation_config.eos_token_id = processor.end_token_id

    ours = list(greedy(model, ids, None, end_id=processor.end_token_id, max_new_tokens=12))
    theirs = model.language_model.generate(
        inputs_embeds=embeds, max_new_tokens=12, do_sample=False, pad_token_id=0
    )[0].tolist()

    assert ours == [token for token in theirs if token != processor.end_token_id]


def test_a_batch_decodes_as_its_members_do():
    engine = tiny_engine()
    model, processor = engine.model, engine.processor
    clip = engine.encode(frames(), range(4)).tokens
    where = Frames(clip.frame_K, clip.times_s_T)
    prompts = [processor.prompt_ids("say <video>", [where]), processor.prompt_ids("what is it")]
    visual = torch.from_numpy(clip.tokens_KD).float()

    together = greedy_batch(
        model, prompts, visual, end_id=processor.end_token_id, max_new_tokens=10
    )

    for prompt, read, reply in zip(prompts, (visual, None), together, strict=True):
        end_id = processor.end_token_id
        assert reply == list(greedy(model, prompt, read, end_id=end_id, max_new_tokens=10))


def test_a_note_that_breaks_off_anywhere_counts_as_far_as_it_goes():
    events = [{"start_s": float(n), "end_s": n + 1.0, "text": f"event {n}"} for n in range(3)]
    whole = json.dumps({"text": "three", "events": events}, separators=(",", ":"))
    first_is_whole = whole.index("}") + 1

    for length in range(first_is_whole, len(whole) + 1):
        note = parse_reply("note", Note, whole[:length])
        assert note.events[0].text == "event 0"
        assert len(note.events) >= whole[:length].count("}") - (length == len(whole))


def test_a_whole_reply_with_a_bad_event_is_refused_not_mended():
    reply = json.dumps({"text": "x", "events": [{"start_s": 1.0, "text": "no end"}]})

    with pytest.raises(UnparsableReply):
        parse_reply("note", Note, reply)


def test_a_reply_that_fits_no_schema_is_an_error_that_shows_it():
    with pytest.raises(UnparsableReply, match="the model's note does not fit"):
        parse_reply("note", Note, "it rained")


@pytest.mark.parametrize(
    ("text", "called", "meant"),
    [
        ("a car stops, a dog runs", ("a car stops", "a van stops"), ("a car stops", "a dog runs")),
        ("a car, a dog, a man", ("a car", "a dog", "a dog"), ("a car", "a dog", "a man")),
        ("a car, a dog", ("a dog", "a car"), ("a dog", "a car")),  # only the order differs
        ("a car, a dog, a man", ("a car", "a van", "a bird"), ("a car", "a van", "a bird")),
        ("a car, a dog", ("a car",), ("a car",)),  # which one is missing is not known
        ("a car, ", ("a car", "a dog"), ("a car", "a dog")),
        ("an old, red car", ("a car comes", "it stops"), ("a car comes", "it stops")),  # no list
        ("a car stops", ("a van stops",), ("a van stops",)),
        ("", (), ()),
    ],
)
def test_events_are_what_a_text_calls_them_that_lists_them(
    text: str, called: tuple[str, ...], meant: tuple[str, ...]
) -> None:
    events = tuple(NoteEvent(start_s=n, end_s=n + 1, text=one) for n, one in enumerate(called))

    note = parse_note(Note(text=text, events=events).as_reply())

    assert note.text == text
    assert tuple(event.text for event in note.events) == meant
    assert [event.start_s for event in note.events] == [event.start_s for event in events]


def test_time_markers_stand_before_the_tokens_of_their_frame():
    engine = tiny_engine()
    where = engine.encode(frames(2), [0.0, 1.0]).tokens
    ids = engine.processor.clip_ids(Frames(where.frame_K, where.times_s_T))
    text = str(engine.processor.tokenizer.decode(ids))

    assert text.startswith("0.0<video>")
    assert "<video>1.0<video>" in text
