"""Whatever a file is, sampling gives the frames it can, or one error that names it and says why."""

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streaming.errors import (
    DamagedVideo,
    EmptyMedia,
    MediaError,
    NoVideoTrack,
    UnreadableMedia,
    UnsupportedCodec,
)
from streaming.messages import NS_PER_S
from tests.streaming.media import cut_short, damaged, film, joined, sound_only
from tests.streaming.sampling_truth import assert_same, first_pts, numbers, plainly, sample

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def missing(path: Path) -> None:
    pass


def directory(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("This is not a video. " * 500)


def without_index(path: Path) -> None:
    film(path.with_name("whole.mp4"))
    cut_short(path.with_name("whole.mp4"), path, at=0.5)


def unknown_codec(path: Path) -> None:
    film(path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))


def nothing_but_damage(path: Path) -> None:
    film(path, options=FRAGMENTED)
    overwrite(path, packets_of(path))


def refused_by_the_decoder(path: Path) -> None:
    film(path, codec="mjpeg", pix_fmt="yuvj420p", gop=1)
    overwrite(path, packets_of(path))


def no_pictures(path: Path) -> None:
    film(path, options=FRAGMENTED)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])


def packets_of(path: Path) -> list[tuple[int, int]]:
    """Where in a file each packet lies: (position, size)."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [(p.pos, p.size) for p in packets if p.size and p.pos is not None]


def overwrite(path: Path, packets: list[tuple[int, int]]) -> None:
    """Put zeros where packets were."""
    data = bytearray(path.read_bytes())
    for position, size in packets:
        data[position : position + size] = bytes(size)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (missing, UnreadableMedia, "No such file"),
        (directory, UnreadableMedia, "Is a directory"),
        (empty, EmptyMedia, "zero bytes"),
        (text, UnreadableMedia, "Invalid data"),
        (without_index, UnreadableMedia, "Invalid data"),
        (unknown_codec, UnsupportedCodec, "codec"),
        (sound_only, NoVideoTrack, "audio"),
        (nothing_but_damage, DamagedVideo, "none of 60 packets is a keyframe"),
        (refused_by_the_decoder, DamagedVideo, "no picture of it"),
        (no_pictures, DamagedVideo, "no pictures"),
    ],
)
def test_a_file_that_gives_nothing_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], None], error: type[MediaError], reason: str
):
    path = tmp_path / "film.mp4"
    make(path)
    with pytest.raises(error, match=reason) as raised:
        list(sample(path, origin=0))
    assert str(path) in str(raised.value)


def test_a_file_is_opened_as_a_file_whatever_its_name_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    film(tmp_path / "film.mp4")
    monkeypatch.chdir(tmp_path)
    path = Path("http:film.mp4")
    Path("film.mp4").rename(path)
    assert len(list(sample(path, origin=0))) == 4


def test_a_file_cut_short_gives_what_it_holds(tmp_path: Path):
    film(tmp_path / "whole.mp4", frames=90, gop=15, options={"movflags": "faststart"})
    cut_short(tmp_path / "whole.mp4", tmp_path / "film.mp4", at=0.6)
    frames = sample(tmp_path / "film.mp4", origin=first_pts(tmp_path / "whole.mp4"))
    got = numbers(list(frames))
    assert got == [0, 15, 30, 45, 60, 75][: len(got)]
    assert 2 <= len(got) < 6
    assert frames.counts.damaged > 0


def test_a_file_without_its_beginning_starts_at_its_first_keyframe(tmp_path: Path):
    film(tmp_path / "whole.ts", frames=90, gop=30, container="mpegts")
    data = (tmp_path / "whole.ts").read_bytes()
    packets = packets_of(tmp_path / "whole.ts")
    cut = packets[10][0] // 188 * 188
    (tmp_path / "film.ts").write_bytes(data[: 3 * 188] + data[cut:])
    frames = list(sample(tmp_path / "film.ts", origin=first_pts(tmp_path / "whole.ts")))
    assert numbers(frames) == [30, 45, 60, 75]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_next_good_frame_stands_for_a_lost_one(tmp_path: Path, threads: int):
    path = tmp_path / "film.mp4"
    film(path, frames=60, codec="mjpeg", pix_fmt="yuvj420p", gop=1)
    overwrite(path, packets_of(path)[15:18])
    frames = sample(path, threads=threads)
    assert numbers(list(frames)) == [0, 18, 30, 45]


def test_what_leans_on_a_lost_frame_is_lost_with_it(tmp_path: Path):
    path = tmp_path / "film.mp4"
    film(path, frames=60, gop=25, codec="libvpx-vp9")
    overwrite(path, packets_of(path)[28:29])
    frames = sample(path)
    assert numbers(list(frames)) == [0, 15, 50]
    assert frames.counts.repeated == 1


def test_damage_in_one_group_leaves_the_others_as_they_were(tmp_path: Path):
    path = tmp_path / "film.mkv"
    film(path, frames=90, gop=15)
    truth = plainly(path)
    overwrite(path, packets_of(path)[30:45])
    for threads in (1, 2):
        assert_same(list(sample(path, threads=threads)), [*truth[:2], *truth[3:]])


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi"])
def test_random_damage_raises_nothing_but_media_errors(tmp_path: Path, container: str):
    film(tmp_path / "whole", frames=45, gop=15, b_frames=2, container=container)
    whole = (tmp_path / "whole").read_bytes()
    path = tmp_path / "film"
    dice = random.Random(container)
    for flips in [1, 3, 10, 30, 100, 300, 1000] * 3:
        data = bytearray(whole)
        for _ in range(flips):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(bytes(data))
        try:
            frames = list(sample(path, "3", origin=0, threads=dice.choice((1, 2))))
        except MediaError as error:
            assert str(path) in str(error)
        else:
            times_ns = [frame.media_ns for frame in frames]
            assert times_ns == sorted(set(times_ns))


def test_a_damaged_stretch_is_counted(tmp_path: Path):
    film(tmp_path / "whole.ts", frames=90, gop=15, container="mpegts")
    damaged(tmp_path / "whole.ts", tmp_path / "film.ts", at=0.4, length=3000)
    frames = sample(tmp_path / "film.ts", origin=first_pts(tmp_path / "whole.ts"))
    assert len(list(frames)) >= 4
    assert frames.counts.damaged > 0


def test_the_size_may_change_in_mid_stream(tmp_path: Path):
    film(tmp_path / "small.ts", frames=30, size_px=(192, 108), container="mpegts")
    film(
        tmp_path / "large.ts",
        ticks=range(30, 60),
        time_base=Fraction(1, 15),
        size_px=(320, 180),
        first_number=30,
        container="mpegts",
    )
    joined(tmp_path / "film.ts", tmp_path / "small.ts", tmp_path / "large.ts")
    frames = list(sample(tmp_path / "film.ts"))
    assert numbers(frames) == [0, 15, 30, 45]
    assert {frame.pixels_HWC.shape for frame in frames} == {(54, 96, 3)}


def test_time_that_jumps_back_gives_no_frame_twice(tmp_path: Path):
    film(tmp_path / "one.ts", frames=45, container="mpegts")
    film(tmp_path / "two.ts", frames=75, first_number=100, container="mpegts")
    joined(tmp_path / "film.ts", tmp_path / "one.ts", tmp_path / "two.ts")
    frames = list(sample(tmp_path / "film.ts"))
    assert numbers(frames) == [0, 15, 30, 145, 160]
    assert [frame.media_ns // NS_PER_S for frame in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("size_px", "codec", "pix_fmt"),
    [
        ((1, 1), "ffv1", "yuv444p"),
        ((1, 1), "mjpeg", "yuvj420p"),
        ((2, 2), "libx264", "yuv420p"),
        ((97, 31), "libx264", "yuv444p"),
        ((33, 97), "ffv1", "yuv420p"),
        ((192, 108), "libx264", "yuv420p10le"),
        ((192, 108), "libx264", "yuv422p10le"),
        ((192, 108), "ffv1", "gray"),
        ((192, 108), "ffv1", "bgra"),
        ((192, 108), "ffv1", "gray16le"),
        ((7680, 4320), "libx264", "yuv420p"),
        ((4096, 16), "libx264", "yuv420p"),
    ],
)
def test_pictures_of_any_shape_and_depth_come_out_at_the_size_asked(
    tmp_path: Path, size_px: tuple[int, int], codec: str, pix_fmt: str
):
    path = tmp_path / "film.mkv"
    film(path, frames=2, rate=Fraction(1), size_px=size_px, codec=codec, pix_fmt=pix_fmt)
    frames = list(sample(path))
    assert [frame.media_ns for frame in frames] == [0, NS_PER_S]
    for frame in frames:
        assert frame.pixels_HWC.shape == (54, 96, 3)
        assert frame.pixels_HWC.flags.c_contiguous
    if min(size_px) > 30:
        assert numbers(frames) == [0, 1]


def test_a_still_image_is_one_frame(tmp_path: Path):
    path = tmp_path / "still.png"
    with av.open(str(path), "w", format="image2") as output:
        video = output.add_stream("png", rate=1)
        video.width, video.height, video.pix_fmt = 64, 48, "rgb24"
        picture = np.full((48, 64, 3), 200, dtype=np.uint8)
        output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode())
    [frame] = sample(path, origin=0)
    assert (frame.pixels_HWC == 200).all()
