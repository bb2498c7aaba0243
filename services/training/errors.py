"""What can go wrong between footage and a checkpoint that learnt from it.

LearningError
├── ClipUnusable        a clip cannot be looked at again
├── NotOurCheckpoint    a model that cannot be trained or measured in this process
├── NothingToLearn      a data set holds nothing that can be learnt from
├── KindMissing         a strategy shows what no set holds
├── NothingToMeasure    a set holds nothing out, or a file no example
├── NothingHeldOut      there is nothing to compare checkpoints on
├── WorseThanServing    a checkpoint that is not promoted, for it is worse
└── NothingPromoted     no checkpoint was promoted that could be taken back
"""

from collections.abc import Mapping
from pathlib import Path

from models.stages import Shown, Strategy
from services.errors import ServiceError


class LearningError(ServiceError):
    """Nothing comes of learning."""


class ClipUnusable(LearningError):
    def __init__(self, clip_id: str, *, reason: str) -> None:
        super().__init__(f"{clip_id} cannot be looked at again ({reason})")
        self.clip_id = clip_id
        self.reason = reason


class NotOurCheckpoint(LearningError):
    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"{model_id} does not run in this process; name a checkpoint's folder with --model"
        )
        self.model_id = model_id


class NothingToLearn(LearningError):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} holds no example whose footage is still kept and fits the model; "
            "make it anew with: longwatch dataset build"
        )
        self.folder = folder


class KindMissing(LearningError):
    def __init__(self, strategy: Strategy, shown: Shown) -> None:
        how = "an `image` file or `at_s`" if shown == "image" else "`clips` or a `video` file"
        super().__init__(
            f"{strategy} learns of what shows {shown}, and no set holds any; add lines with {how} "
            "to --set or to a --replay, or name a --stage instead"
        )
        self.strategy = strategy
        self.shown = shown


class NothingToMeasure(LearningError):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"there is no example to measure on in {folder}; make the set of more footage, or with "
            "a larger --hold-out"
        )
        self.folder = folder


class NothingHeldOut(LearningError):
    def __init__(self) -> None:
        super().__init__(
            "nothing to compare the checkpoints on; make a set with: longwatch dataset build, "
            "or name one with --set"
        )


class WorseThanServing(LearningError):
    def __init__(self, model_id: str, worse: Mapping[str, str]) -> None:
        said = ", ".join(f"{measure} by {by}" for measure, by in worse.items())
        super().__init__(f"{model_id} is not promoted, for it is worse: {said}; train it further")
        self.model_id = model_id
        self.worse = worse


class NothingPromoted(LearningError):
    def __init__(self) -> None:
        super().__init__("no checkpoint was promoted here; the one that is shipped serves")
