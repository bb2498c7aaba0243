"""Render scripts as real video: painted at 320x180, encoded by x264 at any size, rate and GOP.

Painting is the dear part, so pictures are painted small and enlarged by swscale on their way to the
encoder; a camera of the cheaper sort does the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.video.stream
from av.video.reformatter import Interpolation, VideoReformatter

from models.nano.draw import Painter
from models.nano.tower import PAINT_HEIGHT_PX, PAINT_WIDTH_PX
from models.nano.world import Script


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """How footage is encoded."""

    fps: int = 15
    width_px: int = 640
    height_px: int = 360
    gop_s: float = 1.0
    crf: int = 24


def render(
    script: Script,
    path: Path,
    video: VideoFormat = VideoFormat(),
    *,
    on_progress: Callable[[float], None],
) -> None:
    """Encode the script as H.264; frame k shows the instant k / fps."""
    painter = Painter(script, width_px=PAINT_WIDTH_PX, height_px=PAINT_HEIGHT_PX)
    reformatter = VideoReformatter()
    num_frames = round(script.duration_s * video.fps)
    options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(
            "libx264",
            rate=video.fps,
            options={"preset": "ultrafast", "crf": str(video.crf), "tune": "fastdecode"},
        )
        assert isinstance(stream, av.video.stream.VideoStream)
        stream.width, stream.height, stream.pix_fmt = video.width_px, video.height_px, "yuv420p"
        stream.gop_size = max(1, round(video.gop_s * video.fps))
        stream.codec_context.thread_count = 1
        time_base = Fraction(1, video.fps)
        for number in range(num_frames):
            picture = painter.picture(number / video.fps)
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(picture, format="rgb24"),
                video.width_px,
                video.height_px,
                "yuv420p",
                interpolation=Interpolation.FAST_BILINEAR,
                threads=1,
            )
            frame.pts, frame.time_base = number, time_base
            out.mux(stream.encode(frame))
            if number % 150 == 0:
                on_progress(number / num_frames)
        out.mux(stream.encode(None))
    on_progress(1.0)
