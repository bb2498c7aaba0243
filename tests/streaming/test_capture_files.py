"""What capture makes of recordings: every frame, at its true time, in segments that stand alone."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streaming.decode import Decoding, sampled_frames
from streaming.errors import (
    UnreadableMedia,
)
from streaming.messages import GapReason
from streaming.progress import StreamState
from streaming.sources import parse_source
from tests.conftest import FOOTAGE
from tests.streaming import ffprobe
from tests.streaming.capturing import Outcome, capture, spans
from tests.streaming.media import (
    Recipe,
    film,
    joined,
)
from tests.streaming.sampling_truth import policy as once_a_second

WRAP = 2**33

FILMS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "b-frames.mp4": {"b_frames": 2},
    "b-frames.mkv": {"b_frames": 2, "time_base": Fraction(1, 1000), "ticks": range(0, 4000, 80)},
    "b-frames.avi": {"b_frames": 2, "frames": 100},
    "b-frames.h264": {"b_frames": 3, "frames": 100},
    "sound.mp4": {"audio": "aac"},
    "transport-stream.ts": {"b_frames": 2, "audio": "aac"},
    "late-start.ts": {
        "time_base": Fraction(1, 90_000),
        "ticks": range(900_000, 1_260_000, 6000),
    },
    "wraps-around.ts": {
        "time_base": Fraction(1, 90_000),
        "ticks": range(WRAP - 90_000, WRAP + 270_000, 6000),
    },
    "variable-rate.mp4": {
        "time_base": Fraction(1, 1000),
        "ticks": [0, 40, 100, 101, 300, 900, 1000, 1500, 1900, 2000, 2007, 3400, 3500, 6000],
        "gop": 4,
    },
    "ntsc.mp4": {"rate": Fraction(30_000, 1001), "frames": 120},
    "odd-size.mp4": {"size_px": (191, 107), "pix_fmt": "yuv444p"},
    "slow.mp4": {"rate": Fraction(1), "frames": 20, "gop": 5},
    "fast.mp4": {"rate": Fraction(240), "frames": 480, "gop": 120},
    "large.mp4": {"rate": Fraction(1), "frames": 2, "size_px": (7680, 4320), "gop": 1},
    "every-frame-a-key.mp4": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "h265.mp4": {"codec": "libx265", "frames": 45, "options": {}},
    "vp9.webm": {
        "codec": "libvpx-vp9",
        "time_base": Fraction(1, 1000),
        "ticks": range(0, 3000, 50),
    },
    "vp8.webm": {"codec": "libvpx", "time_base": Fraction(1, 1000), "ticks": range(0, 3000, 50)},
}


@dataclass
class Captured:
    recipe: Recipe
    outcome: Outcome


@pytest.fixture(scope="module", params=FILMS)
def captured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Captured:
    name: str = request.param
    folder = tmp_path_factory.mktemp("films")
    recipe = film(folder / name, **FILMS[name])
    return Captured(recipe, capture(folder / name, folder / "store"))


def test_every_frame_keeps_its_true_time(captured: Captured) -> None:
    recipe, found = captured.recipe, captured.outcome

    frames = found.frames()

    assert found.status.state is StreamState.ENDED
    assert [number for number, _ in frames] == list(range(len(recipe.all_ticks)))
    for (number, media_ns), true_ns in zip(frames, recipe.times_ns, strict=True):
        assert 0 <= media_ns - true_ns <= 1, f"frame {number}"


def test_segments_follow_each_other_without_a_hole(captured: Captured) -> None:
    recipe, found = captured.recipe, captured.outcome

    ends = [0, *(segment.span.end_ns for segment in found.segments)]

    assert [segment.span.start_ns for segment in found.segments] == ends[:-1]
    assert [segment.sequence for segment in found.segments] == list(range(len(found.segments)))
    assert sum(segment.frame_count for segment in found.segments) == len(recipe.all_ticks)
    assert found.gaps == []
    assert found.has_ended
    assert found.status.last_media_ns == ends[-1] > recipe.times_ns[-1]


def test_a_codec_that_mp4_cannot_hold_is_put_in_matroska(tmp_path: Path) -> None:
    film(tmp_path / "a.webm", codec="libvpx", frames=15)

    found = capture(tmp_path / "a.webm", tmp_path / "store")

    assert [Path(segment.uri).suffix for segment in found.segments] == [".mkv"]
    assert found.status.codec == "vp8"


def test_times_that_only_a_decoder_knows_are_said_to_be_so(tmp_path: Path) -> None:
    film(tmp_path / "a.avi", b_frames=2)

    found = capture(tmp_path / "a.avi", tmp_path / "store")

    assert any("by decoding" in warning for warning in found.status.warnings)


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    film(tmp_path / "a.ts", b_frames=2, audio="aac")

    first = capture(tmp_path / "a.ts", tmp_path / "one")
    second = capture(tmp_path / "a.ts", tmp_path / "two")

    assert first.messages == second.messages
    for segment in first.segments:
        with (
            first.store.open_local(segment.uri) as one,
            second.store.open_local(segment.uri) as two,
        ):
            assert one.read_bytes() == two.read_bytes()


def test_frames_without_times_are_reckoned_from_the_frame_rate(tmp_path: Path) -> None:
    recipe = film(tmp_path / "raw.h264")

    found = capture(tmp_path / "raw.h264", tmp_path / "store")

    assert [media_ns for _, media_ns in found.frames()] == recipe.times_ns
    assert any("without times" in warning for warning in found.status.warnings)


def test_time_goes_on_where_stamps_jump_back(tmp_path: Path) -> None:
    recipe = film(tmp_path / "a.ts")
    film(tmp_path / "b.ts", first_number=100)
    joined(tmp_path / "both.ts", tmp_path / "a.ts", tmp_path / "b.ts")

    found = capture(tmp_path / "both.ts", tmp_path / "store")

    interval = Fraction(1_000_000_000, 15)
    assert [number for number, _ in found.frames()] == [*range(60), *range(100, 160)]
    for index, (_, media_ns) in enumerate(found.frames()):
        assert 0 <= media_ns - index * interval <= 2
    assert found.status.clock_jumps == 1
    assert found.gaps == []
    assert recipe.frames == 60


def test_time_that_a_recording_left_out_is_a_gap(tmp_path: Path) -> None:
    unit = Fraction(1, 90_000)
    film(tmp_path / "a.ts", ticks=range(0, 360_000, 6000), time_base=unit)
    film(
        tmp_path / "b.ts", ticks=range(5_400_000, 5_760_000, 6000), first_number=100, time_base=unit
    )
    joined(tmp_path / "both.ts", tmp_path / "a.ts", tmp_path / "b.ts")

    found = capture(tmp_path / "both.ts", tmp_path / "store")

    (gap,) = found.gaps
    assert gap.reason is GapReason.SOURCE_JUMPED
    assert (gap.span.start_ns, gap.span.end_ns) == (4_000_000_000, 60_000_000_000)
    assert dict(found.frames())[100] == 60_000_000_000


def test_a_change_of_picture_size_starts_a_segment(tmp_path: Path) -> None:
    unit = Fraction(1, 90_000)
    film(tmp_path / "a.ts", ticks=range(0, 360_000, 6000), time_base=unit)
    film(
        tmp_path / "b.ts",
        ticks=range(360_000, 720_000, 6000),
        size_px=(128, 72),
        first_number=60,
        time_base=unit,
    )
    joined(tmp_path / "both.ts", tmp_path / "a.ts", tmp_path / "b.ts")

    found = capture(tmp_path / "both.ts", tmp_path / "store")

    sizes = [(segment.width_px, segment.height_px) for segment in found.segments]
    assert sizes == [(192, 108)] * 4 + [(128, 72)] * 4
    assert [number for number, _ in found.frames()] == list(range(120))
    with found.store.open_local(found.segments[4].uri) as path, av.open(str(path)) as container:
        assert container.streams.video[0].width == 128


def test_rotation_travels_along(tmp_path: Path) -> None:
    film(tmp_path / "turned.mp4", rotation=90)

    found = capture(tmp_path / "turned.mp4", tmp_path / "store")

    for segment in found.segments:
        with found.store.open_local(segment.uri) as path, av.open(str(path)) as container:
            assert next(container.decode(video=0)).rotation == 90


@pytest.mark.parametrize("name", ["sound.mp4", "sound.ts"])
def test_sound_stays_in_step_with_the_picture(tmp_path: Path, name: str) -> None:
    film(tmp_path / name, audio="aac")
    with av.open(str(tmp_path / name)) as original:
        video, audio = original.streams.video[0], original.streams.audio[0]
        assert video.time_base is not None and audio.time_base is not None
        assert video.start_time is not None
        zero_s = video.start_time * video.time_base
        true_s = [
            p.pts * audio.time_base - zero_s for p in original.demux(audio) if p.pts is not None
        ]

    found = capture(tmp_path / name, tmp_path / "store")

    kept_s: list[float] = []
    for segment in found.segments:
        with found.store.open_local(segment.uri) as path, av.open(str(path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert video.time_base is not None and audio.time_base is not None
            origin_s = segment.pts_origin * video.time_base
            # the first packet of a fragmented file may be stretched to the file's own zero
            stamps = [p.pts for p in container.demux(audio) if p.pts is not None][1:]
            start_s = Fraction(segment.span.start_ns, 1_000_000_000)
            kept_s += [float(start_s + pts * audio.time_base - origin_s) for pts in stamps]
    assert len(kept_s) > 0.8 * len(true_s)
    assert all(min(abs(kept - true) for true in true_s) < 0.001 for kept in kept_s)


def test_sound_that_mp4_cannot_hold_is_left_out_and_said(tmp_path: Path) -> None:
    film(tmp_path / "phone.avi", audio="pcm_mulaw")

    found = capture(tmp_path / "phone.avi", tmp_path / "store")

    assert found.status.warnings == ("sound is left out: pcm_mulaw does not fit the segments",)
    assert len(found.frames()) == 60


def test_an_open_gop_is_cut_only_where_it_must_be(tmp_path: Path) -> None:
    film(tmp_path / "open.mp4", b_frames=2, open_gop=True, frames=150)

    found = capture(tmp_path / "open.mp4", tmp_path / "store")

    assert [segment.span.duration_s for segment in found.segments] == [3, 3, 3, 1]
    numbers = [number for number, _ in found.frames()]
    lost = set(range(150)) - set(numbers)  # shown before the keyframe that was cut at
    assert len(lost) <= 2 * 3
    assert numbers == sorted(numbers)


def test_video_without_a_keyframe_is_not_readable(tmp_path: Path) -> None:
    film(tmp_path / "whole.ts", frames=30, gop=30)
    with av.open(str(tmp_path / "whole.ts")) as whole, av.open(str(tmp_path / "a.ts"), "w") as out:
        video = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None and not packet.is_keyframe:
                packet.stream = video
                out.mux(packet)

    found = capture(tmp_path / "a.ts", tmp_path / "store")

    assert isinstance(found.status.error, UnreadableMedia)
    assert found.status.state is StreamState.FAILED


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="real footage is not at hand")
@pytest.mark.parametrize("name", ["car-detection.mp4", "one-by-one-person-detection.mp4"])
def test_real_footage_keeps_its_times(tmp_path: Path, name: str) -> None:
    true_s = ffprobe.times_s(FOOTAGE / name)

    found = capture(FOOTAGE / name, tmp_path, policy=None)

    times_ns: list[Fraction] = []
    for segment in found.segments:
        with found.store.open_local(segment.uri) as path, av.open(str(path)) as container:
            base = container.streams.video[0].time_base
        assert base is not None
        shift_s = Fraction(segment.span.start_ns, 1_000_000_000) - segment.pts_origin * base
        with found.store.open_local(segment.uri) as path:
            times_ns += [(at_s + shift_s) * 1_000_000_000 for at_s in stamps_s(path)]
    assert len(times_ns) == len(true_s)
    for media_ns, at_s in zip(times_ns, true_s, strict=True):
        assert 0 <= media_ns - at_s * 1_000_000_000 <= 2
    assert found.gaps == []
    due_s = [next(at_s for at_s in true_s if at_s >= second) for second in range(int(true_s[-1]))]
    sampled_ns = sampled_of(found)[: len(due_s)]
    for media_ns, at_s in zip(sampled_ns, due_s, strict=True):
        assert 0 <= media_ns - at_s * 1_000_000_000 <= 2


def sampled_of(found: Outcome) -> list[int]:
    """Media times of the frames that are looked at, one a second, segment after segment."""
    sampled_ns: list[int] = []
    for segment in found.segments:
        with found.store.open_local(segment.uri) as path:
            frames = sampled_frames(
                path,
                start_ns=segment.span.start_ns,
                pts_origin=segment.pts_origin,
                policy=once_a_second(),
                after_ns=sampled_ns[-1] if sampled_ns else None,
                decoding=Decoding(),
            )
            sampled_ns += [frame.media_ns for frame in frames]
    return sampled_ns


def stamps_s(path: Path) -> list[Fraction]:
    """When each frame of a file is shown, from its packets."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.time_base is not None
        return sorted(p.pts * video.time_base for p in container.demux(video) if p.pts is not None)


def test_file_urls_and_paths_name_the_same_file(tmp_path: Path) -> None:
    film(tmp_path / "with space.mp4", frames=15)
    quoted = str(tmp_path).replace(" ", "%20")

    by_path = capture(tmp_path / "with space.mp4", tmp_path / "one")
    by_url = capture(f"file://{quoted}/with%20space.mp4", tmp_path / "two")

    assert spans(by_path.messages) == spans(by_url.messages)
    assert parse_source("movies/a:b.mp4").scheme == "file"
