"""One clip into memory: encode, store tokens, describe, write the record, announce.

In this order, so that a kill between any two leaves nothing that claims more than is there:
tokens without a record are overwritten by the same bytes, and a record that was not announced is
announced when its stream is taken up again. A model's seconds become spans of media time here.

The first two need no server of the model. The rest may come later, where it is away: all that is
needed for it is stored, or small (`SeenClip`).
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime

import numpy as np

from memory.errors import SpanForgotten, UnknownStream
from memory.record import Record
from memory.tokens import TokenStore
from memory.unwritten import UnwrittenNote, UnwrittenNotes
from models.engine import ClipTokens, EncodedClip, Engine, LeadIn
from models.errors import BudgetTooLarge, ModelError, ModelServerAway, UnusableFrames
from models.schemas import Note
from services import tracing
from services.describing import Describer, stored_tokens
from services.logs import about
from services.metrics import Metrics, Stage
from services.seen_clips import SeenClip, seen_of
from services.tracing import TraceContext, continuing
from services.windows import CollectedClip
from streaming.bus import Bus
from streaming.messages import (
    NS_PER_S,
    TOPIC_CLIPS,
    ClipNote,
    ClipRemembered,
    GapReason,
    Span,
    StreamGap,
    clip_id_of,
)
from streaming.unit_decoder import Frame

PROBE = "What happened?"

log = logging.getLogger(__name__)

Describe = Callable[[ClipTokens, Sequence[ClipNote], LeadIn | None], Note]
"""Has a clip described, as the notes before it and the end of the clip before suggest."""


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
        self._unwritten = UnwrittenNotes(record.documents)
        self._turn = turn
        self._metrics = metrics or Metrics()
        self.describer = Describer(
            engine=engine, record=record, tokens=tokens, turn=turn, metrics=self._metrics
        )

    def remember(
        self, clip: CollectedClip, *, epoch_at: datetime, later: bool = False
    ) -> SeenClip | None:
        """Store all that is known of a clip. Doing it twice is doing it once.

        A clip whose pictures no model can read becomes a gap; one whose note does not parse is
        remembered by its picture alone; one that was forgotten meanwhile stays forgotten.

        One whose note cannot be written yet is given back, to be written later: where the model's
        server is away, or where that is what is wanted.
        """
        clip_id = clip_id_of(clip.span, self._engine.layout_id)
        with self._tracing(clip_id, clip.span, clip.traces):
            try:
                seen = self._see(clip_id, clip, epoch_at)
            except (UnusableFrames, BudgetTooLarge) as error:
                self._put_unreadable(clip_id, clip.span, error)
                return None
            if later:
                return replace(seen, tokens=None)
            try:
                self._write(seen)
            except ModelServerAway as error:
                said = about(stream_id=clip.span.stream_id, clip_id=clip_id)
                log.warning("%s: its note is written later: %s", clip_id, error, extra=said)
                return replace(seen, tokens=None)
        return None

    def write(self, seen: SeenClip) -> None:
        """Write the note of a clip that was given back.

        Raises:
            ModelServerAway: still; nothing was written.
        """
        with self._tracing(seen.clip_id, seen.span, seen.traces):
            self._write(self._read_again(seen))

    def works_before(self, seen: SeenClip) -> bool:
        """Whether the model still does what it did before a clip: describe the one before it."""
        before = self.describer.before(seen.span)
        readable = (self.describer.readable(note.clip_id) for note in reversed(before) if note.text)
        tokens = next(filter(None, readable), None)
        try:
            with self._turn():
                if tokens is None:
                    self._engine.plan(PROBE)
                else:
                    self._engine.describe(tokens, previous=[])
        except ModelServerAway:
            return False
        except ModelError:
            pass  # it replied, whatever that is worth
        return True

    def set_aside(self, seen: SeenClip, error: ModelServerAway) -> None:
        """Remember a clip by its picture alone, and that its note is still to be written."""
        said = about(stream_id=seen.span.stream_id, clip_id=seen.clip_id)
        log.warning("%s: set aside, to be described later: %s", seen.clip_id, error, extra=said)
        one = UnwrittenNote(
            clip_id=seen.clip_id,
            span=seen.span,
            reason=str(error),
        )
        self._unwritten.put(one)
        try:
            self._put(self._read_again(seen), Note(text=""), lead_in=None)
        except (SpanForgotten, UnknownStream):
            self._tokens.delete(seen.clip_id)
            self._unwritten.remove(one)
            return
        self.announce(seen.clip_id, seen.span)
        self._metrics.clip_remembered(seen.span.stream_id)
        self._metrics.dropped(seen.span.stream_id, type(error).__name__)

    def unwritten(self) -> list[UnwrittenNote]:
        """The clips that were set aside, here or by another process."""
        streams = self._record.streams()
        return [one for spec in streams for one in self._unwritten.of(spec.stream_id)]

    def write_unwritten(self, one: UnwrittenNote) -> None:
        """Write the note of a clip that was set aside; of one that is no more, nothing.

        Raises:
            ModelServerAway: still; nothing was written.
        """
        note = self._record.clip(one.clip_id)
        if note is not None and self._reads(note):
            with self._tracing(note.clip_id, note.span, ()):
                self._put_and_announce(self._read_again(seen_of(note)))
        self._unwritten.remove(one)

    def _reads(self, note: ClipNote) -> bool:
        made_by = (note.layout_id, note.encoder_id)
        return made_by == (self._engine.layout_id, self._engine.encoder_id)

    def rewrite(self, old: ClipNote) -> None:
        """Write the note and the vectors of a clip anew, from its stored tokens alone.

        Nothing is announced, since who follows the record finds there what is new. On an error all
        is as it was.

        Raises:
            TokensMissing, DamagedTokens, ForeignTokens, SpanForgotten, UnknownStream
            UnparsableReply, PromptTooLong, ModelServerError
        """
        with self._tracing(old.clip_id, old.span, ()):
            tokens = self.describer.stored(old.clip_id)
            self._put_note(self._seen_in(seen_of(old), tokens), self.describer.words)

    def see_again(self, old: ClipNote, frames: Sequence[Frame]) -> None:
        """The same for a clip whose tokens cannot be read, from its pictures: at least one.

        Its tokens are those of this model from then on, also where its note cannot be written.

        Raises:
            UnusableFrames, BudgetTooLarge: all is as it was.
            SpanForgotten, UnknownStream, UnparsableReply, PromptTooLong, ModelServerError
        """
        clip = CollectedClip(old.span, tuple(frames), needs_offset=0, thinned=old.thinned)
        with self._tracing(old.clip_id, old.span, ()):
            seen = self._see(old.clip_id, clip, old.epoch_at)
            try:
                self._put_note(seen, self.describer.words)
            except (SpanForgotten, UnknownStream):
                self._tokens.delete(old.clip_id)
                raise

    def _read_again(self, seen: SeenClip) -> SeenClip:
        """A clip that waited, as the model that serves by now sees it."""
        tokens = self.describer.readable(seen.clip_id)
        return replace(seen, vector_V=None) if tokens is None else self._seen_in(seen, tokens)

    def _seen_in(self, seen: SeenClip, tokens: ClipTokens) -> SeenClip:
        with self._turn():
            return replace(seen, tokens=tokens, vector_V=self._engine.clip_vector(tokens))

    def _see(self, clip_id: str, clip: CollectedClip, epoch_at: datetime) -> SeenClip:
        encoded = self.encode(clip)
        with self._metrics.timed(Stage.STORE):
            self._tokens.put(stored_tokens(clip_id, encoded.tokens))
        return SeenClip(
            clip_id=clip_id,
            span=clip.span,
            epoch_at=epoch_at,
            frame_count=len(clip.frames),
            token_count=len(encoded.tokens.tokens_KD),
            encoder_id=encoded.tokens.encoder_id,
            vector_V=encoded.vector_V,
            thinned=clip.thinned,
            traces=clip.traces,
            tokens=replace(encoded.tokens, clip_id=clip_id),
        )

    def _write(self, seen: SeenClip) -> None:
        if self._put_and_announce(seen):
            self._metrics.clip_remembered(seen.span.stream_id)

    def _put_and_announce(self, seen: SeenClip) -> bool:
        """False where the clip was forgotten meanwhile."""
        try:
            self._put_note(seen, self.describer.words_if_any)
        except (SpanForgotten, UnknownStream):
            self._tokens.delete(seen.clip_id)
            return False
        self.announce(seen.clip_id, seen.span)
        return True

    @contextmanager
    def _tracing(self, clip_id: str, span: Span, traces: Sequence[TraceContext]) -> Generator[None]:
        said = about(stream_id=span.stream_id, clip_id=clip_id)
        first, links = (traces[0], traces[1:]) if traces else (None, ())
        with continuing(first), self._metrics.tracer.span("analyse.remember", said, links=links):
            yield

    def _put_unreadable(self, clip_id: str, span: Span, error: Exception) -> None:
        said = about(stream_id=span.stream_id, clip_id=clip_id)
        log.warning("%s: cannot be remembered: %s", clip_id, error, extra=said)
        self._record.put_gap(StreamGap(span=span, reason=GapReason.CORRUPT))
        self._metrics.gap(span.stream_id, GapReason.CORRUPT.value)

    def _put_note(self, seen: SeenClip, describe: Describe) -> None:
        before = self.describer.before(seen.span)
        lead_in = self.describer.lead_in(seen.span, before)
        try:
            self._put_described(seen, before, lead_in, describe)
        except SpanForgotten:
            if lead_in is None:
                raise
            self._put_described(seen, before[:-1], None, describe)

    def _put_described(
        self,
        seen: SeenClip,
        before: Sequence[ClipNote],
        lead_in: LeadIn | None,
        describe: Describe,
    ) -> None:
        tokens = seen.tokens
        note = Note(text="") if tokens is None else describe(tokens, before, lead_in)
        self._put(seen, note, lead_in=lead_in)

    def _put(self, seen: SeenClip, note: Note, *, lead_in: LeadIn | None) -> None:
        text_vector = seen.vector_V
        if note.text or text_vector is None:
            text_vector = self.describer.vector(note.text)
        clip_note = ClipNote(
            clip_id=seen.clip_id,
            span=seen.span,
            epoch_at=seen.epoch_at,
            text=note.text,
            events=self.describer.events(note, seen.span, lead_in),
            frame_count=seen.frame_count,
            token_count=seen.token_count,
            layout_id=self._engine.layout_id,
            encoder_id=seen.encoder_id,
            model_id=self._engine.model_id,
            thinned=seen.thinned,
        )
        visual_vector = text_vector if seen.vector_V is None else seen.vector_V
        with self._metrics.timed(Stage.STORE):
            self._record.put_clip(clip_note, text_vector=text_vector, visual_vector=visual_vector)

    def announce(self, clip_id: str, span: Span) -> None:
        message = ClipRemembered(clip_id=clip_id, span=span)
        self._bus.publish(
            TOPIC_CLIPS,
            key=span.stream_id,
            value=message.model_dump_json().encode(),
            headers=tracing.headers(),
        )

    def encode(self, clip: CollectedClip) -> EncodedClip:
        """Encode a clip; of one that is begun, the frames that are not encoded yet.

        What another encoder began, whose place this one took, is begun anew.

        Raises:
            ModelError
        """
        begun = clip.begun
        if begun is not None and begun.tokens.encoder_id != self._engine.encoder_id:
            begun = None
        frames = clip.frames[0 if begun is None else len(begun.tokens.times_s_T) :]
        if begun is not None and not frames:
            with self._turn():
                return replace(begun, vector_V=self._engine.clip_vector(begun.tokens))
        frames_THWC = np.stack([frame.pixels_HWC for frame in frames])
        times_s_T = [(frame.media_ns - clip.span.start_ns) / NS_PER_S for frame in frames]
        with self._turn(), self._metrics.timed(Stage.ENCODE):
            return self._engine.encode(frames_THWC, times_s_T, before=begun)
