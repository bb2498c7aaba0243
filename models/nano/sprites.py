"""The subjects of the small world as sprites, from ellipses and rectangles.

Each is drawn four times too large, averaged down, and kept for every size it is asked for in.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RGB_OF = {
    "red": (222, 38, 38),
    "green": (36, 176, 58),
    "blue": (38, 78, 226),
    "yellow": (242, 214, 36),
    "white": (242, 242, 242),
    "purple": (156, 52, 196),
}
DARK, SKIN, METAL, BOX_RGB = (28, 28, 30), (205, 160, 130), (110, 112, 118), (176, 106, 40)
TAPE_RGB = (120, 66, 20)
CREAM_RGB, MAROON_RGB = (236, 222, 180), (122, 24, 44)
FLAME_RGB, EMBER_RGB = (255, 112, 12), (255, 226, 96)
SUPERSAMPLING = 4
BODY = None
"""Stands for the subject's own colour."""

Part = tuple[str, float, float, float, float, tuple[int, int, int] | None]
PARTS: dict[str, tuple[Part, ...]] = {
    # (shape, x0, y0, x1, y1, colour) in the subject's own unit square, facing right
    "person": (
        ("box", 0.26, 0.66, 0.45, 1.0, DARK),
        ("box", 0.55, 0.66, 0.74, 1.0, DARK),
        ("box", 0.12, 0.30, 0.88, 0.72, BODY),
        ("oval", 0.27, 0.0, 0.73, 0.32, SKIN),
        ("box", 0.27, 0.0, 0.73, 0.10, BODY),
    ),
    "dog": (
        *(("box", x, 0.62, x + 0.10, 1.0, BODY) for x in (0.10, 0.26, 0.60, 0.76)),
        ("oval", 0.04, 0.28, 0.86, 0.76, BODY),
        ("oval", 0.68, 0.02, 1.0, 0.50, BODY),
        ("box", 0.0, 0.05, 0.08, 0.48, BODY),
        ("oval", 0.84, 0.16, 0.92, 0.28, DARK),
    ),
    "robot": (
        ("box", 0.10, 0.86, 0.90, 1.0, METAL),
        ("box", 0.16, 0.34, 0.84, 0.86, BODY),
        ("box", 0.0, 0.42, 0.12, 0.76, METAL),
        ("box", 0.88, 0.42, 1.0, 0.76, METAL),
        ("box", 0.24, 0.06, 0.76, 0.32, METAL),
        ("box", 0.34, 0.13, 0.66, 0.22, DARK),
        ("box", 0.47, 0.0, 0.53, 0.08, METAL),
    ),
    "car": (
        ("oval", 0.18, 0.0, 0.80, 0.84, BODY),
        ("box", 0.0, 0.40, 1.0, 0.84, BODY),
        ("box", 0.34, 0.14, 0.62, 0.38, DARK),
        ("oval", 0.10, 0.64, 0.32, 1.0, DARK),
        ("oval", 0.68, 0.64, 0.90, 1.0, DARK),
    ),
    "truck": (
        ("box", 0.0, 0.0, 0.68, 0.80, BODY),
        ("box", 0.71, 0.28, 1.0, 0.80, METAL),
        ("box", 0.82, 0.36, 0.97, 0.54, DARK),
        *(("oval", x, 0.68, x + 0.18, 1.0, DARK) for x in (0.06, 0.36, 0.76)),
    ),
    "ball": (
        ("oval", 0.0, 0.0, 1.0, 1.0, BODY),
        ("box", 0.0, 0.44, 1.0, 0.56, DARK),
    ),
    "drone": (
        ("box", 0.08, 0.22, 0.92, 0.36, DARK),
        ("box", 0.0, 0.0, 0.36, 0.18, METAL),
        ("box", 0.64, 0.0, 1.0, 0.18, METAL),
        ("oval", 0.26, 0.12, 0.74, 0.96, BODY),
    ),
    "tram": (
        ("box", 0.0, 0.10, 1.0, 0.90, CREAM_RGB),
        ("box", 0.0, 0.58, 1.0, 0.90, MAROON_RGB),
        *(("box", x, 0.20, x + 0.12, 0.50, DARK) for x in (0.04, 0.20, 0.36, 0.52, 0.68, 0.84)),
        ("box", 0.40, 0.0, 0.60, 0.10, METAL),
        *(("oval", x, 0.80, x + 0.10, 1.0, DARK) for x in (0.10, 0.24, 0.66, 0.80)),
    ),
    "fire": (
        *(
            ("oval", x, y, x + 0.40, 1.0, FLAME_RGB)
            for x, y in ((0.0, 0.36), (0.30, 0.0), (0.60, 0.24))
        ),
        *(
            ("oval", x, y, x + 0.22, 1.0, EMBER_RGB)
            for x, y in ((0.10, 0.60), (0.40, 0.40), (0.68, 0.56))
        ),
    ),
    "box": (
        ("box", 0.0, 0.0, 1.0, 1.0, BODY),
        ("box", 0.42, 0.0, 0.58, 1.0, TAPE_RGB),
        ("box", 0.0, 0.42, 1.0, 0.58, TAPE_RGB),
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """Premultiplied colour and cover, both float32 in [0, 1] times 255 and [0, 1]."""

    rgb_HWC: NDArray[np.float32]
    cover_HW1: NDArray[np.float32]


@lru_cache(maxsize=1024)
def sprite(kind: str, colour: str, width_px: int, height_px: int, rightwards: bool) -> Sprite:
    """Draw a subject once for each size."""
    body = RGB_OF.get(colour, BOX_RGB)
    H, W = height_px * SUPERSAMPLING, width_px * SUPERSAMPLING
    rgb = np.zeros((H, W, 3), np.float32)
    cover = np.zeros((H, W, 1), np.float32)
    y, x = np.mgrid[0:H, 0:W]
    x, y = (x + 0.5) / W, (y + 0.5) / H
    for shape, x0, y0, x1, y1, part_rgb in PARTS[kind]:
        if shape == "box":
            inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        else:
            middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
            inside = ((x - middle_x) / (x1 - middle_x)) ** 2 + (
                (y - middle_y) / (y1 - middle_y)
            ) ** 2 <= 1
        rgb[inside], cover[inside] = part_rgb or body, 1
    small = (height_px, SUPERSAMPLING, width_px, SUPERSAMPLING, -1)
    rgb, cover = rgb.reshape(small).mean((1, 3)), cover.reshape(small).mean((1, 3))
    return Sprite(*(a if rightwards else np.ascontiguousarray(a[:, ::-1]) for a in (rgb, cover)))
