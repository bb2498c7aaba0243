"""Low-rank adapters (LoRA, arXiv 2106.09685) on a decoder, which are merged into it afterwards.

Few parameters learn, so a big decoder is trained in little memory, and it forgets less. What is
saved is a checkpoint like any other.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

RANK = 16
SCALE = 2.0
"""What the adapters' product is multiplied with: alpha / rank, with alpha twice the rank."""


class Adapted(nn.Module):
    """A linear layer that stays as it is, and a product of two small ones that is added to it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        added = functional.linear(functional.linear(x, self.down), self.up)
        return self.base(x) + SCALE * added

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        self.base.weight += (SCALE * (self.up @ self.down)).to(self.base.weight.dtype)
        return self.base


def adapt(layers: nn.Module, *, rank: int = RANK, seed: int) -> list[str]:
    """Put an adapter on each linear layer below, and return the names of what learns there."""
    torch.manual_seed(seed)
    for name, layer in list(layers.named_modules()):
        if isinstance(layer, nn.Linear):
            _replace(layers, name, Adapted(layer, rank).to(layer.weight.device))
    return [name for name, _ in layers.named_parameters() if name.endswith((".down", ".up"))]


def merge(layers: nn.Module) -> None:
    """Add what the adapters learnt to the layers that they are on."""
    for name, layer in list(layers.named_modules()):
        if isinstance(layer, Adapted):
            _replace(layers, name, layer.merged())


def _replace(layers: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(layers.get_submodule(parent), child, layer)
