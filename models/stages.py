"""The stages in which a checkpoint is trained further."""

from enum import StrEnum


class StageName(StrEnum):
    """What is trained."""

    ALIGN = "align"
    PRETRAIN = "pretrain"
    INSTRUCT = "instruct"

    @property
    def reads_features(self) -> bool:
        """Whether the projector learns, which reads what the tower made, and not stored tokens."""
        return self is not StageName.INSTRUCT
