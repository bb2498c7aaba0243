"""How longwatch-nano is made: sizes, tokenizer, what each batch holds, and the stages.

Run `python -m models.nano.make --help` for the whole of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast, Qwen2Config, SiglipVisionConfig

from models.compress import SLOT_VISUAL, Compressed, compress
from models.config import LongwatchConfig
from models.layout import SlowFast, StreamLayout
from models.nano.answers import answer_example
from models.nano.clips import SCRIPT_S, ScriptFeatures, training_script
from models.nano.phrasings import plan_example
from models.nano.tokenizer import END, PAD, train_tokenizer
from models.nano.truth import NOTHING, claim_of, near_miss, note_of, shown_in
from models.nano.watch import Watched, facts_by_frame
from models.nano.world import Script
from models.processor import Frames
from models.prompts import answer_prompt, describe_prompt, judge_prompt, plan_prompt
from models.schemas import Note
from models.train import ClipFeatures, Sample, Stage

IMAGE_SIZE_PX, PATCH_PX = 96, 8
LAYOUT = StreamLayout(
    clip_length_s=10,
    fps=1,
    max_frames=10,
    image_size_px=IMAGE_SIZE_PX,
    compression=SlowFast(slow_stride=2, pool=2),
    newline="none",
    lead_in_s=3,
)
VISION = SiglipVisionConfig(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=IMAGE_SIZE_PX,
    patch_size=PATCH_PX,
    vision_use_head=False,
)
BEGIN_EVERY = 2
"""Frames after which the layout's tokens repeat their pattern."""
LEAD_IN_FRAMES = round(LAYOUT.lead_in_s * LAYOUT.fps)
VOCAB_SIZE = 1024
PARTIAL_SHARE = 0.04  # clips of which only the first frames exist: a stream ends in mid-clip
NO_CONTEXT_SHARE = 0.25
LEFT_OUT_SHARE, MISTAKEN_SHARE = 0.05, 0.08  # of events in earlier notes, as a model makes mistakes
DRAWN_BY_EVENTS = (0.5, 1.0, 1.4, 2.0, 2.5)
"""How often clips with none, one, two, three and more events are drawn."""

READERS = {"projector": 1e-3, "language_model": 1e-3, "watcher": 3e-3}
WATCH = Stage("watch", READERS, num_steps=2400, warmup_steps=100)
"""What goes on at each frame, and text. `watcher` is a head that is thrown away afterwards."""

_LAYERS = "language_model.model.layers."
INSTRUCT = Stage(
    name="instruct",
    num_steps=2650,
    warmup_steps=30,
    lr={
        "projector": 3e-4,
        f"{_LAYERS}0": 3e-4,
        f"{_LAYERS}1": 3e-4,
        "watcher": 1e-3,
        f"{_LAYERS}2": 1e-3,
        f"{_LAYERS}3": 1e-3,
        "language_model.model.norm": 1e-3,
        "language_model.model.embed_tokens": 5e-4,
        "visual_head": 1e-3,
        "text_head": 1e-3,
        "retrieval_scale": 1e-2,
    },
)
"""All tasks. The lower layers, which have learnt to watch, change more slowly than the upper ones:
at the same rate they forgot it before the others had begun to read."""


def config_of(tokenizer: PreTrainedTokenizerFast, video_token_id: int) -> LongwatchConfig:
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=int(tokenizer.convert_tokens_to_ids(END)),  # type: ignore[arg-type]
        pad_token_id=int(tokenizer.convert_tokens_to_ids(PAD)),  # type: ignore[arg-type]
    )
    return LongwatchConfig(
        VISION,
        text,
        LAYOUT.model_dump(mode="json"),
        video_token_id=video_token_id,
        vision_feature_layer=-1,
        retrieval_width=128,
        model_name="longwatch-nano",
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer on what the tasks say."""
    return train_tokenizer(_corpus(), vocab_size=VOCAB_SIZE)


def _corpus() -> Iterator[str]:
    rng, random = np.random.default_rng(1), Random(1)
    for seed in range(40):
        script = training_script(seed)
        for start_s in np.arange(0, SCRIPT_S, LAYOUT.clip_length_s):
            note = note_at(script, start_s)
            yield note.as_reply()
            yield describe_prompt([note.text])
            yield judge_prompt(claim_of(rng, [event.text for event in note.events])[0])
    for _ in range(6000):
        question, plan = plan_example(random)
        yield plan_prompt(question)
        yield plan.model_dump_json()
        yield answer_sample(random).prompt + answer_sample(random).reply
    yield from (f"{n / 2:.1f}" for n in range(21) for _ in range(200))


def answer_sample(random: Random, clips: tuple[ClipFeatures, ...] = ()) -> Sample:
    question, _intent, findings, reply = answer_example(random)
    return Sample(answer_prompt(question, findings=findings, num_clips=len(clips)), reply, clips)


def text_batches(*, seed: int, batch_size: int) -> Iterator[list[Sample]]:
    """Plans, and answers from findings alone."""
    random = Random(seed)
    while True:
        batch = []
        for _ in range(batch_size):
            if random.random() < 0.72:
                question, plan = plan_example(random)
                batch.append(Sample(plan_prompt(question), plan.model_dump_json()))
            else:
                batch.append(answer_sample(random))
        yield batch


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip of a training script: where it is, and what the tower made of it."""

    script: Script
    first_frame: int
    facts_TY: NDArray[np.bool_]
    features_SKC: NDArray[np.float16]
    """Those of the whole script, by stretches as long as a clip."""
    before: "Clip | None" = None
    """The clip that ends where this one starts."""

    @property
    def start_s(self) -> float:
        return self.first_frame / LAYOUT.fps

    @property
    def features(self) -> NDArray[np.float16]:
        """Those of its tokens, shape (K, C)."""
        number, late = divmod(self.first_frame, LAYOUT.max_frames)
        if not late:
            return self.features_SKC[number]
        is_later_K = frame_of_tokens() >= late
        head_KC, tail_KC = self.features_SKC[number : number + 2]
        return np.concatenate([head_KC[is_later_K], tail_KC[~is_later_K]])


def clips_of(encoded: Iterable[ScriptFeatures], *, first_frame: int = 0) -> list[Clip]:
    """The clips of scripts that follow one another from a frame on.

    Tokens must repeat their pattern until then (`BEGIN_EVERY`).
    """
    clips: list[Clip] = []
    for one in encoded:
        before: Clip | None = None
        script = training_script(one.seed)
        facts_TY = facts_by_frame(script, fps=LAYOUT.fps)
        for frame in range(first_frame, len(facts_TY) - LAYOUT.max_frames + 1, LAYOUT.max_frames):
            seen_TY = facts_TY[frame : frame + LAYOUT.max_frames]
            before = Clip(script, frame, seen_TY, one.features_SKC, before)
            clips.append(before)
    return clips


def clips_from_anywhere(encoded: Sequence[ScriptFeatures]) -> list[Clip]:
    """Also those that begin within others, so that nobody learns by heart where clips begin."""
    begins = range(0, LAYOUT.max_frames, BEGIN_EVERY)
    return [clip for first in begins for clip in clips_of(encoded, first_frame=first)]


@cache
def frame_of_tokens() -> NDArray[np.int16]:
    """Which frame of a clip each of its tokens is of, shape (K,)."""
    return layout_shape().frame_K.numpy().astype(np.int16)


@cache
def layout_shape() -> Compressed:
    """What the layout makes of a clip, but for features: it is the same for every clip."""
    num_patches = (IMAGE_SIZE_PX // PATCH_PX) ** 2
    return compress(torch.zeros(LAYOUT.max_frames, num_patches, 1), LAYOUT)


def watched_batches(
    clips: Sequence[Clip], *, seed: int, batch_size: int
) -> Iterator[list[Watched]]:
    """Clips after their lead-ins; those with something rare come more often than they happen."""
    led_into = [clip for clip in clips if clip.before is not None]
    rng, marks, shares = np.random.default_rng(seed), Marks(), drawn_shares(led_into)
    while True:
        numbers = rng.choice(len(led_into), batch_size, p=shares)
        yield [_watched(led_into[n], marks) for n in numbers]


def _watched(clip: Clip, marks: "Marks") -> Watched:
    assert clip.before is not None
    lead_in_TY = clip.before.facts_TY[-LEAD_IN_FRAMES:]
    return Watched(marks.sight(clip), np.concatenate([lead_in_TY, clip.facts_TY]))


def drawn_shares(clips: Sequence[Clip]) -> NDArray[np.float64]:
    """How often each clip is drawn: the rarer what happens in it, the more often."""
    weights = np.array([_weight(clip) for clip in clips])
    return weights / weights.sum()


def _weight(clip: Clip) -> float:
    texts = [event.text for event in note_at(clip.script, clip.start_s).events]
    weight = DRAWN_BY_EVENTS[min(len(texts), len(DRAWN_BY_EVENTS) - 1)]
    if any("picks up" in text for text in texts):
        return 3.0 * weight
    return 1.5 * weight if any("box" in text for text in texts) else weight


def text_and_answer_batches(clips: Sequence[Clip], *, seed: int) -> Iterator[list[Sample]]:
    """Mostly text; now and then answers with the tokens of one or two clips before the findings."""
    text = text_batches(seed=seed, batch_size=8)
    rng, random, marks = np.random.default_rng(seed), Random(seed + 1), Marks()
    while True:
        yield from (next(text) for _ in range(3))
        count = int(rng.integers(1, 3))
        yield [
            answer_sample(
                random,
                tuple(marks.put(clips[n].features) for n in rng.integers(0, len(clips), count)),
            )
            for _ in range(4)
        ]


class Marks:
    """Slots and frames of the layout's tokens, which are the same for every clip."""

    def __init__(self) -> None:
        shape = layout_shape()
        self._slot_K = shape.slot_K.numpy()
        self._place_K2 = shape.place_K2.numpy()
        self._frame_K = frame_of_tokens()
        self._times_s_T = np.arange(LAYOUT.max_frames, dtype=np.float32) / LAYOUT.fps
        assert (self._slot_K == SLOT_VISUAL).any()

    def put(
        self,
        features_KC: NDArray[np.float16],
        num_frames: int = LAYOUT.max_frames,
    ) -> ClipFeatures:
        """The first `num_frames` of a clip."""
        kept = self._frame_K < num_frames
        return ClipFeatures(
            features_KC[kept],
            self._slot_K[kept],
            self._place_K2[kept],
            Frames(self._frame_K[kept], self._times_s_T[:num_frames]),
        )

    def sight(self, clip: Clip, num_frames: int = LAYOUT.max_frames) -> ClipFeatures:
        """The first `num_frames` of a clip, after its lead-in if it has one."""
        own = self.put(clip.features, num_frames)
        return own if clip.before is None else self._led_into(own, clip.before.features)

    def _led_into(self, clip: ClipFeatures, before_KC: NDArray[np.float16]) -> ClipFeatures:
        first = LAYOUT.max_frames - LEAD_IN_FRAMES
        kept = self._frame_K >= first
        lead_s_T = self._times_s_T[first:] - np.float32(LAYOUT.clip_length_s)
        frames = Frames(
            np.concatenate([self._frame_K[kept] - first, clip.frames.frame_K + LEAD_IN_FRAMES]),
            np.concatenate([lead_s_T, clip.frames.times_s_T]),
        )
        return ClipFeatures(
            np.concatenate([before_KC[kept], clip.features_KC]),
            np.concatenate([self._slot_K[kept], clip.slot_K]),
            np.concatenate([self._place_K2[kept], clip.place_K2]),
            frames,
        )


def note_at(
    script: Script,
    start_s: float,
    *,
    length_s: float = LAYOUT.clip_length_s,
    unsure_s: float = 0.0,
) -> Note:
    """The true note of the clip that starts at `start_s`; a shorter one than usual is the last.

    Without what begins within `unsure_s` of the instant from which on the next clip tells it.
    """
    is_last = length_s < LAYOUT.clip_length_s
    return note_of(
        script,
        start_s=start_s,
        end_s=start_s + length_s,
        lead_in_s=LAYOUT.lead_in_s - unsure_s if start_s > 0 else 0.0,
        left_s=0.0 if is_last else LAYOUT.lead_in_s + unsure_s,
    )


def misremembered(rng: np.random.Generator, note: Note) -> str:
    """A note's text with mistakes, so that a model does not learn to copy its own."""
    texts: list[str] = []
    for event in note.events:
        draw = rng.random()
        if draw >= LEFT_OUT_SHARE:
            is_mistaken = draw < LEFT_OUT_SHARE + MISTAKEN_SHARE
            texts.append(near_miss(rng, event.text) if is_mistaken else event.text)
    return ", ".join(texts) or NOTHING


def note_sample(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    num_frames = LAYOUT.max_frames
    if rng.random() < PARTIAL_SHARE:
        num_frames = int(rng.integers(3, LAYOUT.max_frames))
    note = note_at(clip.script, clip.start_s, length_s=num_frames / LAYOUT.fps)
    previous = []
    if rng.random() >= NO_CONTEXT_SHARE:
        for back in (2, 1):
            start_s = clip.start_s - back * LAYOUT.clip_length_s
            if start_s >= 0:
                previous.append(misremembered(rng, note_at(clip.script, start_s)))
    shown = shown_in(
        clip.script,
        start_s=clip.start_s - LAYOUT.lead_in_s * (clip.before is not None),
        end_s=clip.start_s + num_frames / LAYOUT.fps,
    )
    return Sample(
        describe_prompt(previous),
        note.as_reply(),
        (marks.sight(clip, num_frames),),
        captions=tuple({happening.text for happening in shown} | {note.text}),
    )
