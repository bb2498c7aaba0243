"""What a decoder makes of the last position of prompts, on a CPU, without what nobody reads.

Keys and values of the last layer are made of every position, and all else of it for one position a
prompt. Linear layers go through oneDNN, and what is done to their results along with them: on
processors of AMD, MKL, to which PyTorch leaves them, computes with half the width that they have.
Sums are added in another order than by `transformers`, so results differ in the last bits.

Shape letters:
    B prompts, padded on the right    L positions    D decoder width    H heads    E width of a head
"""

from typing import TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model, rotate_half

LINEAR = "_linear_pointwise"
"""The operator of oneDNN among torch's. Builds for other processors do not have it."""


def is_readable(decoder: nn.Module) -> TypeGuard[Qwen2Model]:
    """Whether `last_hidden` computes what this decoder would."""
    return (
        isinstance(decoder, Qwen2Model)
        and decoder.device.type == "cpu"
        and decoder.dtype == torch.float32
        and decoder.config.hidden_act == "silu"
        and not decoder.has_sliding_layers
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, LINEAR)
    )


def last_hidden(decoder: Qwen2Model, embeds_BLD: Tensor, last_B: Tensor) -> Tensor:
    """The hidden states, shape (B, D), at the last position of each prompt; without gradients."""
    positions_1L = torch.arange(embeds_BLD.shape[1])[None]
    cos_1LE, sin_1LE = decoder.rotary_emb(embeds_BLD, positions_1L)
    *layers, last = (cast(Qwen2DecoderLayer, layer) for layer in decoder.layers)
    hidden_BLD = embeds_BLD
    for layer in layers:
        hidden_BLD = _through(layer, hidden_BLD, cos_1LE, sin_1LE, None)
    return decoder.norm(_through(last, hidden_BLD, cos_1LE, sin_1LE, last_B))[:, 0]


def _through(
    layer: Qwen2DecoderLayer,
    hidden_BLD: Tensor,
    cos_1LE: Tensor,
    sin_1LE: Tensor,
    last_B: Tensor | None,
) -> Tensor:
    """What a layer makes of each position, or of the last of each prompt alone: (B, 1, D)."""
    attention, mlp, linear = layer.self_attn, layer.mlp, getattr(torch.ops.mkldnn, LINEAR)
    normed_BLD = layer.input_layernorm(hidden_BLD)
    key_BHLE = _turned(_heads(normed_BLD, attention.k_proj, attention.head_dim), cos_1LE, sin_1LE)
    value_BHLE = _heads(normed_BLD, attention.v_proj, attention.head_dim)
    mask = None
    if last_B is not None:
        here = torch.arange(len(last_B)), last_B
        hidden_BLD, normed_BLD = hidden_BLD[here][:, None], normed_BLD[here][:, None]
        cos_1LE, sin_1LE = cos_1LE[0, last_B][:, None], sin_1LE[0, last_B][:, None]
        mask = (torch.arange(key_BHLE.shape[2]) <= last_B[:, None])[:, None, None]
    query_BHLE = _turned(_heads(normed_BLD, attention.q_proj, attention.head_dim), cos_1LE, sin_1LE)
    seen_BHLE = functional.scaled_dot_product_attention(
        query_BHLE, key_BHLE, value_BHLE, mask,
        is_causal=mask is None, scale=attention.scaling, enable_gqa=True,
    )  # fmt: skip
    seen_BLD = seen_BHLE.transpose(1, 2).flatten(2)
    hidden_BLD = linear.binary(seen_BLD, hidden_BLD, attention.o_proj.weight, None, "add")
    normed_BLD = layer.post_attention_layernorm(hidden_BLD)
    share = linear(normed_BLD, mlp.gate_proj.weight, None, "swish", [], "")
    wide = linear.binary(normed_BLD, share, mlp.up_proj.weight, None, "mul")
    return linear.binary(wide, hidden_BLD, mlp.down_proj.weight, None, "add")


def _heads(rows_BLD: Tensor, layer: nn.Linear, width: int) -> Tensor:
    made = getattr(torch.ops.mkldnn, LINEAR)(rows_BLD, layer.weight, layer.bias, "none", [], "")
    return made.unflatten(-1, (-1, width)).transpose(1, 2)


def _turned(heads_BHLE: Tensor, cos_BLE: Tensor, sin_BLE: Tensor) -> Tensor:
    return heads_BHLE * cos_BLE[:, None] + rotate_half(heads_BHLE) * sin_BLE[:, None]
