"""What moves in one stretch, laid over another clip of the same camera."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.training.composing import Scene, laid_over

SIZE, BLOCK = 32, 6
CLIP, STRETCH = 10, 5
WHITE, NIGHT = 250, 0.5
RNG = np.random.default_rng(0)
STREET = RNG.integers(60, 160, (SIZE, SIZE, 3)).astype(np.float32)
Pixels = NDArray[np.uint8]


def filmed(
    *, pictures: int, row: int | None = None, street: NDArray[np.float32] = STREET, light: float = 1
) -> Pixels:
    """Pictures of a street, along which a block goes in one row from left to right, if in any."""
    shown = np.repeat(street[None], pictures, 0)
    if row is not None:
        for number in range(pictures):
            shown[number, row : row + BLOCK, 2 * number : 2 * number + BLOCK] = WHITE
    return (shown * light).astype(np.uint8)


def scene(pixels: Pixels, *, around: Pixels | None = None) -> Scene:
    calm = filmed(pictures=CLIP) if around is None else around
    return Scene.of(pixels, np.concatenate([pixels, calm, calm]))


def test_what_moves_is_shown_before_the_clip_in_its_light() -> None:
    under = filmed(pictures=CLIP, row=2, light=NIGHT)
    over = scene(filmed(pictures=STRETCH, row=20))

    laid = laid_over(scene(under, around=filmed(pictures=CLIP, light=NIGHT)), over, [3, 0])

    assert laid is not None
    assert laid.first == 3
    is_changed = (laid.pixels_THWC != under).any(-1)
    assert not is_changed[:3].any()
    assert not is_changed[3 + STRETCH :].any()
    for number in range(STRETCH):
        block = laid.pixels_THWC[3 + number, 20 : 20 + BLOCK, 2 * number : 2 * number + BLOCK]
        assert block == pytest.approx(WHITE * NIGHT, abs=6)
        assert not is_changed[3 + number, :16].any()


def test_it_covers_nothing_and_begins_where_it_does_not() -> None:
    clip, over = filmed(pictures=CLIP), scene(filmed(pictures=STRETCH, row=10))
    clip[:STRETCH] = filmed(pictures=STRETCH, row=10)
    under = scene(clip)

    assert laid_over(under, over, [0]) is None
    laid = laid_over(under, over, [0, STRETCH])
    assert laid is not None
    assert laid.first == STRETCH


def test_it_does_not_go_on_after_the_clip() -> None:
    under, over = scene(filmed(pictures=CLIP)), scene(filmed(pictures=STRETCH, row=10))

    assert laid_over(under, over, [CLIP - STRETCH + 1]) is None


def test_another_place_is_refused() -> None:
    elsewhere = RNG.integers(60, 160, (SIZE, SIZE, 3)).astype(np.float32)
    calm = filmed(pictures=CLIP, street=elsewhere)
    over = scene(filmed(pictures=STRETCH, row=10, street=elsewhere), around=calm)

    assert laid_over(scene(filmed(pictures=CLIP)), over, [0]) is None


def test_what_stands_behind_it_in_one_of_the_two_is_refused() -> None:
    parked = STREET.copy()
    parked[8:18, 4:14] = 10
    calm = filmed(pictures=CLIP, street=parked)
    under = scene(calm, around=calm)

    assert laid_over(under, scene(filmed(pictures=STRETCH, row=10)), [0]) is None
    assert laid_over(under, scene(filmed(pictures=STRETCH, row=24)), [0]) is not None


def test_a_camera_that_moves_is_refused() -> None:
    panned = np.stack([np.roll(STREET, 3 * number, 1) for number in range(CLIP)]).astype(np.uint8)
    over = scene(filmed(pictures=STRETCH, row=10))

    assert laid_over(Scene.of(panned, panned), over, [0]) is None
    assert laid_over(scene(filmed(pictures=CLIP)), Scene.of(panned, panned), [0]) is None


def test_what_does_not_move_is_refused() -> None:
    over = scene(filmed(pictures=STRETCH))

    assert laid_over(scene(filmed(pictures=CLIP)), over, [0]) is None
