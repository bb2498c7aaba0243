"""Clips between being seen and being written about: what is known of them, in media time."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from models.engine import ClipTokens
from models.schemas import NoteEvent
from services.tracing import TraceContext
from streaming.messages import NS_PER_S, ClipNote, NotedEvent, Span, wall_time

SHORTEST_EVENT_NS = NS_PER_S // 1000  # a model may name an instant; a span cannot be empty


@dataclass(frozen=True, slots=True, eq=False)
class SeenClip:
    """A clip whose tokens are stored, and whose note is still to be written.

    encoder_id   what made its tokens
    vector_V     None of a model that makes none of pictures
    tokens       None where they are to be read from the store, and `vector_V` made of them
    """

    clip_id: str
    span: Span
    epoch_at: datetime
    frame_count: int
    token_count: int
    encoder_id: str
    vector_V: NDArray[np.float32] | None
    thinned: bool
    traces: tuple[TraceContext, ...]
    tokens: ClipTokens | None

    @property
    def ends_at(self) -> datetime:
        return wall_time(self.epoch_at, self.span.end_ns)


def seen_of(note: ClipNote) -> SeenClip:
    """The clip of a note, to be written of again."""
    return SeenClip(
        clip_id=note.clip_id,
        span=note.span,
        epoch_at=note.epoch_at,
        frame_count=note.frame_count,
        token_count=note.token_count,
        encoder_id=note.encoder_id,
        vector_V=None,
        thinned=note.thinned,
        traces=(),
        tokens=None,
    )


def noted_event(event: NoteEvent, clip: Span, *, reach_ns: int = 0) -> NotedEvent:
    """The event in media time, within its clip and `reach_ns` before it."""
    start_ns, end_ns = (
        clip.start_ns + round(seconds * NS_PER_S) for seconds in (event.start_s, event.end_s)
    )
    earliest_ns = max(0, clip.start_ns - reach_ns)
    start_ns = max(earliest_ns, min(start_ns, clip.end_ns - SHORTEST_EVENT_NS))
    end_ns = max(start_ns + 1, min(max(end_ns, start_ns + SHORTEST_EVENT_NS), clip.end_ns))
    span = Span(stream_id=clip.stream_id, start_ns=start_ns, end_ns=end_ns)
    return NotedEvent(span=span, text=event.text)
