"""Causal attention for training on a CPU in bfloat16, with a backward pass that is worth its name.

PyTorch's own (2.13) takes three times as long backwards as forwards in bfloat16, which is half of
a training step of a small decoder. Here each sequence's weights are made at once and kept, which
some hundred positions allow: both passes together take about half the time, for memory that grows
with the square of the length.

Shape letters:
    B sequences    H heads    L positions    E width of a head
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "longwatch_cpu"
MASKED = -1e4


@contextmanager
def trained_with(decoder: PreTrainedModel) -> Generator[None]:
    """Have a decoder attend with this while it is trained on a CPU; elsewhere, change nothing."""
    if decoder.device.type != "cpu":
        yield
        return
    before = decoder.config._attn_implementation or "sdpa"  # noqa: SLF001 - it has no public name
    decoder.set_attn_implementation(NAME)
    try:
        yield
    finally:
        decoder.set_attn_implementation(before)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **how: Any,
) -> tuple[Tensor, Tensor | None]:
    """What `transformers` calls; whatever is not training on plain causal rows goes to SDPA."""
    if attention_mask is not None or not torch.is_grad_enabled():
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    groups = query.shape[1] // key.shape[1]
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    q, k, v = (
        x.to(dtype).repeat_interleave(times, 1).contiguous()
        for x, times in ((query, 1), (key, groups), (value, groups))
    )
    seen_BHLE = CausalAttention.apply(q, k, v, how["scaling"])
    return seen_BHLE.transpose(1, 2).contiguous(), None


class CausalAttention(torch.autograd.Function):
    """softmax(q kᵀ · scale) v under a causal mask, sequence by sequence."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,  # noqa: ANN401 - as torch declares it
        q_BHLE: Tensor,
        k_BHLE: Tensor,
        v_BHLE: Tensor,
        scale: float,
    ) -> Tensor:
        L = q_BHLE.shape[2]
        mask_LL = torch.full((L, L), MASKED, dtype=q_BHLE.dtype).triu(1)
        seen_BHLE = torch.empty_like(q_BHLE)
        weights: list[Tensor] = []
        for q, k, v, seen in zip(q_BHLE, k_BHLE, v_BHLE, seen_BHLE, strict=True):
            weight_HLL = torch.baddbmm(mask_LL, q, k.transpose(-1, -2), alpha=scale).softmax(-1)
            torch.bmm(weight_HLL, v, out=seen)
            weights.append(weight_HLL)
        ctx.save_for_backward(q_BHLE, k_BHLE, v_BHLE, *weights)
        ctx.scale = scale
        return seen_BHLE

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        *grads: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        (grad_BHLE,) = grads
        q_BHLE, k_BHLE, v_BHLE, *weights = ctx.saved_tensors
        dq_BHLE, dk_BHLE, dv_BHLE = (torch.empty_like(x) for x in (q_BHLE, k_BHLE, v_BHLE))
        for number, weight_HLL in enumerate(weights):
            grad = grad_BHLE[number]
            torch.bmm(weight_HLL.transpose(-1, -2), grad, out=dv_BHLE[number])
            dweight_HLL = torch.bmm(grad, v_BHLE[number].transpose(-1, -2))
            inner_HL1 = (dweight_HLL * weight_HLL).sum(-1, keepdim=True)
            dscore_HLL = (dweight_HLL - inner_HL1).mul_(weight_HLL).mul_(ctx.scale)
            torch.bmm(dscore_HLL, k_BHLE[number], out=dq_BHLE[number])
            torch.bmm(dscore_HLL.transpose(-1, -2), q_BHLE[number], out=dk_BHLE[number])
        return dq_BHLE, dk_BHLE, dv_BHLE, None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
