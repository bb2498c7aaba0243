"""How longwatch-nano is made: sizes, tokenizer, what each batch holds, and the stages.

Run `python -m models.nano.make --help` for the whole of it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast, Qwen2Config, SiglipVisionConfig

from models.compress import SLOT_VISUAL, compress
from models.config import LongwatchConfig
from models.layout import SlowFast, StreamLayout
from models.nano.answers import answer_example
from models.nano.clips import SCRIPT_S, ScriptFeatures, training_script
from models.nano.drills import NOBODY, NOWHERE, Drill, deeds, where, who
from models.nano.phrasings import plan_example
from models.nano.tokenizer import END, PAD, train_tokenizer
from models.nano.truth import claim_of, note_of
from models.nano.world import Script
from models.processor import Frames
from models.prompts import VIDEO, answer_prompt, describe_prompt, judge_prompt, plan_prompt
from models.schemas import Note
from models.train import ClipFeatures, Sample, Stage

IMAGE_SIZE_PX, PATCH_PX = 96, 8
LAYOUT = StreamLayout(
    clip_length_s=10,
    fps=1,
    max_frames=10,
    image_size_px=IMAGE_SIZE_PX,
    compression=SlowFast(slow_stride=3, pool=2),
    newline="none",
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
VOCAB_SIZE = 1024
PARTIAL_SHARE = 0.04  # clips of which only the first frames exist: a stream ends in mid-clip
NO_CONTEXT_SHARE = 0.25
BATCHES_SORTED = 4  # so many are drawn at once and sorted by length, so that less is padded

WORDS = Stage("words", {"language_model": 1e-3}, num_steps=750)
"""Text alone: words have embeddings before the projector is aligned with them."""

READERS = {"projector": 5e-4, "language_model": 1e-3}
READ = (  # stage, pictures shown, batch size
    (Stage("one picture", READERS, num_steps=400, warmup_steps=50), 1, 64),
    (Stage("four pictures", READERS, num_steps=110, warmup_steps=50), 4, 40),
)
"""First single pictures, then few: attention to visual tokens is found within minutes where a
picture is 37 tokens, and not within an hour where a clip is 208 of them."""

INSTRUCT = Stage(
    name="instruct",
    num_steps=2500,
    warmup_steps=100,
    lr={
        "projector": 5e-4,
        "language_model": 1e-3,
        "visual_head": 1e-3,
        "text_head": 1e-3,
        "retrieval_scale": 1e-2,
    },
)


def config_of(tokenizer: PreTrainedTokenizerFast, video_token_id: int) -> LongwatchConfig:
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
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
    )


def note_json(note: Note) -> str:
    """A note as the model is taught to write it."""
    return json.dumps(note.model_dump(), separators=(",", ":"))


def tokenizer() -> PreTrainedTokenizerFast:
    """Train the tokenizer on what the tasks say."""
    return train_tokenizer(_corpus(), vocab_size=VOCAB_SIZE)


def _corpus() -> Iterator[str]:
    rng, random = np.random.default_rng(1), Random(1)
    for seed in range(40):
        script = training_script(seed)
        for start_s in np.arange(0, SCRIPT_S, LAYOUT.clip_length_s):
            note = note_of(script, start_s=start_s, end_s=start_s + LAYOUT.clip_length_s)
            yield note_json(note)
            yield describe_prompt([note.text])
            yield judge_prompt(claim_of(rng, note)[0])
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
    start_s: float
    features_KC: NDArray[np.float16]


def clips_of(encoded: Sequence[ScriptFeatures]) -> list[Clip]:
    clips = []
    for script_features in encoded:
        script = training_script(script_features.seed)
        for number, features_KC in enumerate(script_features.features_SKC):
            clips.append(Clip(script, number * LAYOUT.clip_length_s, features_KC))
    return clips


def visual_batches(clips: Sequence[Clip], *, seed: int, batch_size: int) -> Iterator[list[Sample]]:
    """Notes and judgements of clips."""
    rng, marks = np.random.default_rng(seed), Marks()
    while True:
        drawn = [
            _TASKS[rng.choice(len(_TASKS), p=TASK_SHARES)](rng, clips[int(number)], marks)
            for number in rng.integers(0, len(clips), batch_size * BATCHES_SORTED)
        ]
        drawn.sort(key=lambda sample: len(sample.prompt) + len(sample.reply))
        for first in rng.permutation(BATCHES_SORTED) * batch_size:
            yield drawn[first : first + batch_size]


def answer_batches(clips: Sequence[Clip], *, seed: int, batch_size: int) -> Iterator[list[Sample]]:
    """Answers with the tokens of one or two clips before the findings."""
    rng, random, marks = np.random.default_rng(seed), Random(seed), Marks()
    while True:
        count = int(rng.integers(1, 3))
        yield [
            answer_sample(
                random,
                tuple(marks.put(clips[n].features_KC) for n in rng.integers(0, len(clips), count)),
            )
            for _ in range(batch_size)
        ]


class Marks:
    """Slots and frames of the layout's tokens, which are the same for every clip."""

    def __init__(self) -> None:
        num_patches = (IMAGE_SIZE_PX // PATCH_PX) ** 2
        shape = compress(torch.zeros(LAYOUT.max_frames, num_patches, 1), LAYOUT)
        self._slot_K = shape.slot_K.numpy()
        self._place_K2 = shape.place_K2.numpy()
        self._frame_K = shape.frame_K.numpy().astype(np.int16)
        self._times_s_T = np.arange(LAYOUT.max_frames, dtype=np.float32) / LAYOUT.fps
        assert (self._slot_K == SLOT_VISUAL).any()

    def put(
        self, features_KC: NDArray[np.float16], num_frames: int = LAYOUT.max_frames
    ) -> ClipFeatures:
        """The first `num_frames` of a clip."""
        kept = self._frame_K < num_frames
        return ClipFeatures(
            features_KC[kept],
            self._slot_K[kept],
            self._place_K2[kept],
            Frames(self._frame_K[kept], self._times_s_T[:num_frames]),
        )


def _note_sample(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    num_frames = LAYOUT.max_frames
    if rng.random() < PARTIAL_SHARE:
        num_frames = int(rng.integers(3, LAYOUT.max_frames))
    note = note_of(clip.script, start_s=clip.start_s, end_s=clip.start_s + num_frames / LAYOUT.fps)
    previous = []
    if rng.random() >= NO_CONTEXT_SHARE:
        for back in (2, 1):
            start_s = clip.start_s - back * LAYOUT.clip_length_s
            if start_s >= 0:
                end_s = start_s + LAYOUT.clip_length_s
                previous.append(note_of(clip.script, start_s=start_s, end_s=end_s).text)
    return Sample(
        describe_prompt(previous),
        note_json(note),
        (marks.put(clip.features_KC, num_frames),),
        captions=tuple({event.text for event in note.events} | {note.text}),
    )


def _judge_sample(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    note = note_of(clip.script, start_s=clip.start_s, end_s=clip.start_s + LAYOUT.clip_length_s)
    claim, true = claim_of(rng, note)
    return Sample(judge_prompt(claim), "yes" if true else "no", (marks.put(clip.features_KC),))


def look_batches(
    clips: Sequence[Clip], *, seed: int, batch_size: int, num_frames: int
) -> Iterator[list[Sample]]:
    """Who and where, in the first `num_frames` of clips; empty ones are mostly drawn again."""
    rng, marks = np.random.default_rng(seed), Marks()
    while True:
        batch: list[Sample] = []
        while len(batch) < batch_size:
            ask = _look_sample if rng.random() < 0.5 else _where_sample
            sample = ask(rng, clips[int(rng.integers(len(clips)))], marks, num_frames)
            if sample.reply not in (NOBODY, NOWHERE) or rng.random() < 0.4:
                batch.append(sample)
        yield batch


def _look_sample(
    rng: np.random.Generator, clip: Clip, marks: Marks, num_frames: int = LAYOUT.max_frames
) -> Sample:
    drill = who(clip.script, clip.start_s, int(rng.integers(num_frames)) / LAYOUT.fps)
    return _drilled(drill, marks.put(clip.features_KC, num_frames))


def _where_sample(
    rng: np.random.Generator, clip: Clip, marks: Marks, num_frames: int = LAYOUT.max_frames
) -> Sample:
    drill = where(rng, clip.script, clip.start_s, num_frames / LAYOUT.fps)
    return _drilled(drill, marks.put(clip.features_KC, num_frames))


def _deeds_sample(rng: np.random.Generator, clip: Clip, marks: Marks) -> Sample:
    drill = deeds(rng, clip.script, clip.start_s, LAYOUT.clip_length_s)
    return _drilled(drill, marks.put(clip.features_KC))


def _drilled(drill: Drill, clip: ClipFeatures) -> Sample:
    return Sample(f"{VIDEO}\n{drill.question}", drill.reply, (clip,))


_TASKS = (_note_sample, _judge_sample, _look_sample, _where_sample, _deeds_sample)
TASK_SHARES = (0.42, 0.08, 0.08, 0.17, 0.25)

Report = Callable[[dict[str, float]], None]
