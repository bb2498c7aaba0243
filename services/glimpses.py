"""A look at the clip that is being gathered, where a rule may want to know before it is complete.

After each segment of a live stream for which rules are armed, the frames that the unfinished clip
has by then are encoded, those of earlier looks not again: the complete clip takes them over. Where
their vector resembles what a rule speaks of, their tokens are stored for a while, as those of the
clip that it would be if nothing more came, and told of on the topic `glimpses`. Most looks end
there, and no note is written of them.

A glimpse is a hint. One that is lost, late or not taken costs time and nothing else; what is
remembered does not depend on it. So it is the first that is left out where analysis is behind,
and each look is counted, by what became of it.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import numpy as np

from memory.tokens import TokenStore
from memory.values import StreamSpec, Vector
from models.engine import EncodedClip
from models.errors import BudgetTooLarge, UnusableFrames
from services import tracing
from services.describing import Describer, stored_tokens
from services.metrics import Metrics
from services.remember import Rememberer
from services.windows import CollectedClip
from streaming.bus import Bus
from streaming.clock import WallClock
from streaming.messages import NS_PER_S, TOPIC_GLIMPSES, ClipGlimpsed, clip_id_of, wall_time
from streaming.take import media_now_ns

RESEMBLES = 0.15
"""Cosine from which on a look gets a note: nine in ten of what is shown, one in fifty of else."""
MOST_BEHIND_NS = 10 * NS_PER_S  # later, the whole clip is as soon


class Outcome(StrEnum):
    """What became of a look at an unfinished clip."""

    TOLD = "told"
    PASSED_OVER = "passed over"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """The first frames of a clip, encoded; and the name of their tokens while these are stored."""

    start_ns: int
    encoded: EncodedClip
    stored_id: str | None


class Glimpser:
    """Looks at unfinished clips. `claims`: what rules of a stream speak of that count then."""

    def __init__(
        self,
        *,
        rememberer: Callable[[], Rememberer],
        tokens: TokenStore,
        bus: Bus,
        clock: WallClock,
        claims: Callable[[str, datetime], Collection[str]],
        metrics: Metrics,
    ) -> None:
        """`rememberer` is asked for before each look, since it belongs to the model that serves."""
        self._rememberer = rememberer
        self._tokens = tokens
        self._bus = bus
        self._clock = clock
        self._claims = claims
        self._metrics = metrics
        self._begun: dict[str, Begun] = {}
        self._vectors: dict[tuple[str, str], Vector] = {}

    def look(self, spec: StreamSpec, clip: CollectedClip, epoch_at: datetime) -> None:
        """Look at an unfinished clip, if its stream is live, armed and hardly behind."""
        span, claims = clip.span, ()
        if spec.realtime:
            claims = self._claims(spec.stream_id, wall_time(epoch_at, span.start_ns))
        if not claims:
            return
        if media_now_ns(self._clock, epoch_at) - span.end_ns > MOST_BEHIND_NS:
            self._metrics.glimpsed(spec.stream_id, Outcome.LEFT_OUT)
            return
        rememberer = self._rememberer()
        try:
            encoded = rememberer.encode(self._taken_up(clip))
        except (UnusableFrames, BudgetTooLarge):
            return  # the complete clip says so
        clip_id = clip_id_of(span, encoded.tokens.layout_id)
        is_told = self._resembles(rememberer.describer, encoded, claims)
        self._metrics.glimpsed(spec.stream_id, Outcome.TOLD if is_told else Outcome.PASSED_OVER)
        if is_told:
            self._tokens.put(stored_tokens(clip_id, encoded.tokens))
        if before := self._begun.get(spec.stream_id):
            self._let_go(before, keep_id=clip_id)
        self._begun[spec.stream_id] = Begun(span.start_ns, encoded, clip_id if is_told else None)
        if is_told:
            self._tell(clip_id, clip, encoded, epoch_at)

    def _taken_up(self, clip: CollectedClip) -> CollectedClip:
        """The clip, with those of its frames that are encoded already."""
        begun = self._begun.get(clip.span.stream_id)
        if begun is None or begun.start_ns != clip.span.start_ns:
            return clip
        return replace(clip, begun=begun.encoded)

    def complete(self, clip: CollectedClip) -> CollectedClip:
        """The same of a clip that is to be remembered now.

        What was stored for rules goes before, so that a kill in between leaves nothing of it.
        """
        taken_up, stream_id = self._taken_up(clip), clip.span.stream_id
        begun = self._begun.get(stream_id)
        if begun is not None and begun.start_ns <= clip.span.start_ns:
            self._let_go(begun, keep_id=clip_id_of(clip.span, begun.encoded.tokens.layout_id))
            self._begun[stream_id] = replace(begun, stored_id=None)
        return taken_up

    def forget(self, stream_ids: Iterable[str]) -> None:
        """Others go on with these streams, or nobody does."""
        for stream_id in stream_ids:
            if begun := self._begun.pop(stream_id, None):
                self._let_go(begun)

    def _let_go(self, begun: Begun, *, keep_id: str | None = None) -> None:
        if begun.stored_id not in (None, keep_id):
            self._tokens.delete(begun.stored_id)

    def _resembles(
        self, describer: Describer, encoded: EncodedClip, claims: Collection[str]
    ) -> bool:
        """False, too, of a model that compares no pictures with texts: nothing is sieved there."""
        if encoded.vector_V is None:
            return False
        keys = [(describer.engine.model_id, claim) for claim in claims]
        new = {key: describer.vector(key[1]) for key in keys if key not in self._vectors}
        self._vectors |= new
        vectors_NV = np.stack([self._vectors[key] for key in keys])
        return float((vectors_NV @ encoded.vector_V).max()) >= RESEMBLES

    def _tell(
        self, clip_id: str, clip: CollectedClip, encoded: EncodedClip, epoch_at: datetime
    ) -> None:
        message = ClipGlimpsed(
            clip_id=clip_id,
            span=clip.span,
            epoch_at=epoch_at,
            frame_count=len(clip.frames),
            token_count=len(encoded.tokens.tokens_KD),
        )
        self._bus.publish(
            TOPIC_GLIMPSES,
            key=clip.span.stream_id,
            value=message.model_dump_json().encode(),
            headers=tracing.headers(),
        )
