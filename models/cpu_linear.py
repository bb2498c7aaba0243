"""Linear layers on a CPU through oneDNN, which PyTorch leaves to MKL.

On processors of AMD, MKL computes with half the width that they have: with AVX2, where oneDNN takes
AVX-512 and needs half the time for rows enough. Sums are added in another order, so results differ
in the last bits.

    with WideLinears():
        hidden = decoder(...)
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

FEWEST_ROWS = 16  # below, reading the weights takes the time, and MKL is no slower


class WideLinears(TorchFunctionMode):
    """Of the thread that enters it, and without gradients."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        if func is functional.linear and not kwargs and _is_wide(args[0]):
            rows, weight, *bias = args
            return torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - it has no public name
                rows, weight, bias[0] if bias else None, "none", [], ""
            )
        return func(*args, **(kwargs or {}))


def _is_wide(rows: Tensor) -> bool:
    return (
        rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and rows.numel() >= FEWEST_ROWS * rows.shape[-1]
        and torch.backends.mkldnn.is_available()
    )
