"""An untrained checkpoint that can learn what films of light show, and a memory of such a film."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from transformers import Qwen2Config, SiglipVisionConfig

from models.config import LongwatchConfig
from models.engine import ClipTokens, LeadIn
from models.errors import UnparsableReply
from models.layout import Pooling, StreamLayout
from models.nano.tokenizer import train_tokenizer
from models.processor import Processor
from models.prompts import VIDEO, describe_prompt, fold_prompt, judge_prompt, merge_prompt
from models.schemas import Note, NoteEvent
from models.transformers_engine import TransformersEngine
from models.video_llm import LongwatchForConditionalGeneration
from services.settings import Settings
from tests.services.conftest import remember
from tests.services.films import film, story
from tests.services.scripted_engine import TEXT_OF

LENGTH_S = 300
LAYOUT = StreamLayout(
    clip_length_s=10,
    fps=1,
    max_frames=10,
    image_size_px=16,
    compression=Pooling(pool=2),
    newline="none",
)


def light_story(seed: int) -> list[tuple[str, int]]:
    """Levels, and how many seconds each lasts: a light of some seconds, and dark between."""
    rng = Random(seed)
    parts: list[tuple[str, int]] = []
    while (left := LENGTH_S - sum(count for _, count in parts)) > 0:
        parts.append(("dark", min(left, rng.randint(4, 12))))
        if (left := LENGTH_S - sum(count for _, count in parts)) > 0:
            parts.append((rng.choice(["dim", "bright"]), min(left, rng.randint(3, 7))))
    return parts


def light_labels(parts: Sequence[tuple[str, int]]) -> str:
    """All of it in labels: each light, and that each clip without one is calm."""
    lines: list[dict[str, object]] = []
    at_s = 0
    shown: set[int] = set()
    for level, count in parts:
        if level in TEXT_OF:
            said = {"start": at_s, "end": at_s + count, "text": TEXT_OF[level]}
            lines.append({"stream": "cam", **said})
            shown |= {second // 10 for second in range(at_s, at_s + count)}
        at_s += count
    for clip in set(range(LENGTH_S // 10)) - shown:
        lines.append({"stream": "cam", "start": 10 * clip, "end": 10 * clip + 10, "text": ""})
    return "".join(f"{json.dumps(line)}\n" for line in lines)


class Wordless(TransformersEngine):
    """The untrained checkpoint, whose notes nobody could read, without the time to write them."""

    def describe(
        self, clip: ClipTokens, *, previous: Sequence[str], lead_in: LeadIn | None = None
    ) -> Note:
        raise UnparsableReply("note", "")


def save_light_checkpoint(path: Path, *, seed: int = 0) -> None:
    """A model of some 100,000 parameters whose tokenizer knows the words."""
    notes = [Note(text=t, events=(NoteEvent(start_s=s, end_s=s + 1, text=t),)).as_reply()
             for t in TEXT_OF.values() for s in range(-3, 10)]  # fmt: skip
    prompts = [describe_prompt(["nothing happens"]), judge_prompt("x"), merge_prompt(3),
               fold_prompt(["nothing happens"]), "first last yes no"]  # fmt: skip
    words = train_tokenizer([*notes, *prompts] * 20, vocab_size=420)
    torch.manual_seed(seed)
    config = LongwatchConfig(
        SiglipVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            image_size=16, patch_size=4, vision_use_head=False,
        ),
        Qwen2Config(
            vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
            max_position_embeddings=1024,
        ),
        LAYOUT.model_dump(mode="json"),
        video_token_id=int(words.convert_tokens_to_ids(VIDEO)),  # type: ignore[arg-type]
        retrieval_width=8,
        model_name="light",
    )  # fmt: skip
    model = LongwatchForConditionalGeneration(config)
    model.save_pretrained(path)
    words.save_pretrained(path)


def wordless(path: Path) -> Wordless:
    engine = TransformersEngine.load(path)
    return Wordless(engine.model, Processor.from_pretrained(path, engine.layout), name="light")


def remember_light(settings: Settings, folder: Path, engine: TransformersEngine) -> None:
    """Watch a film of light as "cam", by the real service."""
    parts = light_story(1)
    (folder / "labels.jsonl").write_text(light_labels(parts))
    remember(settings, "cam", film(folder / "light.mp4", story(*parts)), engine)
