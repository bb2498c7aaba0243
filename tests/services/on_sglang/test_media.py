"""Pictures and video that a request brings along become the frames of clips, or are refused."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from models.layout import StreamLayout
from services.on_sglang import media
from services.on_sglang.media import MOST_CLIPS, clip_of_pictures, clips_of_video
from tests.services.on_sglang.pictures import data_url, mp4, png

LAYOUT = StreamLayout(image_size_px=32, clip_length_s=4, max_frames=4)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:/etc/hostname\n"


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_pictures_are_the_frames_of_one_clip_at_the_layouts_rate() -> None:
    pictures = noise(3, 20, 30)

    clip = clip_of_pictures([png(picture) for picture in pictures], LAYOUT)

    assert np.array_equal(clip.frames, pictures)
    assert clip.times_s == (0.0, 1.0, 2.0)


def test_base64_alone_is_read_as_well() -> None:
    picture = noise(5, 5)

    (frame,) = clip_of_pictures([png(picture).partition(",")[2]], LAYOUT).frames

    assert np.array_equal(frame, picture)


def test_video_is_sampled_and_cut_into_clips() -> None:
    gray_T = np.repeat(np.arange(0, 240, 24, dtype=np.uint8), 5)  # another one each second
    film = np.broadcast_to(gray_T[:, None, None, None], (50, 64, 64, 3))

    clips = clips_of_video(data_url("video/mp4", mp4(film, fps=5)), LAYOUT)

    assert [clip.times_s for clip in clips] == [(0.0, 1.0, 2.0, 3.0)] * 2 + [(0.0, 1.0)]
    seen = [frame.mean() for clip in clips for frame in clip.frames]
    assert seen == pytest.approx(range(0, 240, 24), abs=4)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("http://camera/film.mp4", "is no clip; write clip:"),
        ("file:///etc/hostname", "is no clip; write clip:"),
        ("data:video/mp4;base64,", "of no bytes"),
        (data_url("video/mp4", b"no video"), "cannot be read"),
        (data_url("video/mp4", PLAYLIST), "cannot be read"),
        (data_url("video/mp4", mp4(noise(9, 32, 32), fps=1)[:2000]), "cannot be read"),
    ],
)
@pytest.mark.parametrize("read", [clips_of_video, lambda data, to: clip_of_pictures([data], to)])
def test_what_is_no_picture_and_no_video_is_refused(
    read: Callable[[str, StreamLayout], object], bad: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        read(bad, LAYOUT)


@pytest.mark.parametrize("count", [0, 5])
def test_a_clip_has_no_more_pictures_than_its_layout_and_not_none(count: int) -> None:
    with pytest.raises(ValueError, match="a clip has 1 to 4"):
        clip_of_pictures([png(noise(4, 4))] * count, LAYOUT)


def test_a_video_that_is_too_long_is_refused() -> None:
    length_s = 4 * MOST_CLIPS + 1

    with pytest.raises(ValueError, match=f"at most {4 * MOST_CLIPS} s are read"):
        clips_of_video(data_url("video/mp4", mp4(noise(length_s, 16, 16), fps=1)), LAYOUT)


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MOST_PX", 99)
    with pytest.raises(ValueError, match="a picture of 10 x 10 pixels"):
        clip_of_pictures([png(noise(10, 10))], LAYOUT)

    monkeypatch.setattr(media, "MOST_BYTES", 99)
    with pytest.raises(ValueError, match="of more than"):
        clips_of_video(png(noise(10, 10)), LAYOUT)
