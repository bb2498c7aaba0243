"""The stages in which a checkpoint is trained further, and strategies: stages in a row."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Shown = Literal["image", "video", "text"]
"""What an example shows; text is what shows nothing."""


class StageName(StrEnum):
    """What is trained."""

    ALIGN = "align"
    PRETRAIN = "pretrain"
    INSTRUCT = "instruct"

    @property
    def reads_features(self) -> bool:
        """Whether the projector learns, which reads what the tower made, and not stored tokens."""
        return self is not StageName.INSTRUCT


@dataclass(frozen=True, slots=True)
class Part:
    """A stage of a strategy, and what it shows; text alone is learnt beside that."""

    stage: StageName
    shows: tuple[Shown, ...]


IMAGES: tuple[Shown, ...] = ("image",)
VIDEO: tuple[Shown, ...] = ("video",)
BOTH: tuple[Shown, ...] = ("image", "video")


class Strategy(StrEnum):
    """When video joins images (FTFV, arXiv 2406.08024)."""

    S4_V = "S4-V"
    S3_IV = "S3-IV"
    S2_S3_IV = "S2-S3-IV"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its stages, in order."""
        aligned = Part(StageName.ALIGN, IMAGES)
        match self:
            case Strategy.S4_V:
                pretrained = Part(StageName.PRETRAIN, IMAGES)
                instructed = Part(StageName.INSTRUCT, IMAGES)
                return aligned, pretrained, instructed, Part(StageName.INSTRUCT, VIDEO)
            case Strategy.S3_IV:
                pretrained = Part(StageName.PRETRAIN, IMAGES)
            case Strategy.S2_S3_IV:
                pretrained = Part(StageName.PRETRAIN, BOTH)
        return aligned, pretrained, Part(StageName.INSTRUCT, BOTH)
