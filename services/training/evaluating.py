"""Measure a checkpoint on examples that it has not learnt from, and without its eyes.

The blind baseline is the same checkpoint with the same prompts and no picture: what it gets right
then is what the words alone, and habit, give away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memory.datasets import HELD_OUT, Example, read_examples
from models.engine import ClipTokens
from models.errors import PromptTooLong
from models.prompts import VIDEO
from models.transformers_engine import TransformersEngine
from services.training.errors import ClipUnusable, NothingToMeasure
from services.training.media import Media
from services.training.scoring import Scores, score
from services.wiring import Stores

SURE = 0.5  # from here on a judgement is a yes


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a checkpoint got right, and what it gets right without seeing anything."""

    model_id: str
    examples: int
    seen: Scores
    blind: Scores


def held_out(path: Path) -> list[Example]:
    """The examples of a file, or the held-out ones of a set's folder.

    Raises:
        StoreError
    """
    return read_examples(path / HELD_OUT if path.is_dir() else path)


def evaluate(
    engine: TransformersEngine,
    stores: Stores,
    examples: Sequence[Example],
    folder: Path,
    *,
    with_blind: bool,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Evaluated:
    """Have a checkpoint reply to all prompts; what cannot be shown any more is counted, and left.

    Without `with_blind`, it is not asked again without pictures.

    Raises:
        NothingToMeasure, StoreError, ModelError
    """
    if not examples:
        raise NothingToMeasure(folder)
    media = Media(engine, stores, folder)
    seen, blind = Scores(), Scores()
    for number, example in enumerate(examples, start=1):
        try:
            clips = media.tokens(example)
            score(seen, example, replies(engine, example, clips))
        except (ClipUnusable, PromptTooLong):
            seen.unusable += 1
        else:
            nothing = [unseen(clip) for clip in clips]
            if clips and with_blind:
                score(blind, example, replies(engine, example, nothing))
        on_progress(number / len(examples))
    return Evaluated(engine.model_id, len(examples), seen, blind)


def replies(engine: TransformersEngine, example: Example, clips: Sequence[ClipTokens]) -> list[str]:
    """What the checkpoint says to each prompt, as if it were the only one."""
    said: list[str] = []
    for prompt, _ in example.turns:
        asked = prompt if not clips or VIDEO in prompt else f"{VIDEO}\n{prompt}"
        if example.task == "judge":
            said.append("yes" if engine.yes_or_no(asked, clips) >= SURE else "no")
        else:
            said.append(engine.reply(asked, clips).strip())
    return said


def unseen(clip: ClipTokens) -> ClipTokens:
    """A clip of no pictures."""
    return ClipTokens(
        tokens_KD=clip.tokens_KD[:0],
        frame_K=clip.frame_K[:0],
        times_s_T=np.zeros(0, np.float32),
        layout_id=clip.layout_id,
        encoder_id=clip.encoder_id,
    )
