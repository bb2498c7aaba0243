"""A checkpoint read tensor by tensor is the one that the engine loads."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import Checkpoint
from models.errors import CheckpointUnreadable
from models.transformers_engine import TransformersEngine
from tests.models.builders import tiny_layout, tiny_model, tiny_tokenizer


def saved(path: Path, **how: Any) -> Path:
    tiny_model(tiny_layout()).save_pretrained(path, **how)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize("how", [{}, {"max_shard_size": "20KB"}], ids=["one file", "several"])
def test_its_names_are_those_of_the_engine(tmp_path: Path, how: dict[str, str]):
    path = saved(tmp_path, **how)
    assert (len(list(path.glob("*.safetensors"))) > 1) == bool(how)

    checkpoint, engine = Checkpoint(path), TransformersEngine.load(path)

    assert (checkpoint.model_id, checkpoint.encoder_id) == (engine.model_id, engine.encoder_id)
    assert checkpoint.layout == engine.layout


def test_its_projector_is_the_models(tmp_path: Path):
    checkpoint, engine = Checkpoint(saved(tmp_path)), TransformersEngine.load(tmp_path)

    ours, theirs = checkpoint.projector().state_dict(), engine.model.projector.state_dict()

    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors"])
def test_a_damaged_one_is_refused(tmp_path: Path, damage: str):
    file = saved(tmp_path) / damage
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    with pytest.raises(CheckpointUnreadable, match=str(tmp_path)):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str):
    (saved(tmp_path) / missing).unlink()

    with pytest.raises(CheckpointUnreadable, match=r"no config\.json|no weights"):
        Checkpoint(tmp_path)
