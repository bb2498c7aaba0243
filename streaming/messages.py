"""The wire types: every message that crosses a process boundary, and nothing else.

A message is small, frozen, and says its units in its field names. Pixels never travel here:
`SegmentReady` carries the address of encoded video, `ClipRemembered` the id of a record.

Two clocks exist and are never mixed:
    *_ns   media time, integer nanoseconds since the stream's epoch
    *_at   wall time, timezone-aware; epoch + media time

Spans are half-open, [start_ns, end_ns), so neighbouring clips share no frame.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

NS_PER_S = 1_000_000_000

Nanoseconds = Annotated[int, Field(ge=0)]
StreamId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]

TOPIC_SEGMENTS = "segments"
TOPIC_CLIPS = "clips"
TOPIC_GLIMPSES = "glimpses"
TOPIC_DEAD_LETTERS = "dead-letters"
TOPIC_ALERTS = "alerts"


class Message(BaseModel):
    """Base of all wire types. A new field means a new `kind`, and consumers deploy first."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Message):
    """A piece of one stream: [start_ns, end_ns) of media time."""

    stream_id: StreamId
    start_ns: Nanoseconds
    end_ns: Nanoseconds

    @model_validator(mode="after")
    def _must_not_be_empty(self) -> Self:
        if self.end_ns <= self.start_ns:
            raise ValueError(f"empty span: [{self.start_ns}, {self.end_ns}) ns")
        return self

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / NS_PER_S

    def overlaps(self, start_ns: int, end_ns: int) -> bool:
        """Whether any instant of [start_ns, end_ns) lies in this span."""
        return self.start_ns < end_ns and start_ns < self.end_ns


def clip_id_of(span: Span, layout_id: str) -> str:
    """Same stream, span and layout, same id: a clip analysed twice overwrites itself."""
    return f"{span.stream_id}:{span.start_ns}-{span.end_ns}:{layout_id}"


def wall_time(epoch_at: datetime, media_ns: int) -> datetime:
    """Wall time of an instant of media time (to the microsecond that `datetime` can hold)."""
    return epoch_at + timedelta(microseconds=media_ns // 1000)


class SegmentReady(Message):
    """A few seconds of encoded video, cut at keyframes, are stored and may be read.

    `pts_origin` is the pts, in units of the file's own video time base, of the frame whose
    media time is `span.start_ns`; media time of any frame of the file is therefore
    `span.start_ns + (pts - pts_origin) * time_base`.
    """

    kind: Literal["segment_ready/1"] = "segment_ready/1"
    span: Span
    epoch_at: AwareDatetime
    sequence: Annotated[int, Field(ge=0)]
    uri: str
    pts_origin: int
    size_bytes: Annotated[int, Field(gt=0)]
    frame_count: Annotated[int, Field(gt=0)]
    codec: str
    width_px: Annotated[int, Field(gt=0)]
    height_px: Annotated[int, Field(gt=0)]


class GapReason(StrEnum):
    """Why a stretch of media time was not captured, or was captured and not analysed.

    SKIPPED: analysis was behind, and was told to drop the oldest.
    """

    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    SOURCE_JUMPED = "source jumped"
    CORRUPT = "corrupt"
    NOT_RUNNING = "not running"
    DISK_FULL = "disk full"
    PAUSED = "paused"
    NOT_ANALYSED = "not analysed yet"
    SKIPPED = "skipped"


class StreamGap(Message):
    """A stretch of media time that was not watched, and why."""

    kind: Literal["stream_gap/1"] = "stream_gap/1"
    span: Span
    reason: GapReason


class StreamEnded(Message):
    """The source has no more to give: whatever clip is still open can be closed."""

    kind: Literal["stream_ended/1"] = "stream_ended/1"
    stream_id: StreamId
    end_ns: Nanoseconds


CaptureMessage = Annotated[SegmentReady | StreamGap | StreamEnded, Field(discriminator="kind")]


class NotedEvent(Message):
    """Something that the model saw happen."""

    span: Span
    text: Annotated[str, Field(min_length=1)]


class ClipNote(Message):
    """The record of one clip: what the model says of it, and where the rest is.

    `layout_id` names the stream layout and `encoder_id` the weights that made the stored
    visual tokens; `model_id` names the weights that wrote the text. `thinned`: some of it was
    looked at half as often, because analysis was behind.
    """

    kind: Literal["clip_note/1", "clip_note/2"] = "clip_note/2"
    clip_id: str
    span: Span
    epoch_at: AwareDatetime
    text: str
    events: tuple[NotedEvent, ...] = ()
    frame_count: Annotated[int, Field(ge=0)]
    token_count: Annotated[int, Field(ge=0)]
    layout_id: str
    encoder_id: str
    model_id: str
    thinned: bool = False

    @property
    def told(self) -> Span:
        """The time that the note tells of: the clip, and as far before it as an event began."""
        starts_ns = [self.span.start_ns, *(event.span.start_ns for event in self.events)]
        return self.span.model_copy(update={"start_ns": min(starts_ns)})


class ClipRemembered(Message):
    """A clip's record, tokens and vectors are stored and may be read."""

    kind: Literal["clip_remembered/1"] = "clip_remembered/1"
    clip_id: str
    span: Span


class ClipGlimpsed(Message):
    """Tokens of what there is of a clip by now are stored, and may be read for a while.

    `clip_id` and `span` are those that the clip would have if nothing more came.
    """

    kind: Literal["clip_glimpsed/1"] = "clip_glimpsed/1"
    clip_id: str
    span: Span
    epoch_at: AwareDatetime
    frame_count: Annotated[int, Field(gt=0)]
    token_count: Annotated[int, Field(gt=0)]


class Citation(Message):
    """A moment that an answer rests on."""

    span: Span
    clip_id: str
    text: str
    start_at: AwareDatetime
    end_at: AwareDatetime
    verified: bool | None = None
    """Whether the model, reading the clip's tokens again, agreed; None if it was not asked."""


class Coverage(Message):
    """What part of the asked time range was really watched. Gaps are named."""

    asked: tuple[Span, ...]
    watched_ns: Nanoseconds
    asked_ns: Nanoseconds
    gaps: tuple[StreamGap, ...] = ()

    @property
    def fraction(self) -> float:
        return self.watched_ns / self.asked_ns if self.asked_ns else 0.0


class Verdict(StrEnum):
    """The three ways not to know, and the one to know."""

    FOUND = "found"
    NOT_FOUND = "not found"
    NOT_VISIBLE = "not visible"
    NOT_WATCHED = "not watched"


class Answer(Message):
    """A reply with its parsed value, the moments it rests on and what was watched.

    `value` is what arithmetic over the noted events gives, by intent: a number for `count`,
    true or false for `exists` and `state`, the text of the earlier event for `order`, the texts
    of the events in order for `between` and `describe`; None for `when` (see `evidence`).
    """

    kind: Literal["answer/1"] = "answer/1"
    question: str
    intent: str
    text: str
    value: int | bool | str | tuple[str, ...] | None = None
    verdict: Verdict
    evidence: tuple[Citation, ...] = ()
    coverage: Coverage
    model_id: str


class AlertState(StrEnum):
    """Where an alert is in its life."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


class AlertEnd(StrEnum):
    """Why an alert ended.

    OVER: what it tells of is no longer so. NOT_WATCHED: nobody knows whether it still is.
    RETRACTED: it was raised early, and the whole clip did not bear it out.
    """

    OVER = "over"
    NOT_WATCHED = "not watched"
    RETRACTED = "retracted"


class Alert(Message):
    """A rule came true on a stream, still is true, or is no longer.

    One alert has one id from `new` to `end`, derived from rule, stream and the clip in which it
    came true; id and `number` name this message of it, so that whoever gets it twice can tell.
    `span` is as far as was seen by now, `clip_ids` are the first clips that show it. `is_early`: by
    the first part of a clip alone; the next message says whether the whole clip bears it out.
    """

    kind: Literal["alert/1", "alert/2"] = "alert/2"
    alert_id: str
    number: Annotated[int, Field(ge=0)]
    state: AlertState
    rule: str
    sentence: str
    span: Span
    start_at: AwareDatetime
    end_at: AwareDatetime
    probability: Annotated[float, Field(ge=0, le=1)]
    clip_ids: tuple[str, ...]
    is_early: bool = False
    ended: AlertEnd | None = None

    @property
    def message_id(self) -> str:
        return f"{self.alert_id}.{self.number}"
