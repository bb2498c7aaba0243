"""The stream layout: how seconds of video become the tokens that a model reads. One object.

It is saved in the checkpoint and its id is stored with every clip; worker, trainer and server read
the same one. Tokens of another layout are refused, never reinterpreted.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Newline = Literal["grid", "none"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SlowFast(Frozen):
    """SlowFast, interleaved, each frame once (LLaVA-Video, arXiv 2410.02713, section 4).

    Frame i is slow if i mod `slow_stride` == 0 and pooled by `pool`; the others are fast and pooled
    by twice that. Average pooling floors, as the paper's 27x27 -> 13x13 does.
    """

    kind: Literal["slowfast"] = "slowfast"
    slow_stride: int = Field(default=3, ge=1)
    pool: int = Field(default=2, ge=1)


class WeightedSampler(Frozen):
    """Weighted token sampler by attention response (FTFV, arXiv 2406.08024; formula ours).

    Keeps `tokens_per_frame` patches of each frame, in raster order; one patch of each cell of a
    `cells` x `cells` grid is kept whatever its response, so that the background cannot vanish.
    """

    kind: Literal["weighted"] = "weighted"
    tokens_per_frame: int = Field(ge=1)
    cells: int = Field(default=0, ge=0)


class Pooling(Frozen):
    """Every frame pooled by the same stride (LLaVA-NeXT-Video)."""

    kind: Literal["pooling"] = "pooling"
    pool: int = Field(default=2, ge=1)


class RandomTokens(Frozen):
    """A fixed random choice of patches for each frame: the baseline that samplers must beat."""

    kind: Literal["random"] = "random"
    tokens_per_frame: int = Field(ge=1)
    seed: int = 0


Compression = Annotated[
    SlowFast | WeightedSampler | Pooling | RandomTokens, Field(discriminator="kind")
]


class StreamLayout(Frozen):
    """Frames of a clip, their size, their compression, and the marks between them."""

    clip_length_s: float = Field(default=10.0, gt=0)
    fps: float = Field(default=1.0, gt=0)
    max_frames: int = Field(default=10, ge=1)
    image_size_px: int = Field(ge=1)
    compression: Compression = SlowFast()
    newline: Newline = "grid"
    """`grid`: a learned vector ends each row of a pooled frame (LLaVA-NeXT)."""
    frame_token: bool = True
    """A learned vector ends each frame (LLaVA-Video's faster_token)."""
    time_decimals: int = Field(default=1, ge=0, le=3)
    """Each frame is preceded by its time in the clip, as text, with so many decimals."""
    lead_in_s: float = Field(default=0.0, ge=0)
    """How far before its clip a note sees; what begins as late in a clip is left to the next."""

    @property
    def layout_id(self) -> str:
        """Content hash: layouts that make the same tokens share it."""
        made_of = self.model_dump_json(exclude={"lead_in_s"})
        return hashlib.sha256(made_of.encode()).hexdigest()[:12]

    def time_marker(self, time_s: float) -> str:
        """Text that precedes the tokens of the frame sampled at `time_s` into the clip."""
        return f"{time_s:.{self.time_decimals}f}"
