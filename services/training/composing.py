"""Footage that was never filmed: what moves in a stretch, laid over another clip of the camera.

A few dozen clips show few things side by side, and what is told beside what is new is soon known
by heart. A camera that stands still sees all that moves before one background, so what it saw at
two times can be shown as if it were one (simple copy-paste, arXiv 2012.07177, section 3; here what
moves is told from the median of pictures over time).

What does not fit is refused: another view, what stands elsewhere or is open in one of the two,
things that would cover each other, a camera that moves.

Pure.

Shape letters:
    T pictures    H, W pixels    C channels
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

LEAST, NOISES = 9.0, 4.0
"""So much, of 255, what moves differs from its background, and so much more than noise does."""
SMOOTHED_PX, AROUND_PX = 3, 3
"""Differences are averaged over so many pixels, and what moves is taken with so many around it."""
OF_SIGMA = 1.4826  # what a median of deviations is to the standard deviation of a normal law
MOST_MOVING = 0.3  # of all pixels, where a camera stands still
MOST_ELSE = 0.03  # of what lies behind what moves, that differs between the two backgrounds
MOST_COVERED, FEWEST_COVERED = 0.2, 12
"""How much may cover each other: of the smaller of the two in a picture, or so many pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Pictures, what stands still in them, and where something moves before that."""

    pixels_THWC: NDArray[np.uint8]
    still_HWC: NDArray[np.float32]
    moving_THW: NDArray[np.bool_]

    @classmethod
    def of(cls, pixels_THWC: NDArray[np.uint8], seen_THWC: NDArray[np.uint8]) -> "Scene":
        """Pictures, of all that were seen in their time."""
        still_HWC = np.median(seen_THWC, axis=0).astype(np.float32)
        return cls(pixels_THWC, still_HWC, _moving(pixels_THWC, still_HWC))


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """Pictures of one scene, from the `first` on with what moves in another."""

    pixels_THWC: NDArray[np.uint8]
    first: int


def laid_over(under: Scene, over: Scene, firsts: Sequence[int]) -> Laid | None:
    """Show what moves in `over` before `under`, in its light, from the first of `firsts` that fits.

    None if none does.
    """
    T, moves_THW, there_THW = len(over.pixels_THWC), over.moving_THW, under.moving_THW
    where_HW = moves_THW.any(0)
    if not where_HW.any() or max(moves_THW.mean(), there_THW.mean()) > MOST_MOVING:
        return None
    light_C = np.median(under.still_HWC / np.maximum(over.still_HWC, 1), axis=(0, 1))
    differs_HW = np.abs(under.still_HWC - light_C * over.still_HWC).max(-1) > LEAST
    if differs_HW[where_HW].mean() > MOST_ELSE:
        return None
    for first in firsts:
        if first + T <= len(there_THW) and _is_free(moves_THW, there_THW[first : first + T]):
            shown_THWC = under.pixels_THWC.copy()
            lit_THWC = np.clip(over.pixels_THWC * light_C, 0, 255).astype(np.uint8)
            shown_THWC[first : first + T][moves_THW] = lit_THWC[moves_THW]
            return Laid(shown_THWC, first)
    return None


def _moving(pixels_THWC: NDArray[np.uint8], still_HWC: NDArray[np.float32]) -> NDArray[np.bool_]:
    off_T1HW = torch.from_numpy(np.abs(pixels_THWC - still_HWC).max(-1))[:, None]
    off_T1HW = functional.avg_pool2d(off_T1HW, SMOOTHED_PX, stride=1, padding=SMOOTHED_PX // 2)
    noise = OF_SIGMA * float(off_T1HW.median())
    found_T1HW = (off_T1HW > max(LEAST, NOISES * noise)).float()
    found_T1HW = functional.max_pool2d(found_T1HW, AROUND_PX, stride=1, padding=AROUND_PX // 2)
    return found_T1HW[:, 0].bool().numpy()


def _is_free(moves_THW: NDArray[np.bool_], there_THW: NDArray[np.bool_]) -> bool:
    """Whether the two hardly cover each other, in any picture."""
    covered_T = (moves_THW & there_THW).sum((1, 2))
    smaller_T = np.minimum(moves_THW.sum((1, 2)), there_THW.sum((1, 2)))
    return bool((covered_T <= np.maximum(MOST_COVERED * smaller_T, FEWEST_COVERED)).all())
