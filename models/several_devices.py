"""Train one model on several devices of the processes that torchrun started, one device each.

Each process holds a part of all weights, of their gradients and of the optimizer's state (FSDP2),
and reads a part of each batch. What a loss is the mean of, such as the tokens that are taught, is
counted over all of them, so that steps are those of the whole batch. The vision tower stays whole
everywhere, for it learns nothing.

All processes do the same in the same order, for each waits for the others wherever they exchange
something. Knows nothing of what is learnt.
"""

import os
import sys
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from models.video_llm import LongwatchForConditionalGeneration

T = TypeVar("T")


class Whole(nn.Module):
    """A model whose weights outside of its layers are whole while something is done with it."""

    def __init__(self, model: LongwatchForConditionalGeneration) -> None:
        super().__init__()
        self.model = model

    def forward(self, act: Callable[..., T], *given: Any) -> T:
        return act(self.model, *given)


class SeveralDevices:
    """The devices of a run, seen from the process of one of them."""

    def __init__(self, mesh: DeviceMesh) -> None:
        self._mesh = mesh
        self._number = mesh.get_rank()
        self.count = mesh.size()

    @property
    def is_first(self) -> bool:
        """Whether it is this process that writes and says what all have done."""
        return self._number == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which part of a batch this process reads, of how many."""
        return self._number, self.count

    def shard(self, model: LongwatchForConditionalGeneration) -> Whole:
        """Leave a part of each weight here; from now on, the model is used through what is given.

        Optimizers are made after this.
        """
        tower = set(model.vision_tower.parameters())
        for layer in model.language_model.model.layers:
            fully_shard(layer, mesh=self._mesh)
        whole = Whole(model)
        fully_shard(whole, mesh=self._mesh, ignored_params=tower)
        return whole

    def gather(self, model: nn.Module) -> None:
        """Make a sharded model whole where `is_first`: to be read and saved, and not used again."""
        found: dict[nn.Parameter, nn.Parameter] = {}
        for module in model.modules():
            for name, part in list(module.named_parameters(recurse=False)):
                if part not in found:
                    found[part] = nn.Parameter(self.whole(part.detach()), part.requires_grad)
                if self.is_first:
                    setattr(module, name, found[part])

    def whole(self, part: Tensor) -> Tensor:
        """A sharded tensor on the CPU, and nothing of it where not `is_first`; others stay."""
        if not isinstance(part, DTensor):
            return part
        whole = part.full_tensor()
        return whole.cpu() if self.is_first else whole.new_empty(0)

    def part_of(self, whole: Tensor, like: Tensor) -> Tensor:
        """The part of a tensor that lies here, if it is to be like one that is sharded."""
        if not isinstance(like, DTensor) or whole.shape != like.shape:
            return whole
        return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements)

    def total(self, number: int) -> int:
        """The sum of what all have."""
        counted = torch.tensor(number, device=self._mesh.device_type)
        dist.all_reduce(counted)
        return int(counted)

    def mean(self, value: Tensor) -> float:
        """The mean of what all have."""
        added = value.detach().clone()
        dist.all_reduce(added)
        return added.item() / self.count

    def union(self, texts: Collection[str]) -> set[str]:
        """The texts of all."""
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, sorted(texts))
        return {text for one in gathered for text in one}

    def first(self, act: Callable[[], T]) -> T:
        """Have the first process do something, and all others wait for what comes of it."""
        told = [act() if self.is_first else None]
        dist.broadcast_object_list(told, src=0)
        return told[0]  # type: ignore[return-value]  # as the first one has put it there


def touched(weights: Iterable[Tensor]) -> Tensor:
    """Zero, and yet made of weights: where one device learns these, all have gradients of them."""
    return 0.0 * torch.stack([weight.sum() for weight in weights]).sum()


@contextmanager
def launched_devices(device: str) -> Generator[SeveralDevices | None]:
    """The devices that torchrun started processes for; None where it did not start this one.

    What is put on `device`, as torch names it, lies on this process's own from then on. A process
    that torchrun started ends where this does, unless there was an error.
    """
    if not dist.is_torchelastic_launched():
        yield None
        return
    kind = torch.device(device).type
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    if kind == "cuda":
        torch.cuda.set_device(dist.get_rank() % torch.cuda.device_count())
    try:
        yield SeveralDevices(init_device_mesh(kind, (dist.get_world_size(),)))
        dist.barrier()
    finally:
        dist.destroy_process_group()
    _leave()


def _leave() -> NoReturn:
    """End this process, which did what it was to do, and leave out how an interpreter ends.

    Threads of gloo let go of what was exchanged only after those who wait for it were told, and
    take the interpreter's lock for it. One that is late finds an interpreter that ends, which
    ends the thread in the midst of a destructor, so that all of the process aborts (torch 2.13).
    No barrier waits for that, and neither does destroying the group, whose threads live on.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
