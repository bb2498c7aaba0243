"""Small H.264 films of plain light, one word for each second: "dark dark bright dim"."""

from pathlib import Path

import av
import numpy as np

from tests.services.scripted_engine import LEVELS

FPS = 5


def film(path: Path, seconds: str, *, fps: int = FPS, width_px: int = 64) -> Path:
    """Write a film with a keyframe every second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width_px, 48, "yuv420p"
        stream.gop_size = fps
        stream.codec_context.thread_count = 1
        pts = 0
        for level in seconds.split():
            grey = np.full((48, width_px, 3), LEVELS[level], dtype=np.uint8)
            for _ in range(fps):
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts, pts = pts, pts + 1
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def story(*parts: tuple[str, int]) -> str:
    """("dark", 12), ("bright", 3) as the words of a film."""
    return " ".join(level for level, count in parts for _ in range(count))
