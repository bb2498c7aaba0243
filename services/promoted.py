"""Which checkpoint serves: the one that is named, else the one promoted last, else the shipped.

DATA/model.json             promotions, in order; the last one serves
DATA/models/MODEL_ID/       copies of the checkpoints, so that nobody's moving of files matters
"""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from memory.durable import write_durably
from memory.errors import DamagedRecord, from_os_error
from services.settings import Settings


class Promotion(BaseModel):
    """A checkpoint that serves from some time on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    promoted_at: AwareDatetime


class Promotions(BaseModel):
    """All of them, the last one last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    promotions: tuple[Promotion, ...] = ()


def is_named(settings: Settings) -> bool:
    """Whether a person named the checkpoint, which overrules what was promoted."""
    return "model" in settings.model_fields_set


def served_model(settings: Settings) -> Path:
    """The folder of the checkpoint that serves.

    Raises:
        StoreError: what was promoted cannot be read.
    """
    serving = serving_promotion(settings)
    return settings.model if serving is None else folder_of(settings, serving.model_id)


def serving_promotion(settings: Settings) -> Promotion | None:
    """Since when which checkpoint serves; None where that is not one that was promoted.

    Raises:
        StoreError: what was promoted cannot be read.
    """
    promotions = read_promotions(settings).promotions
    return None if is_named(settings) or not promotions else promotions[-1]


def folder_of(settings: Settings, model_id: str) -> Path:
    return settings.models_path / model_id


def read_promotions(settings: Settings) -> Promotions:
    """What was promoted in a data directory.

    Raises:
        StoreError
    """
    path = settings.promotions_path
    try:
        return Promotions.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Promotions()
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    except ValidationError as error:
        raise DamagedRecord(str(path), detail=str(error.errors()[0]["msg"])) from error


def write_promotions(settings: Settings, promotions: Promotions) -> None:
    write_durably(settings.promotions_path, promotions.model_dump_json(indent=1).encode())
