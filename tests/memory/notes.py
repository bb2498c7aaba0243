"""Builders of notes, segments and vectors for the tests of memory."""

from datetime import UTC, datetime

import numpy as np

from memory.record import Record
from memory.values import ClipEvent, StreamSpec, Vector
from streaming.messages import (
    NS_PER_S,
    ClipNote,
    GapReason,
    NotedEvent,
    SegmentReady,
    Span,
    StreamGap,
    clip_id_of,
)

EPOCH_AT = datetime(2024, 5, 1, 8, 0, tzinfo=UTC)
CLIP_S = 10
WIDTH = 8
LAYOUT = "layout-1"
MODEL = "some-model@1"


def span(start_s: float, end_s: float, *, stream: str = "pond") -> Span:
    start_ns, end_ns = (round(time_s * NS_PER_S) for time_s in (start_s, end_s))
    return Span(stream_id=stream, start_ns=start_ns, end_ns=end_ns)


def note(
    number: int,
    text: str = "nothing happens",
    events: tuple[tuple[float, float, str], ...] = (),
    *,
    stream: str = "pond",
    model_id: str = MODEL,
    epoch_at: datetime = EPOCH_AT,
) -> ClipNote:
    """The note of the `number`-th clip; times of events count from the clip's start."""
    start_s = number * CLIP_S
    clip_span = span(start_s, start_s + CLIP_S, stream=stream)
    return ClipNote(
        clip_id=clip_id_of(clip_span, LAYOUT),
        span=clip_span,
        epoch_at=epoch_at,
        text=text,
        events=tuple(
            NotedEvent(span=span(start_s + begin_s, start_s + end_s, stream=stream), text=said)
            for begin_s, end_s, said in events
        ),
        frame_count=8,
        token_count=34,
        layout_id=LAYOUT,
        encoder_id="encoder-1",
        model_id=model_id,
    )


def events_of(*notes: ClipNote) -> list[ClipEvent]:
    return [
        ClipEvent(event, one.clip_id, one.span, one.epoch_at)
        for one in notes
        for event in one.events
    ]


def segment(start_s: float, end_s: float, *, stream: str = "pond") -> SegmentReady:
    return SegmentReady(
        span=span(start_s, end_s, stream=stream),
        epoch_at=EPOCH_AT,
        sequence=int(start_s),
        uri=f"file:///footage/{stream}/{start_s:g}.mp4",
        pts_origin=0,
        size_bytes=1000,
        frame_count=30,
        codec="h264",
        width_px=64,
        height_px=48,
    )


def gap(start_s: float, end_s: float, *, stream: str = "pond") -> StreamGap:
    return StreamGap(span=span(start_s, end_s, stream=stream), reason=GapReason.STALLED)


def spec(stream: str = "pond") -> StreamSpec:
    return StreamSpec(
        stream_id=stream, url=f"/footage/{stream}.mp4", realtime=False, added_at=EPOCH_AT
    )


def unit_vectors(count: int, *, seed: int, width: int = WIDTH) -> list[Vector]:
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return list(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def put(record: Record, *notes: ClipNote) -> None:
    """Store notes with vectors that depend on the clip's id only."""
    for one in notes:
        text_vector, visual_vector = unit_vectors(2, seed=one.span.start_ns // NS_PER_S)
        record.put_clip(one, text_vector=text_vector, visual_vector=visual_vector)
