"""Sampling gives exactly the frames of a full decode, and decodes less."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from streaming.decode import Decoding, sampled_frames
from streaming.messages import NS_PER_S
from tests.streaming.media import Recipe, add_video, film, numbered_picture
from tests.streaming.sampling_truth import (
    all_frames,
    assert_same,
    first_pts,
    numbers,
    plainly,
    policy,
    sample,
)

STREAMS = {
    "closed groups, no B-frames": Recipe(frames=90, gop=30),
    "closed groups, B-frames": Recipe(frames=90, gop=30, b_frames=3),
    "open groups, B-frames": Recipe(frames=90, gop=30, b_frames=3, open_gop=True),
    "one long group": Recipe(frames=90, gop=250, b_frames=2),
    "keyframes only": Recipe(frames=45, gop=1),
    "a keyframe every second": Recipe(frames=90, gop=15, b_frames=2),
    "a rate that no second holds": Recipe(frames=120, rate=Fraction(30000, 1001), gop=37),
    "MPEG-4": Recipe(frames=60, codec="mpeg4", gop=12),
    "motion JPEG": Recipe(frames=45, codec="mjpeg", pix_fmt="yuvj420p"),
    "VP9": Recipe(frames=45, codec="libvpx-vp9", gop=20),
    "AV1": Recipe(frames=45, codec="libsvtav1", gop=20),
}
H265 = {
    "H.265, closed groups": "keyint=30:bframes=3:open-gop=0",
    "H.265, open groups": "keyint=30:bframes=3:open-gop=1",
    "H.265, temporal layers": "keyint=30:bframes=3:open-gop=0:temporal-layers=3",
}


def encode(path: Path, recipe: Recipe, options: dict[str, str]) -> None:
    """Write a film with the encoder's own options."""
    with av.open(str(path), "w") as output:
        video = add_video(output, recipe)
        video.codec_context.options = options
        for number, ticks in enumerate(recipe.all_ticks):
            picture = numbered_picture(number, recipe.size_px)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = ticks, recipe.unit
            output.mux(video.encode(frame))
        output.mux(video.encode())


@contextmanager
def no_more_urgent() -> Generator[None]:
    """Of root, SVT-AV1 makes the thread that calls it a real-time one, and leaves it so."""
    held, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, held, parameters)


@pytest.fixture(scope="module", params=[*STREAMS, *H265, "intra refresh"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    path = tmp_path_factory.mktemp("streams") / "film.mkv"
    if name in STREAMS:
        with no_more_urgent():
            film(path, STREAMS[name])
    elif name in H265:
        recipe = Recipe(frames=60, codec="libx265")
        encode(path, recipe, {"preset": "ultrafast", "x265-params": f"log-level=0:{H265[name]}"})
    else:
        encode(path, Recipe(frames=60), {"x264-params": "intra-refresh=1:keyint=20:bframes=0"})
    return path


@pytest.mark.parametrize("fps", ["1", "7/3", "1/4", "100"])
def test_the_pictures_are_those_of_a_full_decode(path: Path, fps: str):
    assert_same(list(sample(path, fps)), plainly(path, fps))


def test_several_threads_give_the_same_in_the_same_order(path: Path):
    truth = plainly(path, "7/3")
    for threads in (2, 3):
        assert_same(list(sample(path, "7/3", threads=threads)), truth)


def test_each_picture_is_the_one_whose_time_it_bears(tmp_path: Path):
    recipe = film(tmp_path / "film.mp4", frames=90, gop=30, b_frames=3)
    frames = list(sample(tmp_path / "film.mp4"))
    assert numbers(frames) == [0, 15, 30, 45, 60, 75]
    assert [frame.media_ns for frame in frames] == [recipe.times_ns[n] for n in numbers(frames)]
    assert frames[0].pixels_HWC.shape == (54, 96, 3)
    assert frames[0].pixels_HWC.dtype == np.uint8


def test_keyframes_alone_are_decoded_where_they_suffice(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=90, gop=15, b_frames=2)
    frames = sample(tmp_path / "film.mp4")
    assert numbers(list(frames)) == [0, 15, 30, 45, 60, 75]
    assert frames.counts.packets == 90
    assert frames.counts.fed == frames.counts.decoded == 6


def test_nothing_is_decoded_after_the_last_wanted_frame_of_a_group(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=90, gop=45)
    frames = sample(tmp_path / "film.mp4")
    assert numbers(list(frames)) == [0, 15, 30, 45, 60, 75]
    assert frames.counts.decoded == 2 * 31


def test_a_group_that_holds_no_wanted_frame_is_passed_over(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=90, gop=15)
    frames = sample(tmp_path / "film.mp4", "1/3")
    assert numbers(list(frames)) == [0, 45]
    assert frames.counts.fed == 2


def test_frames_that_no_other_needs_are_not_decoded(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=61, gop=61, b_frames=1)
    frames = sample(tmp_path / "film.mp4", "1/4")
    assert numbers(list(frames)) == [0, 60]
    assert frames.counts.decoded < 40


def test_segments_sampled_one_by_one_give_what_the_whole_gives(tmp_path: Path):
    whole = tmp_path / "whole.mkv"
    film(whole, frames=300, rate=Fraction(30000, 1001), gop=37, b_frames=2)
    truth = plainly(whole, "7/3")
    got: list[tuple[int, int]] = []
    after_ns = None
    for segment in cut_at_keyframes(whole, tmp_path):
        origin = first_pts(segment)
        for frame in sampled_frames(
            segment,
            start_ns=origin * NS_PER_S // 1000,  # Matroska counts milliseconds
            pts_origin=origin,
            policy=policy("7/3"),
            after_ns=after_ns,
            decoding=Decoding(),
        ):
            after_ns = frame.media_ns
            got.append((frame.media_ns, int(frame.pixels_HWC.sum())))
    assert got == [(media_ns, int(pixels.sum())) for media_ns, pixels in truth]


def cut_at_keyframes(whole: Path, folder: Path) -> list[Path]:
    """Copy each group of pictures into a file of its own, with its time stamps."""
    segments: list[Path] = []
    output = None
    with av.open(str(whole)) as container:
        video = container.streams.video[0]
        for packet in container.demux(video):
            if not packet.size:
                continue
            if packet.is_keyframe:
                if output is not None:
                    output.close()
                segments.append(folder / f"{len(segments)}.mkv")
                output = av.open(str(segments[-1]), "w", options={"avoid_negative_ts": "disabled"})
                output.add_stream_from_template(video)
            assert output is not None
            packet.stream = output.streams.video[0]
            output.mux(packet)
    assert output is not None
    output.close()
    return segments


def test_media_time_starts_where_the_segment_says(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=60)
    start_ns = 1234 * NS_PER_S + 400_000_001
    frames = list(sample(tmp_path / "film.mp4", start_ns=start_ns))
    assert frames[0].media_ns == start_ns
    assert [frame.media_ns // NS_PER_S for frame in frames] == [1234, 1235, 1236, 1237, 1238]
    assert numbers(frames) == [0, 9, 24, 39, 54]


def test_frames_before_the_origin_are_outside_the_span(tmp_path: Path):
    film(tmp_path / "film.mkv", frames=60, b_frames=2)
    frames = list(sample(tmp_path / "film.mkv", origin=first_pts(tmp_path / "film.mkv") + 1000))
    assert numbers(frames) == [15, 30, 45]
    assert [frame.media_ns for frame in frames] == [0, NS_PER_S, 2 * NS_PER_S]


def test_variable_frame_rates_are_sampled_by_time(tmp_path: Path):
    times_ms = [0, 40, 90, 999, 1000, 1001, 1700, 4300, 4400, 5000, 9990]
    film(tmp_path / "film.mkv", ticks=times_ms, time_base=Fraction(1, 1000), b_frames=2)
    frames = list(sample(tmp_path / "film.mkv"))
    assert [frame.media_ns // 1_000_000 for frame in frames] == [0, 1000, 4300, 5000, 9990]
    assert numbers(frames) == [times_ms.index(time_ms) for time_ms in (0, 1000, 4300, 5000, 9990)]


@pytest.mark.parametrize("rate", [1, 240])
def test_slow_and_fast_cameras_are_sampled_by_time(tmp_path: Path, rate: int):
    film(tmp_path / "film.mp4", frames=4 * rate, rate=Fraction(rate), gop=8, size_px=(64, 36))
    frames = list(sample(tmp_path / "film.mp4"))
    assert [frame.media_ns for frame in frames] == [n * NS_PER_S for n in range(4)]
    assert numbers(frames) == [n * rate for n in range(4)]


def test_a_unit_too_large_to_hold_is_decoded_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    film(tmp_path / "film.mp4", frames=120, gop=30, b_frames=2)
    monkeypatch.setattr("streaming.units.UNIT_LIMIT_BYTES", 3000)
    for threads in (1, 2):
        frames = sample(tmp_path / "film.mp4", "7/3", threads=threads)
        assert_same(list(frames), plainly(tmp_path / "film.mp4", "7/3"))
        assert frames.counts.fed == 120


def test_a_file_may_be_left_before_its_end(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=90)
    frames = sample(tmp_path / "film.mp4", threads=2)
    assert next(frames).media_ns == 0
    frames.close()
    with pytest.raises(StopIteration):
        next(frames)


def test_no_thread_at_all_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="at least one thread"):
        sample(tmp_path / "film.mp4", origin=0, threads=0)


def test_a_file_without_time_stamps_is_timed_by_the_length_of_its_frames(tmp_path: Path):
    film(tmp_path / "film.h264", frames=60, rate=Fraction(25), gop=25, b_frames=2)
    frames = sample(tmp_path / "film.h264")
    assert numbers(list(frames)) == [0, 25, 50]
    assert frames.counts.without_pts == 60


@pytest.mark.parametrize("copied_to", [None, "mp4", "mkv"])
def test_avi_with_b_frames_is_put_right_even_in_a_copy(tmp_path: Path, copied_to: str | None):
    path = tmp_path / "film.avi"
    film(path, frames=90, gop=30, b_frames=2)
    if copied_to is not None:
        path = copied(path, path.with_suffix(f".{copied_to}"))
    for threads in (1, 2):
        frames = list(sample(path, threads=threads))
        assert numbers(frames) == [0, 15, 30, 45, 60, 75]
        assert [round(frame.media_ns / NS_PER_S, 2) for frame in frames] == [0, 1, 2, 3, 4, 5]


def copied(source: Path, target: Path) -> Path:
    """Put the packets of a file into another container."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        video = container.streams.video[0]
        assert isinstance(video, VideoStream)
        track = output.add_stream_from_template(video)
        for packet in container.demux(video):
            if packet.size:
                packet.stream = track
                output.mux(packet)
    return target


def test_a_copy_of_a_sound_stream_is_not_decoded_twice(tmp_path: Path):
    film(tmp_path / "film.mp4", frames=90, gop=30, b_frames=2)
    frames = sample(tmp_path / "film.mp4")
    list(frames)
    assert frames.counts.fed < 90
    assert frames.counts.repeated == 0
    assert len(all_frames(tmp_path / "film.mp4")) == 90
