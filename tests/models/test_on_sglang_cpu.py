"""What is lent to SGLang on a CPU computes as transformers does."""

import sys
from types import ModuleType

import pytest
import torch
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from models.on_sglang.cpu import OPS, VLLM, lend_rotary_embedding, rotary_embedding

TOKENS, HEADS, KEY_HEADS, WIDTH, LENGTH = 5, 4, 2, 8, 32


def test_queries_and_keys_are_rotated_as_by_transformers():
    generator = torch.Generator().manual_seed(0)
    positions = torch.tensor([0, 3, 4, 4, 31])
    joined = torch.randn(TOKENS, (HEADS + KEY_HEADS) * WIDTH, generator=generator)
    query, key = joined.split([HEADS * WIDTH, KEY_HEADS * WIDTH], -1)  # views, as SGLang has them
    angles = torch.arange(LENGTH)[:, None] / 10_000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    cos_sin = torch.cat([angles.cos(), angles.sin()], -1)
    turn = torch.cat([angles, angles], -1)[positions]
    expected = apply_rotary_pos_emb(
        query.reshape(1, TOKENS, HEADS, WIDTH).transpose(1, 2),
        key.reshape(1, TOKENS, KEY_HEADS, WIDTH).transpose(1, 2),
        turn.cos()[None],
        turn.sin()[None],
    )

    rotary_embedding(positions, query, key, WIDTH, cos_sin, is_neox=True)

    for ours, theirs in zip((query, key), expected, strict=True):
        torch.testing.assert_close(ours, theirs.transpose(1, 2).reshape(TOKENS, -1))


def test_interleaved_pairs_are_refused():
    ones = torch.ones(1, WIDTH)

    with pytest.raises(ValueError, match="not implemented"):
        rotary_embedding(torch.zeros(1).long(), ones, ones, WIDTH, ones, is_neox=False)


def test_it_is_found_where_sglang_imports_it_from(monkeypatch: pytest.MonkeyPatch):
    for name in (VLLM, OPS):  # and put back when the test is over
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        del sys.modules[name]

    lend_rotary_embedding()

    from vllm._custom_ops import rotary_embedding as found  # type: ignore[import-not-found]

    assert found is rotary_embedding
