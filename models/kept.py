"""How far a run is, and its state in a file, with which it goes on to the bit after a kill."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.several_devices import SeveralDevices


@dataclass(slots=True)
class Progress:
    """Running means of what a stage reports."""

    step: int = 0
    means: dict[str, float] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            old = self.means.get(name, value)
            self.means[name] = old + (value - old) / min(self.step, 50)


class Kept:
    """The state of a run in a file, which a crash leaves as it was or as it is to be.

    On several devices, the first of them writes all of it, and each takes its part.
    """

    def __init__(self, path: Path, *, every: int, devices: SeveralDevices | None = None) -> None:
        self._path = path
        self._every = every
        self._devices = devices
        self._found: dict[str, Any] | None = None
        self.kept_step = 0
        if path.is_file():
            self._found = torch.load(path, map_location="cpu", weights_only=True)
            self.kept_step = self.first_step

    @property
    def first_step(self) -> int:
        """How many steps are done."""
        return 0 if self._found is None else int(self._found["progress"]["step"])

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put everything where it was, and return how far it was."""
        if self._found is None:
            return Progress()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(self._part_of(self._found["learning"][name], parameter))
        state: dict[str, Any] = self._found["optimizer"]
        learnt = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for number, kept in state["state"].items():
            for name, value in kept.items():
                kept[name] = self._part_of(value, learnt[number])
        optimizer.load_state_dict(state)
        torch.set_rng_state(self._found["random"])
        return Progress(**self._found["progress"])

    def keep(self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write the state, if it is time to; where that fails, the one before stays.

        Raises:
            OSError
        """
        if progress.step % self._every:
            return
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        learnt = optimizer.state_dict()
        of_each = {
            number: {name: self._whole(value) for name, value in kept.items()}
            for number, kept in learnt["state"].items()
        }
        state = {
            "learning": {name: self._whole(p.detach()) for name, p in learning.items()},
            "optimizer": {**learnt, "state": of_each},
            "random": torch.get_rng_state(),
            "progress": asdict(progress),
        }
        if self._devices is None or self._devices.is_first:
            self._write(state)
        self.kept_step = progress.step

    def _write(self, state: dict[str, Any]) -> None:
        unfinished = self._path.with_suffix(".unfinished")
        try:
            with unfinished.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except RuntimeError as error:  # what torch makes of an error of the file
            raise OSError(f"{unfinished} cannot be written ({error})") from error
        finally:
            unfinished.unlink(missing_ok=True)

    def _whole(self, value: Tensor) -> Tensor:
        return value if self._devices is None else self._devices.whole(value)

    def _part_of(self, whole: Tensor, like: Tensor) -> Tensor:
        return whole if self._devices is None else self._devices.part_of(whole, like)
