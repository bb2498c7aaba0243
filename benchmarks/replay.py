"""Footage that was captured before, played in a circle as so many cameras, which costs little.

What is published is what capture publishes: segments, each when its last instant has passed, in
the catalogue and on the bus. Their files are links, and their times are shifted by whole rounds.
Cameras begin one after the other, so that their clips do not all end at once.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heapify, heapreplace
from pathlib import Path

from services.capture import catalogue, publish
from services.registry import NewStream
from services.wiring import Stores
from streaming.bus import Bus
from streaming.cutter import LIVE
from streaming.footage import address_of
from streaming.messages import NS_PER_S, SegmentReady, Span
from tests.streaming.capturing import capture

SPREAD_NS = 10 * NS_PER_S  # within which all cameras begin: the length of a clip
SINCE_AT = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Reel:
    """A film as capture stored it, without a gap."""

    folder: Path
    segments: Sequence[SegmentReady]

    @property
    def length_ns(self) -> int:
        return self.segments[-1].span.end_ns

    def segment(self, number: int, stream_id: str) -> tuple[Path, SegmentReady]:
        """A segment, counted through all rounds, as one of the stream's; and where its file is."""
        rounds, at = divmod(number, len(self.segments))
        segment = self.segments[at]
        span = Span(
            stream_id=stream_id,
            start_ns=segment.span.start_ns + rounds * self.length_ns,
            end_ns=segment.span.end_ns + rounds * self.length_ns,
        )
        path = self.folder / segment.uri
        told = {"span": span, "sequence": number, "uri": address_of(span, path.suffix)}
        return path, segment.model_copy(update=told)


def reel_of(film: Path, folder: Path) -> Reel:
    return Reel(folder, capture(film, folder, policy=LIVE).segments)


class Replay:
    """Cameras that show reels to a service on a data directory."""

    def __init__(
        self, reels: Sequence[Reel], cameras: int, stores: Stores, bus: Bus, *, begins_ns: int
    ) -> None:
        self.late_ns: list[int] = []
        """How long after its last instant each segment was published."""
        self._reels = reels
        self._stores = stores
        self._bus = bus
        self._epochs_ns = [begins_ns + at * SPREAD_NS // cameras for at in range(cameras)]
        for camera, epoch_ns in enumerate(self._epochs_ns):
            url = f"rtsp://replayed.invalid/{camera}"
            stores.registry.add(NewStream(name_of(camera), url, starts_at=at_ns(epoch_ns)))
        self._due = [(self._ends_ns(camera, 0), camera, 0) for camera in range(cameras)]
        heapify(self._due)

    def publish_due(self, now_ns: int) -> int:
        """Publish all that has passed; return when the next segment will have."""
        while (due := self._due[0])[0] <= now_ns:
            due_ns, camera, number = due
            self._publish(camera, number)
            self.late_ns.append(now_ns - due_ns)
            heapreplace(self._due, (self._ends_ns(camera, number + 1), camera, number + 1))
        return self._due[0][0]

    def _publish(self, camera: int, number: int) -> None:
        path, segment = self._reel(camera).segment(number, name_of(camera))
        segment = segment.model_copy(update={"epoch_at": at_ns(self._epochs_ns[camera])})
        target = Path(self._stores.footage.url, segment.uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
        catalogue(self._stores.record, segment)
        publish(self._bus, segment)

    def _ends_ns(self, camera: int, number: int) -> int:
        _, segment = self._reel(camera).segment(number, name_of(camera))
        return self._epochs_ns[camera] + segment.span.end_ns

    def _reel(self, camera: int) -> Reel:
        return self._reels[camera % len(self._reels)]


def name_of(camera: int) -> str:
    return f"camera-{camera}"


def at_ns(wall_ns: int) -> datetime:
    return SINCE_AT + timedelta(microseconds=wall_ns // 1000)
