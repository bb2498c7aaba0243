"""Frames to pixel tensors: the only copy of this step, for worker, trainer and server alike.

The decoder usually delivers frames at the tower's size already (area averaging in swscale, on the
YUV picture, is cheaper); frames of another size are averaged down here in the same way.

Shape letters:
    T frames    H, W pixels    S pixels a side of the tower's square input
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.errors import UnusableFrames


def to_pixels(frames_THWC: NDArray[np.uint8], *, size_px: int) -> Tensor:
    """Return float32 pixels in [-1, 1], shape (T, 3, S, S).

    Raises:
        UnusableFrames: not (T, H, W, 3) with at least one pixel.
    """
    if frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3 or 0 in frames_THWC.shape:
        raise UnusableFrames(frames_THWC.shape)
    pixels = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).float()
    if pixels.shape[-2:] != (size_px, size_px):
        pixels = functional.interpolate(pixels, (size_px, size_px), mode="area")
    return pixels / 127.5 - 1
