"""Footage for the decoding benchmark: a textured scene, things that move, sensor noise.

Every picture carries its number as black and white blocks along its top, so that any tool's
pictures tell which frames they are, whatever they were scaled with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 12
NOISE_LEVEL = 3.0
NOISE_PICTURES = 8
SUBJECTS = 6

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Footage:
    """A film to be rendered: constant rate, closed groups of pictures, x264."""

    name: str
    size_px: tuple[int, int]
    rate: int
    gop: int
    b_frames: int
    seconds: int

    def render(self, path: Path) -> None:
        width_px, height_px = self.size_px
        with av.open(str(path), "w") as output:
            video = output.add_stream("libx264", rate=Fraction(self.rate))
            video.width, video.height, video.pix_fmt = width_px, height_px, "yuv420p"
            video.codec_context.options = {
                "preset": "fast",
                "crf": "23",
                "x264-params": f"keyint={self.gop}:min-keyint={self.gop}:scenecut=0"
                f":bframes={self.b_frames}",
            }
            for number, pixels in enumerate(self._pictures()):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, self.rate)
                output.mux(video.encode(frame))
            output.mux(video.encode())

    def _pictures(self) -> Iterator[Pixels]:
        width_px, height_px = self.size_px
        dice = np.random.default_rng(7)
        scene = _texture(dice, self.size_px)
        shape = (NOISE_PICTURES, height_px, width_px, 1)
        noise = dice.normal(0, NOISE_LEVEL, shape).astype(np.float32)
        places = dice.uniform(0, 1, (SUBJECTS, 2))
        speeds = dice.uniform(-0.2, 0.2, (SUBJECTS, 2))
        colours = dice.integers(0, 255, (SUBJECTS, 3))
        side_px = height_px // 6
        for number in range(self.seconds * self.rate):
            picture = scene.copy()
            now = (places + speeds * number / self.rate) % 1
            for (x, y), colour in zip(now, colours, strict=True):
                left, top = int(x * (width_px - side_px)), int(y * (height_px - side_px))
                picture[top : top + side_px, left : left + side_px] = colour
            picture += noise[dice.integers(NOISE_PICTURES)]
            pixels = picture.clip(0, 255).astype(np.uint8)
            yield _numbered(pixels, number)


def number_in(pixels: Pixels) -> int:
    """The number that a picture carries."""
    top = pixels[: pixels.shape[0] // 8].mean(axis=(0, 2))
    blocks = np.array_split(top, BITS)
    return sum(1 << bit for bit, block in enumerate(blocks) if block.mean() > 128)


def _numbered(pixels: Pixels, number: int) -> Pixels:
    height_px, width_px, _ = pixels.shape
    edges = np.linspace(0, width_px, BITS + 1).astype(int)
    for bit, (left, right) in enumerate(pairwise(edges)):
        pixels[: height_px // 8, left:right] = 235 if number >> bit & 1 else 20
    return pixels


def _texture(dice: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Coarse and fine grain, as walls, leaves and roads have."""
    width_px, height_px = size_px
    scene = np.full((height_px, width_px, 3), 128, dtype=np.float32)
    for cell_px, strength in ((64, 60), (16, 25), (4, 10)):
        cells = (height_px // cell_px + 1, width_px // cell_px + 1, 3)
        grain = dice.normal(0, strength, cells).astype(np.float32)
        grown = grain.repeat(cell_px, axis=0).repeat(cell_px, axis=1)
        scene += grown[:height_px, :width_px]
    return scene
