"""What SGLang asks vLLM for where it has no kernels of its own: rotary embedding, in plain torch.

On a CPU its published wheel computes everything else by itself. vLLM is not installed for one
function; a module of that name is put where SGLang imports it from.

Shape letters:
    N tokens    H heads    E width of a head    R width that is rotated
"""

import sys
from types import ModuleType

import torch
from torch import Tensor

VLLM, OPS = "vllm", "vllm._custom_ops"


def lend_rotary_embedding() -> None:
    """Let `from vllm._custom_ops import rotary_embedding` find ours."""
    vllm, ops = ModuleType(VLLM), ModuleType(OPS)
    vars(ops)["rotary_embedding"] = rotary_embedding
    vars(vllm)["_custom_ops"] = ops
    sys.modules.setdefault(VLLM, vllm)
    sys.modules.setdefault(OPS, ops)


def rotary_embedding(
    positions_N: Tensor,
    query_NX: Tensor,
    key_NX: Tensor,
    head_size: int,
    cos_sin_LR: Tensor,
    is_neox: bool,
) -> None:
    """Rotate queries and keys in place; their heads lie side by side in X = H * E."""
    if not is_neox:
        raise ValueError("rotary embedding of interleaved pairs is not implemented")
    cos_N1R, sin_N1R = cos_sin_LR[positions_N.flatten()][:, None].chunk(2, -1)
    for heads_NHE in (x.view(len(x), -1, head_size) for x in (query_NX, key_NX)):
        rotated_NHR = heads_NHE[..., : cos_sin_LR.shape[-1]]
        first, second = rotated_NHR.chunk(2, -1)
        turned = (first * cos_N1R - second * sin_N1R, second * cos_N1R + first * sin_N1R)
        rotated_NHR.copy_(torch.cat(turned, -1))
