"""One picture of a stored segment, small, as a JPEG: for people to recognise a moment by."""

from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError
from av.video.frame import VideoFrame

from streaming.errors import DamagedVideo, UnreadableMedia
from streaming.messages import NS_PER_S
from streaming.pictures import PictureMaker, orientation_of

WIDTH_PX = 320
_ONLY_FILES = {"protocol_whitelist": "file"}


def thumbnail(path: Path, *, pts_origin: int, after_origin_ns: int) -> bytes:
    """The first frame that is shown so long after the one at `pts_origin`, or the last there is.

    Raises:
        UnreadableMedia, DamagedVideo
    """
    frame = _frame(path, pts_origin=pts_origin, after_origin_ns=after_origin_ns)
    if frame is None:
        raise DamagedVideo(path.name, reason="no picture of it can be read")
    width_px, height_px = frame.width, frame.height
    if orientation_of(frame).swaps_axes:
        width_px, height_px = height_px, width_px
    size_px = min(WIDTH_PX, width_px), max(1, round(height_px * min(1, WIDTH_PX / width_px)))
    return _jpeg(VideoFrame.from_ndarray(PictureMaker(size_px).picture(frame), format="rgb24"))


def _frame(path: Path, *, pts_origin: int, after_origin_ns: int) -> VideoFrame | None:
    found: VideoFrame | None = None
    try:
        with av.open(str(path), options=_ONLY_FILES) as container:
            video = container.streams.video[0]
            assert video.time_base is not None
            wanted = pts_origin + Fraction(after_origin_ns, NS_PER_S) / video.time_base
            for frame in container.decode(video):
                found = frame
                if frame.pts is not None and frame.pts >= wanted:
                    break
    except (FFmpegError, IndexError) as error:
        if found is None:
            raise UnreadableMedia(path.name, reason="its file is damaged") from error
    return found


def _jpeg(picture: VideoFrame) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    packets = [*encoder.encode(picture.reformat(format="yuvj420p")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
