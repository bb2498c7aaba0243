"""What the model says of stored tokens: their note, told with what came before them in view."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from memory.errors import DamagedTokens, ForeignTokens, TokensMissing
from memory.record import Record
from memory.tokens import StoredTokens, TokenStore
from models.engine import ClipTokens, Engine, LeadIn
from models.errors import PromptTooLong, RequestRefused, UnparsableReply
from models.schemas import Note
from services.logs import about
from services.metrics import Metrics, Stage
from services.seen_clips import noted_event
from streaming.messages import NS_PER_S, ClipNote, NotedEvent, Span

PREVIOUS_NOTES = 2  # what the model is told of the time before a clip

log = logging.getLogger(__name__)


class Describer:
    """Has clips described by one engine; each call of it is one `turn`."""

    def __init__(
        self,
        *,
        engine: Engine,
        record: Record,
        tokens: TokenStore,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        metrics: Metrics | None = None,
    ) -> None:
        self.engine = engine
        self._record = record
        self._tokens = tokens
        self._turn = turn
        self._metrics = metrics or Metrics()

    def before(self, span: Span) -> list[ClipNote]:
        """The notes that the model is told of."""
        limit = PREVIOUS_NOTES
        return self._record.last_clips(span.stream_id, before_ns=span.start_ns, limit=limit)

    def lead_in(self, span: Span, before: Sequence[ClipNote]) -> LeadIn | None:
        """The clip that ends where this one starts, if there is one that can still be read."""
        if not self.engine.lead_in_s or not before or before[-1].span.end_ns != span.start_ns:
            return None
        last = before[-1]
        tokens = self.readable(last.clip_id)
        if tokens is None:
            return None
        length_ns = last.span.end_ns - last.span.start_ns
        return LeadIn(tokens, ends_s=length_ns / NS_PER_S)

    def stored(self, clip_id: str) -> ClipTokens:
        """What is stored of a clip.

        Raises:
            TokensMissing, DamagedTokens, ForeignTokens
        """
        return tokens_of(clip_id, self._tokens, self.engine)

    def readable(self, clip_id: str) -> ClipTokens | None:
        """The same; None, and a word, where that cannot be read any more."""
        try:
            return self.stored(clip_id)
        except (TokensMissing, DamagedTokens, ForeignTokens) as error:
            log.warning("described without its pictures: %s", error, extra=about(clip_id=clip_id))
            return None

    def words(self, tokens: ClipTokens, before: Sequence[ClipNote], lead_in: LeadIn | None) -> Note:
        """What the model says.

        Raises:
            UnparsableReply, PromptTooLong, ModelServerError
        """
        previous = [note.text for note in before]
        try:
            with self._turn(), self._metrics.timed(Stage.DESCRIBE):
                return self.engine.describe(tokens, previous=previous, lead_in=lead_in)
        except PromptTooLong:
            with self._turn(), self._metrics.timed(Stage.DESCRIBE):
                return self.engine.describe(tokens, previous=[], lead_in=lead_in)

    def words_if_any(
        self, tokens: ClipTokens, before: Sequence[ClipNote], lead_in: LeadIn | None
    ) -> Note:
        """The same; nothing, and a word, where that cannot be read.

        Raises:
            PromptTooLong, ModelServerAway
        """
        try:
            return self.words(tokens, before, lead_in)
        except (UnparsableReply, RequestRefused) as error:
            said = about(clip_id=tokens.clip_id)
            log.warning("%s: remembered without words: %s", tokens.clip_id, error, extra=said)
            return Note(text="")

    def events(self, note: Note, span: Span, lead_in: LeadIn | None) -> tuple[NotedEvent, ...]:
        """The events of a note, in media time."""
        reach_ns = round(self.engine.lead_in_s * NS_PER_S) if lead_in else 0
        return tuple(noted_event(event, span, reach_ns=reach_ns) for event in note.events)

    def vector(self, text: str) -> NDArray[np.float32]:
        with self._turn():
            return self.engine.embed([text])[0]


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


def tokens_of(clip_id: str, store: TokenStore, engine: Engine) -> ClipTokens:
    """What is stored of a clip, for an engine that can look at it.

    Raises:
        TokensMissing, DamagedTokens, ForeignTokens
    """
    stored = store.get(clip_id, layout_id=engine.layout_id, encoder_id=engine.encoder_id)
    return clip_tokens(stored)


def clip_tokens(stored: StoredTokens) -> ClipTokens:
    """What `stored_tokens` stored, as a model reads it."""
    return ClipTokens(
        tokens_KD=stored.arrays["tokens_KD"],
        frame_K=stored.arrays["frame_K"],
        times_s_T=stored.arrays["times_s_T"],
        layout_id=stored.layout_id,
        encoder_id=stored.encoder_id,
        clip_id=stored.clip_id,
    )
