"""What is left out on a CPU changes nothing of what comes after a prompt."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2Model

from models import cpu_decoder
from models.cpu_decoder import is_readable, last_hidden
from models.generate import next_logits
from models.layout import Pooling
from models.video_llm import LongwatchForConditionalGeneration
from tests.models.builders import tiny_layout, tiny_model

LENGTHS = (40, 7, 1, 41)


def decoder_of(**changes: Any) -> Qwen2Model:
    """A decoder whose every weight matters."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=50, hidden_size=32, intermediate_size=72, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, **changes,
    )  # fmt: skip
    return stirred(Qwen2Model(config)).eval()


def stirred(model: Any) -> Any:
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3)
    return model


def padded(lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    embeds_BLD = torch.randn(len(lengths), max(lengths), 32, generator=generator)
    return embeds_BLD, torch.tensor(lengths) - 1


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [LENGTHS, (40,), (1,), (23, 23)])
@pytest.mark.parametrize("layers", [1, 3])
def test_it_makes_what_transformers_makes_of_each_prompt_alone(
    lengths: tuple[int, ...], layers: int
) -> None:
    decoder = decoder_of()
    decoder.layers = decoder.layers[:layers]
    decoder.config.num_hidden_layers = layers
    embeds_BLD, last_B = padded(lengths)

    hidden_BD = last_hidden(decoder, embeds_BLD, last_B)

    for row, length in enumerate(lengths):
        alone = decoder(inputs_embeds=embeds_BLD[row : row + 1, :length]).last_hidden_state[0, -1]
        torch.testing.assert_close(hidden_BD[row], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("decoder", "is_read"),
    [
        (decoder_of(), True),
        (decoder_of().double(), False),
        (decoder_of(hidden_act="gelu"), False),
        (decoder_of(use_sliding_window=True, sliding_window=8, max_window_layers=1), False),
        (torch.nn.Linear(2, 2), False),
    ],
    ids=["ours", "double", "gelu", "sliding", "another"],
)
def test_what_it_would_not_compute_right_is_left_to_transformers(
    decoder: torch.nn.Module, is_read: bool
) -> None:
    assert is_readable(decoder) == (is_read and torch.backends.mkldnn.is_available())


def test_a_build_of_torch_without_the_operator_leaves_it_to_transformers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_decoder, "LINEAR", "_linear_that_is_not_there")

    assert not is_readable(decoder_of())


@pytest.mark.parametrize("is_wide", [True, False], ids=["here", "by transformers"])
def test_prompts_are_read_together_as_each_is_alone(is_wide: bool) -> None:
    model: LongwatchForConditionalGeneration = stirred(tiny_model(tiny_layout(Pooling(pool=2))))
    model = model if is_wide else model.double()
    place = model.config.video_token_id
    seen_XD = torch.randn(3, 24, generator=torch.Generator().manual_seed(2))
    prompts = [
        ([5, place, place, place, 9, 8], seen_XD),
        ([7, 6], None),
        ([4, place, 5], seen_XD[:1]),
    ]

    logits_BV = next_logits(model, prompts)

    for (ids, visual_XD), logits_V in zip(prompts, logits_BV, strict=True):
        with torch.inference_mode():
            alone_V = model(torch.tensor([ids]), visual_XD).logits[0, -1]
        torch.testing.assert_close(logits_V, alone_V, atol=1e-4, rtol=1e-4)
