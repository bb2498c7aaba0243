"""What sampling a file must give: by full decode, in the plainest way."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from streaming.decode import Decoding, Frame, SampledFrames, sampled_frames
from streaming.messages import NS_PER_S
from streaming.nvdec import Nvdec
from streaming.sampling import SamplingPolicy
from tests.streaming.media import number_of

SIZE_PX = (96, 54)


def policy(
    fps: Fraction | float | str = 1, *, size_px: tuple[int, int] = SIZE_PX
) -> SamplingPolicy:
    return SamplingPolicy(
        fps=Fraction(fps), max_frames_per_clip=999, clip_length_ns=10 * NS_PER_S, size_px=size_px
    )


def sample(
    path: Path,
    fps: Fraction | float | str = 1,
    *,
    origin: int | None = None,
    start_ns: int = 0,
    size_px: tuple[int, int] = SIZE_PX,
    threads: int = 1,
    nvdec: Nvdec | None = None,
) -> SampledFrames:
    """Sample a file whose first frame is at `start_ns`."""
    return sampled_frames(
        path,
        start_ns=start_ns,
        pts_origin=first_pts(path) if origin is None else origin,
        policy=policy(fps, size_px=size_px),
        after_ns=None,
        decoding=Decoding(threads, nvdec),
    )


def first_pts(path: Path) -> int:
    """The smallest time stamp of a file's pictures, 0 if they have none."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return min((p.pts for p in packets if p.pts is not None), default=0)


def all_frames(path: Path) -> list[tuple[Fraction, VideoFrame]]:
    """Every frame and its time since the first, of a file whose time stamps are sound."""
    found: list[tuple[Fraction, VideoFrame]] = []
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.thread_type = "NONE"
        assert video.time_base is not None
        origin = first_pts(path)
        for packet in container.demux(video):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue
            for frame in frames:
                assert frame.pts is not None
                found.append(((frame.pts - origin) * video.time_base, frame))
    return found


def plainly(path: Path, fps: Fraction | float | str = 1) -> list[tuple[int, NDArray[np.uint8]]]:
    """The first frame at or after each instant: its time in nanoseconds, and its picture."""
    chosen: list[tuple[int, NDArray[np.uint8]]] = []
    served = -1
    for time_s, frame in all_frames(path):
        if time_s * Fraction(fps) // 1 > served:
            served = time_s * Fraction(fps) // 1
            picture = VideoReformatter().reformat(frame, *SIZE_PX, "rgb24", interpolation="AREA")
            pixels = cast("NDArray[np.uint8]", picture.to_ndarray())
            chosen.append((-(-time_s * NS_PER_S // 1), pixels))
    return chosen


def assert_same(got: list[Frame], truth: list[tuple[int, NDArray[np.uint8]]]) -> None:
    """Same frames, same times, same pictures to the last bit."""
    assert [frame.media_ns for frame in got] == [media_ns for media_ns, _ in truth]
    for frame, (_, pixels_HWC) in zip(got, truth, strict=True):
        np.testing.assert_array_equal(frame.pixels_HWC, pixels_HWC)
    assert all(one.media_ns < next_one.media_ns for one, next_one in pairwise(got))


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.pixels_HWC) for frame in frames]
