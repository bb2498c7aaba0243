"""A tiny vision-language model of a published class, which tells light from dark.

LLaVA's classes, with a small CLIP tower and a small Qwen2 decoder. It was taught with the very
requests that `OpenAIEngine` sends, so that what it replies through a real server can be told right
from wrong: light is noted, and judged, where pictures are bright, and nothing where they are dark.

    python -m tests.models.tiny_vlm     teaches it anew, in half a minute: where prompts change
"""

import io
import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.configuration_llava import LlavaConfig
from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config

from models.engine import ClipTokens, LeadIn
from models.layout import Pooling, StreamLayout
from models.model_servers import ModelServers
from models.nano.tokenizer import train_tokenizer
from models.openai_engine import OpenAIEngine
from models.pictures import images_of, led_in
from models.prompts import answer_prompt, describe_prompt, judge_prompt, plan_prompt
from tests.models.builders import IMAGE_SIZE_PX

PATCH_PX = 16
LAYOUT = StreamLayout(
    clip_length_s=4, max_frames=4, image_size_px=IMAGE_SIZE_PX, compression=Pooling(pool=1),
    newline="none", frame_token=False, lead_in_s=2,
)  # fmt: skip
LIGHT, DARK = 225, 25
CLAIM, NOTHING, QUESTION = "a light shines", "it is dark", "When did a light shine?"
FINDINGS = ("result: once", "[1] a light shines")
NOTE_OF = {
    LIGHT: '{"text": "a light shines", "events": '
    '[{"start_s": 0.0, "end_s": 4.0, "text": "a light shines"}]}',
    DARK: '{"text": "it is dark", "events": []}',
}
PLAN = '{"intent": "when", "events": ["a light shines"]}'
ANSWER = "a light shines at [1]."
IMAGE = "<image>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<image>{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
CHECKPOINT = Path(__file__).parent / "tiny_vlm_checkpoint"
STEPS, WARM_UP, BATCH, LEARNING_RATE = 400, 10, 4, 4e-3


def frames(level: int, count: int = 4, *, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures about as bright as `level`."""
    shape = (count, IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3)
    noise = np.random.default_rng(seed).integers(-20, 21, shape)
    return (noise + level).astype(np.uint8)


def save_tiny_vlm(path: Path) -> None:
    """Teach a model to reply to the engine's requests, and save it with its processor."""
    torch.manual_seed(0)
    with closing(ModelServers(["http://127.0.0.1"])) as nobody:
        lessons = _lessons(OpenAIEngine(nobody, name="tiny-vlm", layout=LAYOUT))
    processor = _processor(lessons)
    model = _model(processor)
    rows = [_row(processor, lesson) for lesson in lessons]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    draw = random.Random(0)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (1 - step / STEPS)
        loss = model(**_batch(processor, draw.sample(rows, BATCH))).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.half().save_pretrained(path)
    processor.save_pretrained(path)


class Lesson(NamedTuple):
    messages: list[Any]
    images: Sequence[Image.Image]
    reply: str


class Row(NamedTuple):
    """A lesson as the model reads it; what is asked is not learned."""

    ids_L: torch.Tensor
    asked_length: int
    pixels: torch.Tensor | None


def _lessons(engine: OpenAIEngine) -> list[Lesson]:
    def lesson(prompt: str, clips: list[ClipTokens], reply: str) -> Lesson:
        images = [Image.open(io.BytesIO(image)) for clip in clips for _, image in images_of(clip)]
        return Lesson(engine.request(prompt, clips)["messages"], images, reply)

    lessons: list[Lesson] = []
    for seed in range(8):
        for level in (LIGHT, DARK):
            before, clip = (
                engine.encode(frames(level, seed=number), range(4)).tokens
                for number in (seed + 8, seed)
            )
            whole = led_in(clip, LeadIn(before, ends_s=4), lead_in_s=LAYOUT.lead_in_s)
            said = "yes" if level == LIGHT else "no"
            for previous in ([], [NOTHING], [CLAIM, CLAIM]):
                prompt = describe_prompt(previous)
                lessons += [lesson(prompt, [seen], NOTE_OF[level]) for seen in (clip, whole)]
            lessons += [lesson(judge_prompt(CLAIM), [clip], said)] * 2
            for num_clips in range(3):
                prompt = answer_prompt(QUESTION, findings=FINDINGS, num_clips=num_clips)
                lessons.append(lesson(prompt, [clip] * num_clips, ANSWER))
        lessons += [lesson(plan_prompt(QUESTION), [], PLAN)] * 4
    return lessons


def _processor(lessons: list[Lesson]) -> LlavaProcessor:
    texts = [part["text"] for one in lessons for message in one.messages
             for part in _parts(message) if part["type"] == "text"]  # fmt: skip
    tokenizer = train_tokenizer([*texts, *(one.reply for one in lessons)], vocab_size=1024)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    size = {"height": IMAGE_SIZE_PX, "width": IMAGE_SIZE_PX}
    return LlavaProcessor(
        CLIPImageProcessorPil(size=size, crop_size=size),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def _model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=IMAGE_SIZE_PX, patch_size=PATCH_PX,
    )  # fmt: skip
    text = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=1024, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision, text_config=text,
            image_token_index=processor.image_token_id,
            vision_feature_select_strategy="full", vision_feature_layer=-1,
        )
    )  # fmt: skip
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _row(processor: Any, lesson: Lesson) -> Row:
    messages = [message | {"content": _parts(message)} for message in lesson.messages]
    asked = processor.apply_chat_template(messages, tokenize=False)
    seen: dict[str, Any] = {"images": list(lesson.images)} if lesson.images else {}
    first = processor(text=asked, **seen)["input_ids"][0]
    whole = processor(text=f"{asked}{lesson.reply}<|im_end|>", return_tensors="pt", **seen)
    return Row(whole["input_ids"][0], len(first), whole.get("pixel_values"))


def _batch(processor: LlavaProcessor, rows: list[Row]) -> dict[str, torch.Tensor]:
    pad = processor.tokenizer.pad_token_id
    ids_BL = pad_sequence([row.ids_L for row in rows], batch_first=True, padding_value=pad)
    labels_BL = ids_BL.masked_fill(ids_BL == pad, -100)
    for labels_L, row in zip(labels_BL, rows, strict=True):
        labels_L[: row.asked_length] = -100
    batch = {"input_ids": ids_BL, "labels": labels_BL, "attention_mask": (ids_BL != pad).long()}
    if pixels := [row.pixels for row in rows if row.pixels is not None]:
        batch["pixel_values"] = torch.cat(pixels)
    return batch


def _parts(message: Any) -> list[Any]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


if __name__ == "__main__":
    save_tiny_vlm(CHECKPOINT)
