"""The streams as whoever looks sees them: what each does, how well, and spans of them in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memory.spans import whole_stream
from memory.values import StreamSpec, StreamStatus
from services.behind import skipped_ns
from services.coverage import asked_of
from services.errors import NothingStored
from services.locks import Service, is_running
from services.moments import parse_bounds
from services.progress import StreamProgress, progress_of_stream
from services.wiring import Stores, now_at
from streaming.messages import Span
from streaming.progress import StreamState

LASTING = (StreamState.ENDED, StreamState.FAILED)  # states that outlive the service


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as `longwatch streams` shows it."""

    spec: StreamSpec
    status: StreamStatus | None
    progress: StreamProgress
    gaps: int
    skipped_ns: int
    is_served: bool

    @property
    def state(self) -> str:
        """What the stream does; without a service it does nothing, whatever was said last."""
        if self.status is not None and (self.status.state in LASTING or self.is_served):
            return self.status.state
        return (StreamState.STARTING if self.is_served else StreamState.PAUSED).value

    @property
    def detail(self) -> str:
        if self.state == StreamState.PAUSED and not self.is_served:
            return "no service runs"
        return self.status.detail if self.status else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.spec.stream_id,
            "url": self.spec.url,
            "realtime": self.spec.realtime,
            "state": self.state,
            "detail": self.detail,
            "epoch_at": _iso(self.spec.epoch_at),
            "captured_ns": self.progress.captured_ns,
            "remembered_ns": self.progress.remembered_ns,
            "clips": self.progress.clips,
            "gaps": self.gaps,
            "skipped_ns": self.skipped_ns,
            "when_behind": self.spec.when_behind,
            "counters": self.status.counters if self.status else {},
            "updated_at": _iso(self.status.updated_at) if self.status else None,
        }


def stream_rows(stores: Stores) -> list[StreamRow]:
    return [stream_row(stores, spec) for spec in stores.record.streams()]


def stream_row(stores: Stores, spec: StreamSpec) -> StreamRow:
    record = stores.record
    return StreamRow(
        spec=spec,
        status=record.status(spec.stream_id),
        progress=progress_of_stream(record, spec),
        gaps=record.counts(spec.stream_id).gaps,
        skipped_ns=skipped_ns(record, whole_stream(spec.stream_id)),
        is_served=is_running(stores.settings, Service.CAPTURE),
    )


def span_of(stores: Stores, stream: str, start: str, end: str | None) -> Span:
    """The span of a stream that two times mean; its end is cut to what there is.

    Raises:
        TimeError, NoSuchStream, NothingStored
    """
    now = now_at()
    bounds = parse_bounds(start, end, now_at=now)
    asked = asked_of(stores.record, [stores.registry.stream(stream)], bounds, now_at=now)
    span = asked[0].span if asked else None
    if span is None:
        raise NothingStored(stream, start, end or "the end")
    return span


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
