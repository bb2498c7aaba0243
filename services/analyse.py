"""From segments to memory: decode what is sampled, collect clips, have them remembered.

`Analyst` is the handler behind the worker "analyse". The same footage gives the same record, byte
for byte, whenever and however often the work is interrupted, as long as analysis may take its time:
    clips depend on media time alone (`services.windows`)
    the notes before a clip, which the model is told, are read from the record
    how far a stream is remembered is read from the record, and what comes again is dropped
    the offset is committed last, and never beyond a segment that an unfinished clip needs
    each partition of the topic is worked at as if it were alone (`Share`): one that is taken away
    is forgotten, and its next reader finds in the record how far its streams are remembered

Where the model's server is away, clips are still seen and their tokens stored; their notes are
written later, in order (`services.patient`).

Where it may not take its time (`services.behind`), what is skipped or thinned depends on how far
behind it was. What the record holds of that stays as it is: a gap is put before it has any effect,
and what was remembered, thinned or not, is not done again. What it does not hold yet may come out
otherwise.

A segment that is not in the record's catalogue was forgotten, and is passed over.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction

from memory.errors import UnknownStream
from memory.record import Record
from memory.spans import END_OF_TIME_NS
from memory.values import StreamSpec, WhenBehind
from models.layout import StreamLayout
from services.behind import BackPressure, put_skipped, thinned
from services.logs import about
from services.metrics import Budget, Metrics, Stage
from services.patient import MOST_WAITING, PatientRememberer
from services.progress import is_recording, note_remembered, remembered_until_ns
from services.segment_messages import message_of, stream_of
from services.tracing import TraceContext, context_of, continuing
from services.windows import ClipCollector, CollectedClip
from streaming import bus
from streaming.decode import Decoding, sampled_frames
from streaming.errors import BadMessage
from streaming.footage import FootageStore
from streaming.messages import (
    NS_PER_S,
    CaptureMessage,
    GapReason,
    SegmentReady,
    Span,
    StreamEnded,
    StreamGap,
)
from streaming.sampling import SamplingPolicy
from streaming.unit_decoder import Frame


@dataclass(frozen=True, slots=True)
class Sampling:
    """How segments are looked at, and who decodes them."""

    policy: SamplingPolicy
    decoding: Decoding


@dataclass(frozen=True, slots=True)
class SampledUntil:
    """Where sampling of a stream stands: the end of a segment, and the last frame sampled."""

    segment_end_ns: int
    last_frame_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A message, and what was sampled of its segment; None if that footage was forgotten.

    Of what is remembered already, nothing was sampled.
    """

    message: CaptureMessage
    frames: Sequence[Frame] | None = ()
    until: SampledUntil | None = None
    treatment: WhenBehind = WhenBehind.WAIT
    is_remembered: bool = False


@dataclass(frozen=True, slots=True)
class Fed:
    """A segment that was handed to the collector, how, and the span that published it."""

    span: Span
    is_thinned: bool
    trace: TraceContext | None


@dataclass(slots=True)
class Watched:
    """One stream as the analyst knows it.

    complete   clips that wait to be remembered
    fed        the segments that the unfinished clip may show
    """

    spec: StreamSpec
    collector: ClipCollector
    epoch_at: datetime | None = None
    complete: list[CollectedClip] = field(default_factory=list[CollectedClip])
    fed: list[Fed] = field(default_factory=list[Fed])

    def completed(self, clips: Sequence[CollectedClip]) -> None:
        """Note clips that are complete now."""
        self.complete += [shown_by(self.fed, clip) for clip in clips]
        done_ns = self.collector.done_ns
        self.fed = [one for one in self.fed if one.span.end_ns > done_ns]


@dataclass(slots=True)
class Share:
    """What is known of the streams of one partition."""

    watched: dict[str, Watched] = field(default_factory=dict[str, Watched])
    ahead: dict[str, SampledUntil] = field(default_factory=dict[str, SampledUntil])
    handled: dict[str, SampledUntil] = field(default_factory=dict[str, SampledUntil])


class Analyst:
    """Handles the records of the topic `segments`."""

    def __init__(
        self,
        *,
        record: Record,
        footage: FootageStore,
        rememberer: PatientRememberer,
        sampling: Sampling,
        pressure: BackPressure,
        metrics: Metrics | None = None,
    ) -> None:
        self._record = record
        self._footage = footage
        self._rememberer = rememberer
        self._sampling = sampling
        self._pressure = pressure
        self._metrics = metrics or Metrics()
        self._shares: defaultdict[int, Share] = defaultdict(Share)
        self._told_waiting = 0

    def prepare(self, record: bus.Record) -> Sampled:
        with continuing(context_of(record.headers)):
            return self._prepare(message_of(record), self._shares[record.partition].ahead)

    def _prepare(self, message: CaptureMessage, ahead: dict[str, SampledUntil]) -> Sampled:
        if not isinstance(message, SegmentReady):
            return Sampled(message)
        if message not in self._record.segments([message.span]):
            return Sampled(message, frames=None)
        try:
            spec = self._record.stream(message.span.stream_id)
        except UnknownStream:
            return Sampled(message, frames=None)
        if message.span.end_ns <= remembered_until_ns(self._record, spec):
            return Sampled(message, is_remembered=True)
        match self._pressure.treatment(spec, message):
            case WhenBehind.WAIT:
                return self._sample(message, self._sampling.policy, ahead)
            case WhenBehind.THIN:
                sampled = self._sample(message, thinned(self._sampling.policy), ahead)
                return replace(sampled, treatment=WhenBehind.THIN)
            case WhenBehind.DROP_OLDEST:
                return Sampled(message, treatment=WhenBehind.DROP_OLDEST)

    def restart_preparing(self) -> None:
        for share in self._shares.values():
            share.ahead = dict(share.handled)

    def handle(self, record: bus.Record, prepared: Sampled) -> None:
        self._make_up()
        message = prepared.message
        stream_id, share = stream_of(message), self._shares[record.partition]
        if was_overtaken(share.watched.get(stream_id), prepared):
            del share.watched[stream_id]
        watched = self._taken_up(stream_id, share)
        if watched is None or (isinstance(message, SegmentReady) and prepared.frames is None):
            return
        match message:
            case SegmentReady() if prepared.treatment is WhenBehind.DROP_OLDEST:
                complete = self._skip(watched, message.span)
            case SegmentReady():
                watched.epoch_at = message.epoch_at
                is_thinned = prepared.treatment is WhenBehind.THIN
                self._note_fed(watched, Fed(message.span, is_thinned, context_of(record.headers)))
                complete = watched.collector.feed(
                    message.span, prepared.frames or (), offset=record.offset
                )
            case StreamGap():
                complete = watched.collector.skip(message.span)
            case StreamEnded():
                complete = watched.collector.end(message.end_ns)
        watched.completed(complete)
        self._remember(watched)
        if isinstance(message, SegmentReady):
            with continuing(context_of(record.headers)):
                self._glimpse(watched)
        if prepared.until is not None:
            share.handled[stream_id] = prepared.until

    def idle(self) -> None:
        """Clips are collected when footage comes, and not before; notes may have to wait."""
        self._make_up()

    @property
    def is_waiting(self) -> bool:
        """Whether notes of what was handled are still to be written."""
        return len(self._rememberer) > 0

    def set_aside(self, record: bus.Record, error: Exception) -> None:
        """Name the segment's time as a gap."""
        try:
            message = message_of(record)
        except BadMessage:
            return
        watched = self._taken_up(stream_of(message), self._shares[record.partition])
        if watched is None or not isinstance(message, SegmentReady):
            return
        if not watched.collector.has_seen(message.span):
            self._record.put_gap(StreamGap(span=message.span, reason=GapReason.CORRUPT))
            self._metrics.gap(message.span.stream_id, GapReason.CORRUPT.value)
            watched.completed(watched.collector.skip(message.span))
        self._remember(watched)

    def committable(self, partition: int, next_offset: int) -> int:
        watched = self._shares[partition].watched
        needed = [one.collector.needs_offset for one in watched.values()]
        return min(
            [
                next_offset,
                *(offset for offset in needed if offset is not None),
                *self._rememberer.needs_offset(watched),
            ]
        )

    def revoked(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            share = self._shares.pop(partition, None)
            if share is not None:
                self._pressure.forget(share.watched)
                self._rememberer.forget(share.watched)

    def _skip(self, watched: Watched, span: Span) -> list[CollectedClip]:
        """Leave out what is not remembered yet of a segment, and say so before that shows."""
        collector = watched.collector
        start_ns = max(span.start_ns, collector.done_ns, collector.done_until_ns)
        if collector.has_seen(span) or start_ns >= span.end_ns:
            return []
        left_out = span.model_copy(update={"start_ns": start_ns})
        for _ in range(put_skipped(self._record, left_out)):
            self._metrics.gap(span.stream_id, GapReason.SKIPPED.value)
        self._metrics.shed(span.stream_id, WhenBehind.DROP_OLDEST.value, left_out.duration_s)
        return collector.skip(left_out)

    def _note_fed(self, watched: Watched, fed: Fed) -> None:
        span = fed.span
        if watched.collector.has_seen(span):
            return
        watched.fed.append(fed)
        if fed.is_thinned:
            self._metrics.shed(span.stream_id, WhenBehind.THIN.value, span.duration_s)

    def _sample(
        self, segment: SegmentReady, policy: SamplingPolicy, ahead: dict[str, SampledUntil]
    ) -> Sampled:
        span = segment.span
        before = ahead.get(span.stream_id)
        goes_on = before is not None and before.segment_end_ns == span.start_ns
        after_ns = before.last_frame_ns if before and goes_on else None
        said = about(stream_id=span.stream_id)
        with self._footage.open_local(segment.uri) as path, self._metrics.timed(Stage.DECODE, said):
            frames = list(
                sampled_frames(
                    path,
                    start_ns=span.start_ns,
                    pts_origin=segment.pts_origin,
                    policy=policy,
                    after_ns=after_ns,
                    decoding=self._sampling.decoding,
                )
            )
        last_ns = frames[-1].media_ns if frames else after_ns
        until = None if last_ns is None else SampledUntil(span.end_ns, last_ns)
        if until is not None:
            ahead[span.stream_id] = until
        return Sampled(segment, frames, until)

    def _taken_up(self, stream_id: str, share: Share) -> Watched | None:
        """The stream as it is registered now; None if it is not, or not any more."""
        try:
            spec = self._record.stream(stream_id)
        except UnknownStream:
            share.watched.pop(stream_id, None)
            self._rememberer.forget([stream_id])
            return None
        watched = share.watched.get(stream_id)
        if watched is None or watched.spec.added_at != spec.added_at:
            self._rememberer.forget([stream_id])
            watched = Watched(
                spec,
                ClipCollector(
                    stream_id,
                    self._sampling.policy.clip_length_ns,
                    done_until_ns=remembered_until_ns(self._record, spec),
                ),
            )
            share.watched[stream_id] = watched
            for note in self._record.last_clips(stream_id, before_ns=END_OF_TIME_NS, limit=1):
                self._rememberer.announce(note.clip_id, note.span)  # a kill may have come first
        return watched

    def _remember(self, watched: Watched) -> None:
        while watched.complete:
            clip = watched.complete[0]
            assert watched.epoch_at is not None, "frames come from segments, which tell the epoch"
            with self._metrics.spending(Budget.CLIP_SECONDS, allowed_s=self._clip_allowed_s()):
                self._rememberer.remember(clip, epoch_at=watched.epoch_at)
            del watched.complete[0]
        self._note_remembered(watched)

    def _glimpse(self, watched: Watched) -> None:
        """Look at what there is of the clip that is being gathered."""
        clip = watched.collector.so_far
        if clip is not None and watched.epoch_at is not None:
            self._rememberer.glimpse(watched.spec, clip, epoch_at=watched.epoch_at)

    def _clip_allowed_s(self) -> float:
        """How long a clip may take, so that the cameras of this process are kept up with."""
        cameras = [
            watched
            for share in self._shares.values()
            for watched in share.watched.values()
            if not is_recording(watched.spec)
        ]
        return self._sampling.policy.clip_length_ns / NS_PER_S / max(1, len(cameras))

    def _make_up(self) -> None:
        """Write notes that wait or were set aside, if the model can be asked again."""
        waited = self.is_waiting
        self._rememberer.make_up()
        if not waited:
            return
        for share in self._shares.values():
            for watched in share.watched.values():
                self._note_remembered(watched)

    def _note_remembered(self, watched: Watched) -> None:
        waiting = len(self._rememberer)
        self._metrics.unwritten(waiting - self._told_waiting, allowed=MOST_WAITING)
        self._told_waiting = waiting
        done_ns = watched.collector.done_ns
        waits_from_ns = self._rememberer.waits_from_ns(watched.spec.stream_id)
        until_ns = done_ns if waits_from_ns is None else min(done_ns, waits_from_ns)
        note_remembered(self._record, watched.spec, until_ns)


def was_overtaken(watched: Watched | None, prepared: Sampled) -> bool:
    """Whether others remembered a segment that the collector still waits for.

    Who was frozen for long does not know yet that others go on with its partitions. What was not
    sampled is no part of its clip, which would be remembered without it.
    """
    if watched is None or not prepared.is_remembered:
        return False
    assert isinstance(prepared.message, SegmentReady)
    span, collector = prepared.message.span, watched.collector
    return collector.done_until_ns < span.end_ns and not collector.has_seen(span)


def shown_by(fed: Sequence[Fed], clip: CollectedClip) -> CollectedClip:
    """The clip, with what is known of the segments that it shows."""
    shown = [one for one in fed if one.span.overlaps(clip.span.start_ns, clip.span.end_ns)]
    return replace(
        clip,
        thinned=any(one.is_thinned for one in shown),
        traces=tuple(one.trace for one in shown if one.trace is not None),
    )


def policy_of(layout: StreamLayout) -> SamplingPolicy:
    """How a model's layout wants a stream to be looked at."""
    return SamplingPolicy(
        fps=Fraction(layout.fps).limit_denominator(1000),
        max_frames_per_clip=layout.max_frames,
        clip_length_ns=round(layout.clip_length_s * NS_PER_S),
        size_px=(layout.image_size_px, layout.image_size_px),
    )
