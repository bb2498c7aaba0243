"""Pictures and video as requests bring them along."""

import base64
import io
from fractions import Fraction

import av
import av.video.stream
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray


def data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def png(picture_HWC: NDArray[np.uint8]) -> str:
    """A picture, with nothing lost."""
    height_px, width_px, _ = picture_HWC.shape
    encoder = av.VideoCodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "rgb24"
    encoder.time_base = Fraction(1)
    (packet,) = encoder.encode(VideoFrame.from_ndarray(picture_HWC, format="rgb24"))
    return data_url("image/png", bytes(packet))


def mp4(pictures_THWC: NDArray[np.uint8], *, fps: int) -> bytes:
    """H.264 of pictures that follow one another."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=fps)
        assert isinstance(stream, av.video.stream.VideoStream)
        _, stream.height, stream.width, _ = pictures_THWC.shape
        stream.pix_fmt = "yuv420p"
        for picture_HWC in pictures_THWC:
            out.mux(stream.encode(VideoFrame.from_ndarray(picture_HWC, format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()
