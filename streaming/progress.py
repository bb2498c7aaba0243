"""What a capture is told, how far it has come, and how it is doing.

`CapturePlan` says what to capture; `CapturePosition` is all that a restarted capture needs to
know, and follows from the messages that were published; `CaptureStatus` is for people to look at.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from streaming.cutter import CutPolicy
from streaming.errors import StreamingError
from streaming.messages import CaptureMessage, SegmentReady, StreamEnded
from streaming.sources import SourceOptions


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """What is to be captured, and how."""

    stream_id: str
    url: str
    epoch_at: datetime
    """Wall time of media time zero."""
    realtime: bool = False
    """Hand out a recording at the pace at which it was filmed, rather than at once."""
    options: SourceOptions = field(default_factory=SourceOptions)
    policy: CutPolicy | None = None
    """How segments are cut; None: longer ones of a recording that is not paced."""


@dataclass(frozen=True, slots=True)
class CapturePosition:
    """Where a stream stands: everything before `end_ns` is published, as segment or as gap."""

    end_ns: int = 0
    next_sequence: int = 0
    has_ended: bool = False

    def after(self, message: CaptureMessage) -> "CapturePosition":
        """The position once `message` is published too."""
        if isinstance(message, StreamEnded):
            return CapturePosition(self.end_ns, self.next_sequence, has_ended=True)
        end_ns = max(self.end_ns, message.span.end_ns)
        if isinstance(message, SegmentReady):
            return CapturePosition(end_ns, max(self.next_sequence, message.sequence + 1))
        return CapturePosition(end_ns, self.next_sequence, self.has_ended)


def position_after(messages: Iterable[CaptureMessage]) -> CapturePosition | None:
    """The position that follows from one stream's published messages, in order; None of none."""
    position = None
    for message in messages:
        position = (position or CapturePosition()).after(message)
    return position


class StreamState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    RECONNECTING = "reconnecting"
    ENDED = "ended"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """States and counters of one stream's capture since it was started."""

    state: StreamState = StreamState.STARTING
    detail: str = ""
    """Why it is in this state, in words for a person."""
    warnings: tuple[str, ...] = ()
    """What works less well than it could, each once: a named degradation."""
    error: StreamingError | None = None
    """What the latest attempt failed with; with state FAILED, why it was given up."""
    codec: str = ""
    width_px: int = 0
    height_px: int = 0
    segments: int = 0
    frames: int = 0
    size_bytes: int = 0
    gaps: int = 0
    reconnects: int = 0
    clock_jumps: int = 0
    dropped_packets: int = 0
    damaged_packets: int = 0
    waiting_messages: int = 0
    """Stored, and not published yet because the bus does not answer."""
    last_media_ns: int = 0
