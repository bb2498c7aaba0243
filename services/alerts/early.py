"""Raise alerts before their clips are complete: follow the topic `glimpses`.

What there is of a clip is described once, however many rules there are, and each is held against
that note and those tokens, as the whole clip will be. What a whole clip leaves to the next one,
which shows it from its beginning, is left here as well, so that it is not raised and taken back.

Whoever comes late finds the clip remembered, and has nothing to do.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from pydantic import ValidationError

from memory.errors import DamagedTokens, ForeignTokens, TokensMissing
from models.layout import StreamLayout
from services.alerts.conditions import claims_of
from services.alerts.keeper import RuleKeeper, may_be_early
from services.alerts.rules import Rule
from services.describing import Describer
from services.logs import about
from services.metrics import Metrics
from services.tracing import context_of, continuing
from streaming import bus
from streaming.errors import BadMessage
from streaming.messages import NS_PER_S, ClipGlimpsed, ClipNote, Span, wall_time


class EarlyKeeper:
    """Handles the records of the topic `glimpses`."""

    def __init__(
        self,
        keeper: RuleKeeper,
        describer: Callable[[], Describer],
        layout: StreamLayout,
        metrics: Metrics,
    ) -> None:
        """`describer` is asked for before each look, since it belongs to the model that serves."""
        self._keeper = keeper
        self._describer = describer
        self._layout = layout
        self._metrics = metrics

    def prepare(self, record: bus.Record) -> ClipGlimpsed:
        try:
            return ClipGlimpsed.model_validate_json(record.value)
        except ValidationError as error:
            reason = f"{error.error_count()} fields do not fit"
            raise BadMessage(record.topic, offset=record.offset, reason=reason) from error

    def restart_preparing(self) -> None:
        """Nothing is kept of what was prepared."""

    def handle(self, record: bus.Record, prepared: ClipGlimpsed) -> None:
        span = prepared.span
        said = about(stream_id=span.stream_id, clip_id=prepared.clip_id)
        with (
            continuing(context_of(record.headers)),
            self._metrics.tracer.span("alerts.glimpse", said),
        ):
            rules = self._keeper.armed(span.stream_id, wall_time(prepared.epoch_at, span.start_ns))
            note = self._note(prepared) if rules else None
            if note is not None and note.events:
                for rule in rules:
                    self._keeper.raise_early(rule, note)

    def idle(self) -> None:
        """There is nothing to do without a glimpse."""

    def set_aside(self, record: bus.Record, error: Exception) -> None:
        """The whole clip makes up for it."""

    def committable(self, partition: int, next_offset: int) -> int:
        return next_offset

    def revoked(self, partitions: Collection[int]) -> None:
        """Nothing is kept of a partition."""

    def _note(self, glimpse: ClipGlimpsed) -> ClipNote | None:
        """What the model says of a glimpse; None where there was a later one, or the whole clip."""
        describer, span = self._describer(), glimpse.span
        try:
            tokens = describer.stored(glimpse.clip_id)
        except (TokensMissing, DamagedTokens, ForeignTokens):
            return None
        before = describer.before(span)
        lead_in = describer.lead_in(span, before)
        note = describer.words_if_any(tokens, before, lead_in)
        engine = describer.engine
        left_ns = left_to_the_next_from_ns(span, self._layout)
        events = describer.events(note, span, lead_in)
        return ClipNote(
            clip_id=glimpse.clip_id,
            span=span,
            epoch_at=glimpse.epoch_at,
            text="",
            events=tuple(event for event in events if event.span.start_ns < left_ns),
            frame_count=glimpse.frame_count,
            token_count=glimpse.token_count,
            layout_id=engine.layout_id,
            encoder_id=engine.encoder_id,
            model_id=engine.model_id,
        )


def left_to_the_next_from_ns(span: Span, layout: StreamLayout) -> int:
    """From when on a whole clip leaves what begins to the next one."""
    length_ns = round(layout.clip_length_s * NS_PER_S)
    end_ns = (span.start_ns // length_ns + 1) * length_ns
    return end_ns - round(layout.lead_in_s * NS_PER_S)


def claims_early(rules: Iterable[Rule], stream_id: str, at: datetime) -> list[str]:
    """What those speak of that part of a clip of that time can fulfil."""
    claims = (claims_of(rule.condition) for rule in may_be_early(rules, stream_id, at))
    return list(dict.fromkeys(claim for some in claims for claim in some))
