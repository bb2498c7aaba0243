"""The plain values that pass between the parts of memory.

Pure data: knows no store, no file and no model. Vectors are float32 and of unit length, so
that an inner product is a cosine. A range of interest is a sequence of `Span`s, because each
stream has its own media time; None means everything.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict

from memory.errors import BadVector
from streaming.messages import NS_PER_S, NotedEvent, Span, StreamId

_FROZEN = ConfigDict(frozen=True, extra="forbid")

Vector = NDArray[np.float32]  # shape (V,)

DAY_NS = 86_400 * NS_PER_S


class WhenBehind(StrEnum):
    """What is done of a camera's footage when analysis cannot keep up with it."""

    WAIT = "wait"
    DROP_OLDEST = "drop-oldest"
    THIN = "thin"


class StreamSpec(BaseModel):
    """A registered stream. `url` is kept as given: sealing credentials is the caller's part.

    `epoch_at` is the wall time of media time zero, None until the first frame told it.
    `when_behind` is None where the stream leaves that to the service. What a back-fill takes in
    (`is_backfill`) no service captures.
    """

    model_config = _FROZEN

    stream_id: StreamId
    url: str
    realtime: bool
    added_at: AwareDatetime
    epoch_at: AwareDatetime | None = None
    when_behind: WhenBehind | None = None
    is_backfill: bool = False


class StreamStatus(BaseModel):
    """What capture last said of a stream; any process may read it."""

    model_config = _FROZEN

    state: str
    detail: str = ""
    counters: dict[str, int] = {}
    updated_at: AwareDatetime


class ClipEvent(NamedTuple):
    """An event with the clip that it was noted in, and that clip's epoch."""

    event: NotedEvent
    clip_id: str
    clip_span: Span
    epoch_at: datetime


class ClipVectors(NamedTuple):
    """What an index needs of a clip. `model_id` names the weights that made the vectors."""

    clip_id: str
    span: Span
    model_id: str
    text_vector: Vector
    visual_vector: Vector
    revision: int


class Hit(NamedTuple):
    """A clip found, with a score: the higher, the better."""

    clip_id: str
    span: Span
    score: float


class Mark(NamedTuple):
    """How far a record has come. Equal marks mean equal vectors.

    record_id       drawn once, when the record was created
    revision        grows with every clip stored or replaced and with every deletion
    last_deletion   the revision of the last deletion, 0 if there was none
    """

    record_id: str
    revision: int
    last_deletion: int


class Deleted(NamedTuple):
    """What a deletion took out of the record."""

    clip_ids: tuple[str, ...] = ()
    events: int = 0
    gaps: int = 0
    segments: int = 0
    size_bytes: int = 0


class Removed(NamedTuple):
    """What a deletion took out of a file store."""

    files: int = 0
    size_bytes: int = 0


class Counts(NamedTuple):
    """How much the record holds."""

    clips: int
    events: int
    gaps: int
    segments: int


def checked_vector(vector: Vector) -> Vector:
    """The vector as float32, or `BadVector`."""
    row = np.ascontiguousarray(vector, dtype=np.float32)
    if row.ndim != 1 or row.size == 0:
        raise BadVector(f"shape {row.shape}")
    if not np.isfinite(row).all():
        raise BadVector("it holds NaN or infinity")
    return row
