"""Linear layers through oneDNN give what PyTorch's give, and only where there are rows enough."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from models.cpu_linear import FEWEST_ROWS, WideLinears

ONEDNN = "mkldnn::_linear_pointwise"


def computed(rows: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, bool]:
    """What a layer gives, and whether oneDNN computed it."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as told, WideLinears():
        given = functional.linear(rows, weight, bias)
    return given, any(event.name == ONEDNN for event in told.events() or ())


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize(
    ("rows", "dtype", "is_wide"),
    [
        (4 * FEWEST_ROWS, torch.float32, True),
        (4 * FEWEST_ROWS, torch.float64, False),
        (FEWEST_ROWS - 1, torch.float32, False),
    ],
)
def test_it_gives_what_pytorch_gives(
    rows: int, dtype: torch.dtype, has_bias: bool, is_wide: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    rows_1LD, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=dtype)
        for shape in ((1, rows, 48), (80, 48), (80,))
    )
    given = bias if has_bias else None

    result, by_onednn = computed(rows_1LD, weight, given)

    expected = functional.linear(rows_1LD, weight, given)
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    assert by_onednn == (is_wide and torch.backends.mkldnn.is_available())


def test_outside_nothing_changes() -> None:
    rows, weight = torch.randn(64, 48), torch.randn(80, 48)
    with WideLinears():
        pass
    with profile(activities=[ProfilerActivity.CPU]) as told:
        functional.linear(rows, weight)
    assert ONEDNN not in {event.name for event in told.events() or ()}
