"""One clip into memory: encode, describe, store tokens, write the record, announce.

In this order, so that a kill between any two leaves nothing that claims more than is there:
tokens without a record are overwritten by the same bytes, and a record that was not announced is
announced when its stream is taken up again. A model's seconds become spans of media time here.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from memory.errors import (
    DamagedTokens,
    ForeignTokens,
    SpanForgotten,
    TokensMissing,
    UnknownStream,
)
from memory.record import Record
from memory.tokens import StoredTokens, TokenStore
from models.engine import ClipTokens, EncodedClip, Engine, LeadIn
from models.errors import BudgetTooLarge, PromptTooLong, UnparsableReply, UnusableFrames
from models.schemas import Note, NoteEvent
from services import tracing
from services.logs import about
from services.metrics import Metrics, Stage
from services.tracing import continuing
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
        metrics: Metrics | None = None,
    ) -> None:
        self._engine = engine
        self._record = record
        self._tokens = tokens
        self._bus = bus
        self._turn = turn
        self._metrics = metrics or Metrics()

    def remember(self, clip: CollectedClip, *, epoch_at: datetime) -> None:
        """Store all that is known of a clip. Doing it twice is doing it once.

        A clip whose pictures no model can read becomes a gap; one whose note does not parse is
        remembered by its picture alone; one that was forgotten meanwhile stays forgotten.
        """
        clip_id = clip_id_of(clip.span, self._engine.layout_id)
        said = about(stream_id=clip.span.stream_id, clip_id=clip_id)
        first, links = (clip.traces[0], clip.traces[1:]) if clip.traces else (None, ())
        with continuing(first), self._metrics.tracer.span("analyse.remember", said, links=links):
            self._remember(clip_id, clip, epoch_at)

    def _remember(self, clip_id: str, clip: CollectedClip, epoch_at: datetime) -> None:
        stream_id = clip.span.stream_id
        try:
            encoded = self._encode(clip)
        except (UnusableFrames, BudgetTooLarge) as error:
            said = about(stream_id=stream_id, clip_id=clip_id)
            log.warning("%s: cannot be remembered: %s", clip_id, error, extra=said)
            self._record.put_gap(StreamGap(span=clip.span, reason=GapReason.CORRUPT))
            self._metrics.gap(stream_id, GapReason.CORRUPT.value)
            return
        try:
            with self._metrics.timed(Stage.STORE):
                self._tokens.put(stored_tokens(clip_id, encoded.tokens))
            self._put_note(clip_id, clip, encoded, epoch_at)
        except (SpanForgotten, UnknownStream):
            self._tokens.delete(clip_id)
            return
        self.announce(clip_id, clip.span)
        self._metrics.clip_remembered(stream_id)

    def _put_note(
        self, clip_id: str, clip: CollectedClip, encoded: EncodedClip, epoch_at: datetime
    ) -> None:
        before = self._record.last_clips(
            clip.span.stream_id, before_ns=clip.span.start_ns, limit=PREVIOUS_NOTES
        )
        lead_in = self._lead_in(clip.span, before)
        try:
            self._put_described(clip_id, clip, encoded, epoch_at, before, lead_in)
        except SpanForgotten:
            if lead_in is None:
                raise
            self._put_described(clip_id, clip, encoded, epoch_at, before[:-1], None)

    def _put_described(
        self,
        clip_id: str,
        clip: CollectedClip,
        encoded: EncodedClip,
        epoch_at: datetime,
        before: Sequence[ClipNote],
        lead_in: LeadIn | None,
    ) -> None:
        note = self._describe(clip_id, encoded.tokens, before, lead_in)
        reach_ns = round(self._engine.lead_in_s * NS_PER_S) if lead_in else 0
        text_vector = self._vector(note.text) if note.text else encoded.vector_V
        clip_note = ClipNote(
            clip_id=clip_id,
            span=clip.span,
            epoch_at=epoch_at,
            text=note.text,
            events=tuple(noted_event(event, clip.span, reach_ns=reach_ns) for event in note.events),
            frame_count=len(clip.frames),
            token_count=len(encoded.tokens.tokens_KD),
            layout_id=self._engine.layout_id,
            encoder_id=self._engine.encoder_id,
            model_id=self._engine.model_id,
            thinned=clip.thinned,
        )
        with self._metrics.timed(Stage.STORE):
            self._record.put_clip(
                clip_note, text_vector=text_vector, visual_vector=encoded.vector_V
            )

    def announce(self, clip_id: str, span: Span) -> None:
        message = ClipRemembered(clip_id=clip_id, span=span)
        self._bus.publish(
            TOPIC_CLIPS,
            key=span.stream_id,
            value=message.model_dump_json().encode(),
            headers=tracing.headers(),
        )

    def _encode(self, clip: CollectedClip) -> EncodedClip:
        frames_THWC = np.stack([frame.pixels_HWC for frame in clip.frames])
        times_s_T = [(frame.media_ns - clip.span.start_ns) / NS_PER_S for frame in clip.frames]
        with self._turn(), self._metrics.timed(Stage.ENCODE):
            return self._engine.encode(frames_THWC, times_s_T)

    def _lead_in(self, span: Span, before: Sequence[ClipNote]) -> LeadIn | None:
        """The clip that ends where this one starts, if there is one that can still be read."""
        if not self._engine.lead_in_s or not before or before[-1].span.end_ns != span.start_ns:
            return None
        last = before[-1]
        try:
            stored = self._tokens.get(
                last.clip_id, layout_id=self._engine.layout_id, encoder_id=self._engine.encoder_id
            )
        except (TokensMissing, DamagedTokens, ForeignTokens) as error:
            log.warning(
                "described without what came before: %s", error, extra=about(clip_id=last.clip_id)
            )
            return None
        length_ns = last.span.end_ns - last.span.start_ns
        return LeadIn(clip_tokens(stored), ends_s=length_ns / NS_PER_S)

    def _describe(
        self,
        clip_id: str,
        tokens: ClipTokens,
        before: Sequence[ClipNote],
        lead_in: LeadIn | None,
    ) -> Note:
        previous = [note.text for note in before]
        try:
            with self._turn(), self._metrics.timed(Stage.DESCRIBE):
                return self._engine.describe(tokens, previous=previous, lead_in=lead_in)
        except PromptTooLong:
            with self._turn(), self._metrics.timed(Stage.DESCRIBE):
                return self._engine.describe(tokens, previous=[], lead_in=lead_in)
        except UnparsableReply as error:
            log.warning(
                "%s: remembered without words: %s", clip_id, error, extra=about(clip_id=clip_id)
            )
            return Note(text="")

    def _vector(self, text: str) -> NDArray[np.float32]:
        with self._turn():
            return self._engine.embed([text])[0]


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
