"""Have another checkpoint serve, if it is no worse than the one that does, on what is held out."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from memory.datasets import HELD_OUT, DataSets
from models.errors import ModelServerError
from models.hot_swap import swap
from models.intervals import Estimate
from models.transformers_engine import TransformersEngine
from services.errors import OutputUnusable
from services.model_address import ServedBy
from services.promoted import (
    Promotion,
    Promotions,
    folder_of,
    read_promotions,
    served_model,
    write_promotions,
)
from services.settings import Settings
from services.training.errors import NothingHeldOut, NothingPromoted, WorseThanServing
from services.training.evaluating import evaluate, held_out
from services.training.scoring import Scores, compared
from services.wiring import Stores

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two checkpoints on the same examples."""

    new: Scores
    old: Scores
    examples: int

    @property
    def gains(self) -> dict[str, Estimate]:
        """How much better the new one is, by measure."""
        return compared(self.new, self.old)

    @property
    def worse(self) -> dict[str, Estimate]:
        """The measures by which it is worse, all of the interval long."""
        return {measure: gain for measure, gain in self.gains.items() if gain.high < 0}


def compare(
    new: TransformersEngine,
    old: TransformersEngine,
    stores: Stores,
    sets: Sequence[Path],
    *,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Compared:
    """Measure both on all that the sets hold out.

    Raises:
        NothingHeldOut, StoreError, ModelError
    """
    held = [(folder, held_out(folder)) for folder in sets]
    count = sum(len(examples) for _, examples in held)
    scores = Scores(), Scores()
    done = 0
    for folder, examples in held:
        beside = folder if folder.is_dir() else folder.parent
        for engine, so_far in zip((new, old), scores, strict=True):
            if examples:
                seen = evaluate(engine, stores, examples, beside, with_blind=False).seen
                so_far.join(seen, prefix=str(folder))
            done += len(examples)
            on_progress(done / (2 * count or 1))
    if not compared(*scores):
        raise NothingHeldOut
    return Compared(*scores, count)


def sets_of(stores: Stores) -> list[Path]:
    """The sets that are registered and hold something out."""
    folders = DataSets(stores.record.documents).folders()
    return [folder for folder in folders if (folder / HELD_OUT).exists()]


def promote(
    settings: Settings, checkpoint: Path, model_id: str, result: Compared, *, now_at: datetime
) -> None:
    """Copy a checkpoint into the data directory, and have it serve from now on.

    Raises:
        WorseThanServing, ModelServerError: nothing is changed.
        OutputUnusable, StoreError
    """
    if result.worse:
        raise WorseThanServing(model_id, {name: str(one) for name, one in result.worse.items()})
    folder = folder_of(settings, model_id)
    unfinished = folder.with_name(f"{model_id}.unfinished")
    try:
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            for path in checkpoint.iterdir():
                if path.is_file():
                    shutil.copy2(path, unfinished / path.name)
            unfinished.replace(folder)
    except OSError as error:
        raise OutputUnusable(folder, reason=str(error)) from error
    swap_servers(settings, folder, back_to=served_model(settings))
    earlier = read_promotions(settings).promotions
    promotion = Promotion(model_id=model_id, promoted_at=now_at)
    write_promotions(settings, Promotions(promotions=(*earlier, promotion)))


def take_back(settings: Settings) -> str | None:
    """Have the checkpoint before serve again: its id, or None for the one that is shipped.

    Raises:
        NothingPromoted, ModelServerError, StoreError
    """
    earlier = read_promotions(settings).promotions[:-1]
    if not read_promotions(settings).promotions:
        raise NothingPromoted
    before = folder_of(settings, earlier[-1].model_id) if earlier else settings.model
    swap_servers(settings, before, back_to=served_model(settings))
    write_promotions(settings, Promotions(promotions=earlier))
    return earlier[-1].model_id if earlier else None


def swap_servers(settings: Settings, folder: Path, *, back_to: Path) -> None:
    """Have servers of our model, where it runs in such, serve a checkpoint: all of them, or none.

    Raises:
        SwapRefused, ModelServerAway, ModelServerDenied
    """
    address = settings.model_address
    if address is None or address.served_by is not ServedBy.SGLANG:
        return
    key = None if settings.model_key is None else settings.model_key.get_secret_value()
    done: list[str] = []
    try:
        for url in address.urls:
            swap(url, folder.resolve(), key=key)
            done.append(url)
    except ModelServerError:
        for url in done:
            try:
                swap(url, back_to.resolve(), key=key)
            except ModelServerError as error:
                log.error("%s", error)
        raise
