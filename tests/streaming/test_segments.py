"""A segment file describes itself, and is cut where the rules say."""

from pathlib import Path

import pytest

from streaming.cutter import CutPolicy
from streaming.errors import UnreadableMedia
from streaming.messages import GapReason
from streaming.segments import read_segment
from tests.streaming.capturing import EPOCH_AT, capture
from tests.streaming.media import film


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_a_stored_segment_says_the_message_that_was_published(tmp_path: Path, name: str) -> None:
    film(tmp_path / name, frames=30, codec="libvpx" if name.endswith("webm") else "libx264")

    found = capture(tmp_path / name, tmp_path / "store")

    for segment in found.segments:
        with found.store.open_local(segment.uri) as path:
            ready, facts = read_segment(path, uri=segment.uri, size_bytes=path.stat().st_size)
        assert ready == segment
        assert facts.epoch_at == EPOCH_AT
        assert facts.after_gap is None


def test_other_films_are_no_segments(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=15)
    (tmp_path / "b.mp4").write_bytes(b"half a segm")

    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(UnreadableMedia):
            read_segment(tmp_path / name, uri=name, size_bytes=1)


def test_cuts_lie_at_the_first_keyframe_after_the_least_length(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=150, gop=20)
    policy = CutPolicy(min_s=2.0, open_gop_max_s=4.0)

    found = capture(tmp_path / "a.mp4", tmp_path / "store", policy=policy)

    assert [segment.frame_count for segment in found.segments] == [40, 40, 40, 30]


def test_recordings_get_longer_segments_than_cameras(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=20 * 15)

    at_once = capture(tmp_path / "a.mp4", tmp_path / "one", policy=None)
    paced = capture(tmp_path / "a.mp4", tmp_path / "two", policy=None, realtime=True)

    assert [segment.span.duration_s for segment in at_once.segments] == [8, 8, 4]
    assert [segment.span.duration_s for segment in paced.segments] == [2] * 10


def test_a_group_of_pictures_that_never_ends_is_cut_off_at_its_bound(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=90, gop=45)
    policy = CutPolicy(min_s=1.0, open_gop_max_s=3.0, max_bytes=4000)

    found = capture(tmp_path / "a.mp4", tmp_path / "store", policy=policy)

    assert {0, 45} <= {number for number, _ in found.frames()}
    assert found.status.dropped_packets > 0
    assert {gap.reason for gap in found.gaps} == {GapReason.CORRUPT}
    assert found.segments[1].span.start_ns == 3_000_000_000
