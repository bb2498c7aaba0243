"""Decode units with one decoder: what a plan wants, or everything.

A decoder is for one thread. It is emptied after each unit, so units may come in any order and
from any part of the file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streaming.clock import MediaClock
from streaming.pictures import PictureMaker
from streaming.sampling import Sampler, SamplingPolicy
from streaming.units import Plan, VideoPacket


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to one bool
class Frame:
    """One sampled picture. Lives inside a process and never on the wire."""

    pixels_HWC: NDArray[np.uint8]  # RGB
    media_ns: int


@dataclass(slots=True)
class DecodeCounts:
    """What was done, and what was met, while sampling one file.

    packets        of the video track, read
    unreachable    packets before the first keyframe
    fed            packets given to a decoder, those of repeated units twice
    decoded        frames that came out
    damaged        packets refused and frames flagged as damaged
    without_pts    frames whose time was taken from the frame before
    repeated       units decoded again, whole, because a wanted frame had not come out
    """

    packets: int = 0
    unreachable: int = 0
    fed: int = 0
    decoded: int = 0
    damaged: int = 0
    without_pts: int = 0
    repeated: int = 0

    def __add__(self, other: "DecodeCounts") -> "DecodeCounts":
        return DecodeCounts(
            *(getattr(self, name) + getattr(other, name) for name in self.__slots__)
        )


class UnitDecoder:
    """One decoder, its scaler and its counts."""

    def __init__(
        self, context: VideoCodecContext, *, time: MediaClock, policy: SamplingPolicy
    ) -> None:
        self._context = context
        self._pictures = PictureMaker(policy.size_px)
        self._time = time
        self._policy = policy
        self._misstamped: bool | None = None
        self._next_pts = time.pts  # of a frame that has none
        self.counts = DecodeCounts()

    def planned(
        self, plan: Plan, packets: list[VideoPacket], *, after_ns: int | None
    ) -> list[Frame]:
        """Decode what the plan says; if that gives not all of it, look through all `packets`."""
        found: dict[int, Frame] = {}
        for frame in self._decoded(plan.packets, plan):
            pts = frame.pts
            if pts in plan.wanted_pts and pts not in found:
                found[pts] = self._picture(frame, pts)
        if len(found) == len(plan.wanted_pts) and not self._is_misstamped(packets):
            return [found[pts] for pts in sorted(found)]
        self.counts.repeated += 1
        return list(self.chosen(packets, Sampler(self._policy, after_ns=after_ns)))

    def chosen(self, packets: Iterable[VideoPacket], sampler: Sampler) -> Iterator[Frame]:
        """Decode everything, pick as frames come, and move the sampler on."""
        stamps: Iterator[int] = iter(())
        if self._misstamped:
            packets = list(packets)
            stamps = iter(sorted(packet.pts for packet in packets if packet.pts is not None))
        for frame in self._decoded(packets, None):
            pts = next(stamps, None)
            if pts is None:
                pts = self._pts_of(frame)
            media_ns = self._time.media_ns_of(pts)
            if pts >= self._time.pts and sampler.wants(media_ns):
                sampler.pick(media_ns)
                yield self._picture(frame, pts)

    def _is_misstamped(self, packets: list[VideoPacket]) -> bool:
        """Whether time stamps count packets while frames are shown in another order.

        AVI stores no time stamps, and what is made of them for B-frames is wrong; it stays wrong
        when the packets are copied into another container. Looked into once a file, and only
        where stamps rise with every packet of a stream that has B-frames.
        """
        if self._misstamped is None and self._context.reorder_depth:
            stamps = [packet.pts for packet in packets if packet.pts is not None]
            if _rises(stamps):
                shown = [frame.pts for frame in self._decoded(packets, None)]
                self._misstamped = not _rises([pts for pts in shown if pts is not None])
        return bool(self._misstamped)

    def _picture(self, frame: VideoFrame, pts: int) -> Frame:
        return Frame(self._pictures.picture(frame), self._time.media_ns_of(pts))

    def _pts_of(self, frame: VideoFrame) -> int:
        pts = frame.pts
        if pts is None:
            self.counts.without_pts += 1
            pts = self._next_pts
        self._next_pts = pts + frame.duration
        return pts

    def _decoded(self, packets: Iterable[VideoPacket], plan: Plan | None) -> Iterator[VideoFrame]:
        """Frames in the order of time; packets that are refused are passed over."""
        skipping = False
        for packet in packets:
            skip = plan is not None and plan.skips_unneeded and packet.pts not in plan.wanted_pts
            if skip != skipping:
                self._context.skip_frame = "NONREF" if skip else "DEFAULT"
                skipping = skip
            yield from self._fed(packet)
        if skipping:
            self._context.skip_frame = "DEFAULT"
        yield from self._fed(None)
        self._context.flush_buffers()

    def _fed(self, packet: "VideoPacket | None") -> list[VideoFrame]:
        self.counts.fed += packet is not None
        try:
            frames = self._context.decode(packet)
        except FFmpegError:
            self.counts.damaged += 1
            return []
        self.counts.decoded += len(frames)
        self.counts.damaged += sum(frame.is_corrupt for frame in frames)
        return frames


def _rises(stamps: list[int]) -> bool:
    return all(one < following for one, following in pairwise(stamps))
