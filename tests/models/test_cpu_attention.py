"""Attention for training is held to PyTorch's, forwards and backwards."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.cpu_attention import NAME, attend, trained_with
from models.layout import Pooling
from tests.models.builders import tiny_engine


def tensors(length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    heads = (4, 2, 2, 4)  # the query's, and half as many for key and value
    q, k, v, grad = (torch.randn(3, n, length, 8, generator=generator, dtype=dtype) for n in heads)
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_(), grad


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
@pytest.mark.parametrize("length", [1, 33])
def test_it_attends_and_learns_as_pytorch_does(dtype: torch.dtype, near: float, length: int):
    q, k, v, grad = tensors(length, dtype)
    expected = functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, scale=0.3, enable_gqa=True
    )
    expected_grads = torch.autograd.grad(expected, (q, k, v), grad)

    seen, _ = attend(torch.nn.Module(), q, k, v, None, scaling=0.3)
    grads = torch.autograd.grad(seen.transpose(1, 2), (q, k, v), grad)

    torch.testing.assert_close(seen.transpose(1, 2), expected, atol=near, rtol=near)
    for mine, theirs in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(mine, theirs, atol=near, rtol=near)


def test_a_decoder_attends_with_it_only_while_it_is_trained():
    decoder = cast(Any, tiny_engine(Pooling(pool=2)).model.language_model)
    ids = torch.tensor([[1, 2, 3, 4]])
    before = decoder(ids).logits

    with trained_with(decoder):
        assert decoder.config._attn_implementation == NAME
        trained = decoder(ids).logits
        with torch.inference_mode():
            padded = decoder(ids, attention_mask=torch.tensor([[0, 1, 1, 1]])).logits

    assert decoder.config._attn_implementation != NAME
    torch.testing.assert_close(trained, before)
    assert not torch.allclose(padded, before)
