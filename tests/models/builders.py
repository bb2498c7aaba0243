"""A tiny untrained model of the real classes, for tests of everything but its answers."""

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, SiglipVisionConfig

from models.config import LongwatchConfig
from models.layout import Compression, SlowFast, StreamLayout
from models.nano.tokenizer import train_tokenizer
from models.processor import Processor
from models.prompts import VIDEO
from models.transformers_engine import TransformersEngine
from models.video_llm import LongwatchForConditionalGeneration

IMAGE_SIZE_PX = 32


def tiny_layout(compression: Compression | None = None) -> StreamLayout:
    return StreamLayout(
        image_size_px=IMAGE_SIZE_PX, compression=compression or SlowFast(slow_stride=3, pool=1)
    )


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["yes no what happens 1.0 2.0"] * 3, vocab_size=320)


def tiny_model(layout: StreamLayout, *, seed: int = 0) -> LongwatchForConditionalGeneration:
    torch.manual_seed(seed)
    words = tiny_tokenizer()
    config = LongwatchConfig(
        SiglipVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
            image_size=IMAGE_SIZE_PX, patch_size=8, vision_use_head=False,
        ),
        Qwen2Config(
            vocab_size=len(words), hidden_size=24, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
            max_position_embeddings=1024,
        ),
        layout.model_dump(mode="json"),
        video_token_id=int(words.convert_tokens_to_ids(VIDEO)),  # type: ignore[arg-type]
        vision_feature_layer=-2,
        retrieval_width=8,
    )  # fmt: skip
    return LongwatchForConditionalGeneration(config).eval()


def tiny_engine(
    compression: Compression | None = None, *, seed: int = 0, clips_at_once: int = 1
) -> TransformersEngine:
    layout = tiny_layout(compression)
    return TransformersEngine(
        tiny_model(layout, seed=seed),
        Processor(tiny_tokenizer(), layout),
        name="tiny",
        clips_at_once=clips_at_once,
    )
