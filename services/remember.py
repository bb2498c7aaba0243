"""One clip into memory: encode, describe, store tokens, write the record, announce.

In this order, so that a kill between any two leaves nothing that claims more than is there:
tokens without a record are overwritten by the same bytes, and a record that was not announced is
announced when its stream is taken up again. A model's seconds become spans of media time here.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from memory.errors import SpanForgotten, UnknownStream
from memory.record import Record
from memory.tokens import StoredTokens, TokenStore
from models.engine import ClipTokens, EncodedClip, Engine
from models.errors import BudgetTooLarge, PromptTooLong, UnparsableReply, UnusableFrames
from models.schemas import Note, NoteEvent
from services.windows import CollectedClip
from streaming.bus import Bus
from streaming.messages import (
    NS_PER_S,
    TOPIC_CLIPS,
    ClipNote,
    ClipRemembered,
    GapReason,
    NotedEvent,
    Span,
    StreamGap,
    clip_id_of,
)

PREVIOUS_NOTES = 2  # what the model is told of the time before a clip
SHORTEST_EVENT_NS = NS_PER_S // 1000  # a model may name an instant; a span cannot be empty

log = logging.getLogger(__name__)


class Rememberer:
    """Turns collected clips into memories; each call of the model is one `turn`."""

    def __init__(
        self,
        *,
        engine: Engine,
        record: Record,
        tokens: TokenStore,
        bus: Bus,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._engine = engine
        self._record = record
        self._tokens = tokens
        self._bus = bus
        self._turn = turn

    def remember(self, clip: CollectedClip, *, epoch_at: datetime) -> None:
        """Store all that is known of a clip. Doing it twice is doing it once.

        A clip whose pictures no model can read becomes a gap; one whose note does not parse is
        remembered by its picture alone; one that was forgotten meanwhile stays forgotten.
        """
        clip_id = clip_id_of(clip.span, self._engine.layout_id)
        try:
            encoded = self._encode(clip)
        except (UnusableFrames, BudgetTooLarge) as error:
            log.warning("%s: cannot be remembered: %s", clip_id, error)
            self._record.put_gap(StreamGap(span=clip.span, reason=GapReason.CORRUPT))
            return
        note = self._describe(clip_id, clip.span, encoded.tokens)
        try:
            self._tokens.put(stored_tokens(clip_id, encoded.tokens))
            self._record.put_clip(
                ClipNote(
                    clip_id=clip_id,
                    span=clip.span,
                    epoch_at=epoch_at,
                    text=note.text,
                    events=tuple(noted_event(event, clip.span) for event in note.events),
                    frame_count=len(clip.frames),
                    token_count=len(encoded.tokens.tokens_KD),
                    layout_id=self._engine.layout_id,
                    encoder_id=self._engine.encoder_id,
                    model_id=self._engine.model_id,
                ),
                text_vector=self._vector(note.text) if note.text else encoded.vector_V,
                visual_vector=encoded.vector_V,
            )
        except (SpanForgotten, UnknownStream):
            self._tokens.delete(clip_id)
            return
        self.announce(clip_id, clip.span)

    def announce(self, clip_id: str, span: Span) -> None:
        message = ClipRemembered(clip_id=clip_id, span=span)
        self._bus.publish(TOPIC_CLIPS, key=span.stream_id, value=message.model_dump_json().encode())

    def _encode(self, clip: CollectedClip) -> EncodedClip:
        frames_THWC = np.stack([frame.pixels_HWC for frame in clip.frames])
        times_s_T = [(frame.media_ns - clip.span.start_ns) / NS_PER_S for frame in clip.frames]
        with self._turn():
            return self._engine.encode(frames_THWC, times_s_T)

    def _describe(self, clip_id: str, span: Span, tokens: ClipTokens) -> Note:
        previous = [
            note.text
            for note in self._record.last_clips(
                span.stream_id, before_ns=span.start_ns, limit=PREVIOUS_NOTES
            )
        ]
        try:
            with self._turn():
                return self._engine.describe(tokens, previous=previous)
        except PromptTooLong:
            with self._turn():
                return self._engine.describe(tokens, previous=[])
        except UnparsableReply as error:
            log.warning("%s: remembered without words: %s", clip_id, error)
            return Note(text="")

    def _vector(self, text: str) -> NDArray[np.float32]:
        with self._turn():
            return self._engine.embed([text])[0]


def noted_event(event: NoteEvent, clip: Span) -> NotedEvent:
    """The event in media time, within its clip."""
    start_ns, end_ns = (
        clip.start_ns + round(seconds * NS_PER_S) for seconds in (event.start_s, event.end_s)
    )
    start_ns = max(clip.start_ns, min(start_ns, clip.end_ns - SHORTEST_EVENT_NS))
    end_ns = max(start_ns + 1, min(max(end_ns, start_ns + SHORTEST_EVENT_NS), clip.end_ns))
    span = Span(stream_id=clip.stream_id, start_ns=start_ns, end_ns=end_ns)
    return NotedEvent(span=span, text=event.text)


def stored_tokens(clip_id: str, tokens: ClipTokens) -> StoredTokens:
    return StoredTokens(
        clip_id=clip_id,
        layout_id=tokens.layout_id,
        encoder_id=tokens.encoder_id,
        arrays={
            "tokens_KD": tokens.tokens_KD,
            "frame_K": tokens.frame_K,
            "times_s_T": tokens.times_s_T,
        },
    )


def clip_tokens(stored: StoredTokens) -> ClipTokens:
    """What `stored_tokens` stored, as a model reads it."""
    return ClipTokens(
        tokens_KD=stored.arrays["tokens_KD"],
        frame_K=stored.arrays["frame_K"],
        times_s_T=stored.arrays["times_s_T"],
        layout_id=stored.layout_id,
        encoder_id=stored.encoder_id,
    )
