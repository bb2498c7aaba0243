"""NVDEC, the video decoder of NVIDIA's GPUs, as FFmpeg drives it.

Frames stay on the GPU. `streaming.pictures` has FFmpeg bring the few that are wanted to the CPU,
where they are scaled as all others are; so pictures come out the same whoever decoded.

What a GPU decodes is found out by decoding. Of a file that it does not take whole (a profile that
it does not know, damage, too many files at once) the CPU has the last word, as if there were none.
"""

import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from streaming.errors import NvdecUnavailable
from streaming.units import VideoPacket

CODEC = "h264"
PROBED_PX = (256, 256)  # smaller ones some GPUs refuse
# FFmpeg may share the GPU's primary context with whoever computes there, where it comes first.
# Else each file that is opened costs a context of its own: time, and hundreds of megabytes.
CONTEXTS = ({"primary_ctx": "1"}, {"primary_ctx": "0"})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Nvdec:
    """The decoder of one GPU, which was seen to work. May be used from any thread."""

    device: str
    acceleration: HWAccel
    kept: VideoCodecContext | None = None
    """Keeps the GPU's context, so that a file that is opened makes no new one."""
    _has_refused: bool = False

    def refused(self, path: Path, reason: str) -> None:
        """Note that the CPU has to decode a file; the first time so that everybody sees it."""
        level = logging.DEBUG if self._has_refused else logging.WARNING
        self._has_refused = True
        log.log(level, "%s: decoded on the CPU, because NVDEC gave up: %s", path.name, reason)


def open_nvdec(device: str) -> Nvdec:
    """The decoder of a GPU, named as torch names it: cuda, or cuda:1 for the second.

    Raises:
        NvdecUnavailable
    """
    packets, reason = _encoded_picture(), ""
    for options in CONTEXTS:
        acceleration = _acceleration(device, options)
        try:
            context = _tried(acceleration, packets)
        except FFmpegError as error:
            reason = error.strerror or str(error)
            continue
        if context is not None:
            return Nvdec(device, acceleration, context)
        reason = "frames come from the CPU all the same"
    raise NvdecUnavailable(device, reason=reason)


def _acceleration(device: str, options: dict[str, str]) -> HWAccel:
    _, _, number = device.partition(":")
    return HWAccel(
        "cuda",
        device=number or "0",
        allow_software_fallback=True,
        options=dict[str, object](options),
        is_hw_owned=True,
    )


def _tried(acceleration: HWAccel, packets: list[VideoPacket]) -> VideoCodecContext | None:
    """Decode with it; None if that was done on the CPU instead."""
    context = av.CodecContext.create(CODEC, "r", hwaccel=acceleration)
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    frames = [frame for packet in (*packets, None) for frame in context.decode(packet)]
    return context if frames and all(frame.format.name == "cuda" for frame in frames) else None


def _encoded_picture() -> list[VideoPacket]:
    """One black picture."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = PROBED_PX
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    encoder.thread_count = 1
    black = np.zeros((PROBED_PX[1] * 3 // 2, PROBED_PX[0]), np.uint8)
    frame = av.VideoFrame.from_ndarray(black, format="yuv420p")
    frame.pts, frame.time_base = 0, encoder.time_base
    return [*encoder.encode(frame), *encoder.encode(None)]
