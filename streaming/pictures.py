"""Make the picture that the model looks at of a decoded frame: upright, RGB, of one size.

Scaling is swscale's area averaging, which loses nothing small when it shrinks. The shape is not
kept: the picture is stretched to the asked size, and the model side knows the layout. Colours
follow what the stream says of its colour space and range.

Orientation follows the container's display matrix, to the nearest quarter turn, mirrored or not.
"""

import struct
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Orientation:
    """What brings a stored picture upright: swap its axes first, then mirror."""

    swaps_axes: bool
    mirrors_rows: bool
    mirrors_columns: bool

    @classmethod
    def of_matrix(cls, matrix: bytes) -> Self:
        """Read a display matrix: nine int32, of which a b / c d turn (x, y) into
        (a x + c y, b x + d y), with y pointing down."""
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(swaps_axes=False, mirrors_rows=d < 0, mirrors_columns=a < 0)
        return cls(swaps_axes=True, mirrors_rows=b < 0, mirrors_columns=c < 0)

    def upright(self, stored_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture_HWC = stored_HWC.transpose(1, 0, 2) if self.swaps_axes else stored_HWC
        if self.mirrors_rows:
            picture_HWC = picture_HWC[::-1]
        if self.mirrors_columns:
            picture_HWC = picture_HWC[:, ::-1]
        return np.ascontiguousarray(picture_HWC)


UPRIGHT = Orientation(swaps_axes=False, mirrors_rows=False, mirrors_columns=False)


class PictureMaker:
    """Makes one picture after another with one scaler, as setting one up costs as much as its
    use. For one thread.

    size_px   (width, height) of every picture made
    """

    def __init__(self, size_px: tuple[int, int]) -> None:
        self._size_px = size_px
        self._scaler = VideoReformatter()

    def picture(self, frame: VideoFrame) -> NDArray[np.uint8]:
        orientation = orientation_of(frame)
        width_px, height_px = self._size_px
        if orientation.swaps_axes:
            width_px, height_px = height_px, width_px
        scaled = self._scaler.reformat(
            frame, width_px, height_px, "rgb24", interpolation=Interpolation.AREA, threads=1
        )
        return orientation.upright(cast("NDArray[np.uint8]", scaled.to_ndarray()))


def orientation_of(frame: VideoFrame) -> Orientation:
    """How the frame is to be turned to stand upright."""
    if "DISPLAYMATRIX" not in frame.side_data:
        return UPRIGHT
    return Orientation.of_matrix(bytes(frame.side_data["DISPLAYMATRIX"]))
