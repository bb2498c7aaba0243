"""A cut from stored segments is playable, exact, and says what it holds."""

from pathlib import Path

import av
import pytest

from services.capture import CaptureParts, StreamCapture
from services.errors import NothingStored, OutputUnusable, PictureChanges
from services.export import export
from services.registry import NewStream
from services.settings import Settings
from services.wiring import Stores, opened, opened_bus, wall_clock
from streaming.messages import NS_PER_S, Span
from tests.conftest import FOOTAGE
from tests.services.films import FPS
from tests.streaming import ffprobe


def span(start_s: float, end_s: float) -> Span:
    return Span(stream_id="cam", start_ns=round(start_s * NS_PER_S), end_ns=round(end_s * NS_PER_S))


def frame_times_s(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.time_base is not None
        return [
            float(frame.pts * video.time_base)
            for frame in container.decode(video)
            if frame.pts is not None
        ]


@pytest.mark.parametrize(
    ("start_s", "end_s", "first_s", "last_end_s"),
    [
        (13, 17, 13, 17),
        (13.3, 17.5, 13, 17.6),
        (0, 45, 0, 45),
        (7.9, 8.1, 7, 8.2),
        (30, 30.1, 30, 30.2),
        (40, 500, 40, 45),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_begins_at_a_keyframe_and_ends_with_the_range(
    stores: Stores,
    tmp_path: Path,
    start_s: float,
    end_s: float,
    first_s: float,
    last_end_s: float,
    suffix: str,
) -> None:
    out = tmp_path / f"cut{suffix}"
    exported = export(stores.record, stores.footage, span(start_s, end_s), out)

    assert exported.span == span(first_s, last_end_s)
    assert exported.frame_count == round((last_end_s - first_s) * FPS)
    assert exported.gaps == ()
    expected = [number / FPS for number in range(exported.frame_count)]
    assert frame_times_s(out) == pytest.approx(expected, abs=0.001)
    assert [path.name for path in tmp_path.glob("cut*")] == [out.name]


def test_a_gap_stays_as_long_as_it_was_and_is_named(stores: Stores, tmp_path: Path) -> None:
    second = stores.record.segments()[1]
    stores.record.delete_span(second.span)
    out = tmp_path / "cut.mp4"
    exported = export(stores.record, stores.footage, span(0, 30), out)

    assert [(gap.span, gap.reason.value) for gap in exported.gaps] == [(second.span, "not running")]
    times_s = frame_times_s(out)
    assert times_s[-1] == pytest.approx(30 - 1 / FPS, abs=0.001)
    hole_s = second.span.start_ns / NS_PER_S, second.span.end_ns / NS_PER_S
    assert not any(hole_s[0] <= time_s < hole_s[1] for time_s in times_s)


def test_a_range_without_footage_is_refused(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(NothingStored, match="no footage of cam"):
        export(stores.record, stores.footage, span(100, 110), tmp_path / "cut.mp4")


def test_an_existing_file_is_not_overwritten(stores: Stores, tmp_path: Path) -> None:
    out = tmp_path / "cut.mp4"
    out.write_text("dear")

    with pytest.raises(OutputUnusable, match="exists"):
        export(stores.record, stores.footage, span(0, 10), out)
    assert out.read_text() == "dear"


@pytest.mark.parametrize("name", ["cut.txt", "cut", "none/cut.mp4"])
def test_a_place_that_cannot_be_written_is_refused(
    stores: Stores, tmp_path: Path, name: str
) -> None:
    with pytest.raises(OutputUnusable):
        export(stores.record, stores.footage, span(0, 10), tmp_path / name)
    assert list(tmp_path.glob("cut*")) == []


def test_pictures_that_change_their_size_do_not_fit_one_file(
    stores: Stores, tmp_path: Path
) -> None:
    other = stores.record.segments()[1]
    stores.record.put_segment(other.model_copy(update={"width_px": 128}))

    with pytest.raises(PictureChanges, match="export up to"):
        export(stores.record, stores.footage, span(0, 30), tmp_path / "cut.mp4")


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="real footage is not at hand")
def test_a_cut_of_real_footage_keeps_its_times(bare: Settings, tmp_path: Path) -> None:
    original, out = FOOTAGE / "car-detection.mp4", tmp_path / "cut.mp4"
    with opened(bare, make=True) as stores, opened_bus(bare) as bus:
        spec = stores.registry.add(NewStream("cam", str(original)))
        parts = CaptureParts(stores.record, stores.registry, bus, stores.footage, wall_clock())
        StreamCapture(spec, parts).join(60)
        cut = export(stores.record, stores.footage, span(10, 20), out).span

    times_ns = [at_s * NS_PER_S for at_s in ffprobe.times_s(original)]
    within_ns = [at_ns - cut.start_ns for at_ns in times_ns if cut.start_ns <= at_ns < cut.end_ns]
    cut_s = ffprobe.times_s(out)
    assert len(cut_s) == len(within_ns) > 100
    for shown_s, true_ns in zip(cut_s, within_ns, strict=True):
        assert abs(shown_s * NS_PER_S - (true_ns - within_ns[0])) < NS_PER_S / 1000
