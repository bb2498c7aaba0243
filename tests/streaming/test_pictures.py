"""Pictures stand upright and have the colours that the camera saw."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from streaming.pictures import Orientation, PictureMaker
from tests.streaming.media import film
from tests.streaming.sampling_truth import numbers, sample

ONE = 1 << 16
CORNERS = np.array([[10, 80], [150, 220]], dtype=np.uint8)  # grey of each quarter


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("stored_as", "upright"),
    [
        ((1, 0, 0, 1), [[10, 80], [150, 220]]),
        ((0, 1, -1, 0), [[150, 10], [220, 80]]),  # a quarter turn to the right
        ((-1, 0, 0, -1), [[220, 150], [80, 10]]),
        ((0, -1, 1, 0), [[80, 220], [10, 150]]),  # a quarter turn to the left
        ((-1, 0, 0, 1), [[80, 10], [220, 150]]),
        ((1, 0, 0, -1), [[150, 220], [10, 80]]),
        ((0, 1, 1, 0), [[10, 150], [80, 220]]),
        ((0, -1, -1, 0), [[220, 80], [150, 10]]),
    ],
)
def test_a_display_matrix_is_undone(stored_as: tuple[int, int, int, int], upright: list[list[int]]):
    stored_HWC = np.repeat(CORNERS[:, :, None], 3, axis=2)
    turned = Orientation.of_matrix(matrix(*stored_as)).upright(stored_HWC)
    assert turned[:, :, 0].tolist() == upright


def test_a_turn_between_quarters_goes_to_the_nearest():
    slightly = struct.pack("=5i", ONE, 3000, 0, -3000, ONE)
    assert Orientation.of_matrix(slightly) == Orientation.of_matrix(matrix(1, 0, 0, 1))


@pytest.mark.parametrize("degrees", [90, 180, 270, -90])
def test_a_turned_film_is_sampled_upright(tmp_path: Path, degrees: int):
    film(tmp_path / "turned.mp4", frames=30, rotation=degrees)
    film(tmp_path / "plain.mp4", frames=30)
    turned = list(sample(tmp_path / "turned.mp4", size_px=(54, 96)))
    plain = list(sample(tmp_path / "plain.mp4", size_px=(96, 54)))
    assert numbers(plain) == [0, 15]
    for one, other in zip(turned, plain, strict=True):
        assert one.pixels_HWC.shape == (96, 54, 3)
        if abs(degrees) != 180:
            quarters = {90: 1, 270: 3, -90: 3}[degrees]
            np.testing.assert_array_equal(np.rot90(other.pixels_HWC, quarters), one.pixels_HWC)


def frame_of(rgb: tuple[int, int, int], space: Colorspace, span: ColorRange) -> VideoFrame:
    picture = np.full((64, 64, 3), rgb, dtype=np.uint8)
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=space, dst_color_range=span
    )


@pytest.mark.parametrize("span", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("space", [Colorspace.ITU601, Colorspace.ITU709, Colorspace.BT2020])
@pytest.mark.parametrize("rgb", [(200, 30, 30), (30, 200, 30), (255, 255, 255), (0, 0, 0)])
def test_colours_are_those_that_were_encoded(
    rgb: tuple[int, int, int], space: Colorspace, span: ColorRange
):
    frame = frame_of(rgb, space, span)
    pixels_HWC = PictureMaker((16, 16)).picture(frame)
    assert np.abs(pixels_HWC.astype(int) - np.array(rgb)).max() <= 6


def test_shrinking_averages_all_that_it_covers():
    picture = np.zeros((128, 128, 3), dtype=np.uint8)
    picture[::2] = 200  # every other row
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    pixels_HWC = PictureMaker((8, 8)).picture(frame)
    assert np.abs(pixels_HWC.astype(int) - 100).max() <= 2
