"""Clips that a request brings with it: pictures, or video, as base64 or data URLs.

Pictures are the frames of one clip, as many a second as the layout samples. Video is decoded and
sampled as footage is, and cut into clips of the layout's length. Nothing is fetched from anywhere:
a server that opens what it is told to would open doors.

Shape letters:
    T frames    H, W pixels
"""

import base64
import binascii
import io
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from models.layout import StreamLayout
from services.analyse import policy_of
from streaming.decode import Decoding, sampled_frames
from streaming.errors import MediaError
from streaming.messages import NS_PER_S
from streaming.pictures import orientation_of

MOST_BYTES = 64 * 2**20  # of one picture or video
MOST_PX = 2**25  # of one picture: 8K fits
MOST_CLIPS = 16  # of one video
VIDEO_FORMATS = "mov,matroska,mpegts,mpeg,avi,flv,ogg,asf,h264,hevc,ivf"
IMAGE_FORMATS = "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,gif"
"""As FFmpeg calls them. Of others, some are lists of files, which it would open."""


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """The sampled frames of a clip, of whatever sizes, and their seconds from its start."""

    frames: Sequence[NDArray[np.uint8]]  # RGB, (H, W, 3) each
    times_s: tuple[float, ...]


def clip_of_pictures(images: Sequence[str], layout: StreamLayout) -> Pictures:
    """A clip whose frames are given as images.

    Raises:
        ValueError
    """
    if not 0 < len(images) <= layout.max_frames:
        raise ValueError(f"{len(images)} pictures; a clip has 1 to {layout.max_frames}")
    rate = policy_of(layout).rate
    times_s = tuple(float(number / rate) for number in range(len(images)))
    return Pictures([_picture(bytes_of(image)) for image in images], times_s)


def clips_of_video(video: str, layout: StreamLayout) -> list[Pictures]:
    """The clips of a video, each of the layout's length, but for the last one.

    Raises:
        ValueError
    """
    policy = policy_of(layout)
    most = MOST_CLIPS * policy.max_frames_per_clip
    with TemporaryDirectory(prefix="longwatch-") as folder:
        path = Path(folder, "video")
        path.write_bytes(bytes_of(video))
        try:
            sampled = sampled_frames(
                path,
                start_ns=0,
                pts_origin=_first_pts(path),
                policy=policy,
                after_ns=None,
                decoding=Decoding(),
            )
            with closing(sampled):
                frames = list(islice(sampled, most + 1))
        except (MediaError, FFmpegError) as error:
            raise ValueError(f"a video that cannot be read ({_reason(error)})") from error
    clips = [
        (number * policy.clip_length_ns, list(of_clip))
        for number, of_clip in groupby(
            frames, lambda frame: frame.media_ns // policy.clip_length_ns
        )
    ]
    if len(clips) > MOST_CLIPS or len(frames) > most:
        most_s = MOST_CLIPS * layout.clip_length_s
        raise ValueError(f"the video is too long; at most {most_s:g} s are read")
    return [
        Pictures(
            [frame.pixels_HWC for frame in of_clip],
            tuple((frame.media_ns - start_ns) / NS_PER_S for frame in of_clip),
        )
        for start_ns, of_clip in clips
    ]


def bytes_of(data: str) -> bytes:
    """What base64 stands for, with `data:...;base64,` before it or without.

    Raises:
        ValueError
    """
    _, comma, rest = data.partition(",")
    text = rest if comma and data.startswith("data:") else data
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        raise ValueError(f"a picture or video of more than {MOST_BYTES // 2**20} MiB")
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(
            f"{data[:40]!r} is no clip; write clip:STREAM:START-END:LAYOUT or data:TYPE;base64,..."
        ) from error
    if not found:
        raise ValueError("a picture or video of no bytes")
    return found


def _picture(data: bytes) -> NDArray[np.uint8]:
    """An image's pixels, upright, (H, W, 3)."""
    try:
        with av.open(
            io.BytesIO(data), "r", options={"format_whitelist": IMAGE_FORMATS}
        ) as container:
            stream = container.streams.video[0]
            width_px, height_px = stream.codec_context.width, stream.codec_context.height
            if not 0 < width_px * height_px <= MOST_PX:
                raise ValueError(f"a picture of {width_px} x {height_px} pixels")
            frame = next(container.decode(stream))
            assert isinstance(frame, VideoFrame)
            return orientation_of(frame).upright(
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            )
    except (FFmpegError, IndexError, StopIteration) as error:
        raise ValueError(f"a picture that cannot be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What is wrong, without the name that the data has here."""
    match error:
        case MediaError(reason=str(reason)) | FFmpegError(strerror=str(reason)):
            return reason
        case _:
            return "there is no picture in it"


def _first_pts(path: Path) -> int:
    """Where the video starts, if it is of a format that is read.

    Raises:
        FFmpegError
    """
    with av.open(f"file:{path}", "r", options={"format_whitelist": VIDEO_FORMATS}) as container:
        stream = container.streams.best("video")
        return 0 if stream is None else stream.start_time or 0
