"""A checkpoint folder, read tensor by tensor: what its weights are called, and its projector.

For those who need not load the model. What made a clip's tokens, and who wrote an answer, is told
by hashes of weights; they are the same however the weights were read.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.clip_encoder import Projector
from models.config import LongwatchConfig
from models.errors import CheckpointUnlike, CheckpointUnreadable
from models.layout import StreamLayout
from models.video_llm import LongwatchForConditionalGeneration

ENCODER_PARTS = ("vision_tower.", "projector.")
OF_ITS_OWN = ("model_name", "layout", "dtype", "transformers_version", "_name_or_path")
"""What the configurations of two checkpoints may differ in that serve one after another; layouts
are compared by their ids."""


def weights_hash(named: Iterable[tuple[str, Tensor]]) -> str:
    """Content hash of weights that come in the order of their names."""
    digest = hashlib.sha256()
    for name, weight in named:
        digest.update(name.encode())
        digest.update(weight.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:12]


class Checkpoint:
    """A folder with `config.json` and weights as safetensors, in one file or several.

    Raises:
        CheckpointUnreadable: missing, damaged, or not a Longwatch checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "config.json").is_file():
            raise CheckpointUnreadable(path, "there is no config.json in it")
        try:
            self.config = LongwatchConfig.from_pretrained(path)
            self._file_of = {
                name: file for file in path.glob("*.safetensors") for name in _in(file)
            }
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointUnreadable(path, str(error).splitlines()[0]) from error
        if not self._file_of:
            raise CheckpointUnreadable(path, "there are no weights in it")

    @property
    def layout(self) -> StreamLayout:
        return self.config.stream_layout

    @cached_property
    def model_id(self) -> str:
        return f"{self.config.model_name}@{weights_hash(self._weights(('',)))}"

    @cached_property
    def encoder_id(self) -> str:
        return weights_hash(self._weights(ENCODER_PARTS))

    def projector(self) -> Projector:
        tower, decoder = self.config.vision_config, self.config.text_config
        made = Projector(tower.hidden_size, decoder.hidden_size)
        part = "projector."
        weights = self._weights((part,))
        made.load_state_dict({name.removeprefix(part): weight for name, weight in weights})
        return made.eval().requires_grad_(False)

    def refuse_unlike(self, other: "Checkpoint") -> None:
        """Say what keeps another checkpoint from taking this one's place in a running model.

        Raises:
            CheckpointUnlike
        """
        ours, theirs = self.layout.layout_id, other.layout.layout_id
        if ours != theirs:
            raise CheckpointUnlike(other.path, f"its layout is {theirs}, and not {ours}")
        for what, mine, its in (
            ("config.json", self.shared_config(), other.shared_config()),
            ("weights", self.shapes(), other.shapes()),
        ):
            unlike = sorted(name for name in mine | its if mine.get(name) != its.get(name))
            if unlike:
                raise CheckpointUnlike(other.path, f"its {what} differ in {unlike[0]}")

    def shared_config(self) -> dict[str, Any]:
        """What another checkpoint must have, too."""
        told = self.config.to_dict().items()
        return {name: value for name, value in told if name not in OF_ITS_OWN}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for path in set(self._file_of.values()):
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
        return shapes

    def _weights(self, parts: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
        """The weights whose names begin with one of `parts`, in the order of their names."""
        stored_as = {name: name for name in self._file_of}
        if self.config.tie_word_embeddings:  # saved once, known by two names
            stored_as |= LongwatchForConditionalGeneration._tied_weights_keys  # noqa: SLF001 - ours
        for name in sorted(name for name in stored_as if name.startswith(parts)):
            with safe_open(self._file_of[stored_as[name]], framework="pt") as file:
                yield name, file.get_tensor(stored_as[name])


def _in(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())
