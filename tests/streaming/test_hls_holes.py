"""What an HLS playlist no longer lists is missed, and a picture that stands still is not.

The wall clock of these tests moves only while capture waits to connect again.
"""

from fractions import Fraction
from pathlib import Path
from threading import Event

import pytest

from streaming.messages import NS_PER_S, GapReason
from tests.streaming.capturing import TurnedClock, leaves_no_instant_out, watch
from tests.streaming.media import film, fragments, pieces, pieces_of_one
from tests.streaming.servers import LivePlaylist, http_server


@pytest.mark.parametrize("missed", [1, 4, 20])
@pytest.mark.parametrize("are_fragments", [False, True], ids=["ts", "fmp4"])
def test_what_a_playlist_lists_no_more_when_it_is_read_again_is_a_gap(
    tmp_path: Path, missed: int, are_fragments: bool
) -> None:
    if are_fragments:
        head, filmed = fragments(tmp_path, count=9 + missed, first_tick=900_000)
    else:
        head, filmed = None, pieces(tmp_path, count=9 + missed, first_tick=900_000)
    at_once = 3 + missed  # three of which are listed
    camera = LivePlaylist(
        *filmed[:3],
        to_come=[filmed[3], filmed[4 : 4 + at_once], *filmed[4 + at_once :], None],
        head=head,
    )
    clock, stop = TurnedClock(), Event()
    clock.at(1, stop.set)

    with http_server(camera.answer) as base:
        found = watch(f"{base}/live.m3u8", tmp_path / "store", clock, stop)

    (gap,) = (one for one in found.gaps if one.span.start_ns)
    assert gap.reason is GapReason.SOURCE_JUMPED
    assert gap.span.duration_s == pytest.approx(missed, abs=1e-8)
    begun_ns = found.frames()[0][1]
    for number, media_ns in found.frames():
        assert abs(media_ns - begun_ns - number * NS_PER_S // 15) <= 2
        assert not gap.span.overlaps(media_ns, media_ns + 1)
    assert len(found.frames()) == 15 * (len(filmed) - missed)
    assert leaves_no_instant_out(found)


def test_a_piece_that_begins_with_no_keyframe_is_missed_too(tmp_path: Path) -> None:
    filmed = pieces_of_one(tmp_path, count=14, first_tick=900_000, gop=60)
    camera = LivePlaylist(*filmed[:3], to_come=[filmed[3:5], filmed[5:10], *filmed[10:], None])
    clock, stop = TurnedClock(), Event()
    clock.at(1, stop.set)

    with http_server(camera.answer) as base:
        found = watch(f"{base}/live.m3u8", tmp_path / "store", clock, stop)

    (gap,) = (one for one in found.gaps if one.span.start_ns)
    assert gap.reason is GapReason.SOURCE_JUMPED
    begun_ns = found.frames()[0][1]
    assert gap.span.start_ns - begun_ns == pytest.approx(5 * NS_PER_S, abs=2)
    assert gap.span.end_ns - begun_ns == pytest.approx(8 * NS_PER_S, abs=2), "to a keyframe"
    assert [number for number, _ in found.frames()] == [*range(75), *range(120, 210)]
    for number, media_ns in found.frames():
        assert abs(media_ns - begun_ns - number * NS_PER_S // 15) <= 2
    assert leaves_no_instant_out(found)


def test_a_picture_that_stands_still_is_no_piece_that_was_missed(tmp_path: Path) -> None:
    """A picture comes late within a piece, then in time, then late again at its end."""
    ticks = [900_000 + 6000 * frame for frame in (*range(10), *range(25, 30), *range(50, 52))]
    still = tmp_path / "still.ts"
    film(still, ticks=ticks, time_base=Fraction(1, 90_000), gop=len(ticks))
    after = pieces(tmp_path, count=3, first_tick=900_000 + 6000 * 52, first_number=len(ticks))
    camera, clock, stop = LivePlaylist(still, to_come=[*after, None]), TurnedClock(), Event()
    clock.at(1, stop.set)

    with http_server(camera.answer) as base:
        found = watch(f"{base}/live.m3u8", tmp_path / "store", clock, stop)

    begun_ns = found.frames()[0][1]
    shown_ns = [begun_ns + (tick - ticks[0]) * NS_PER_S // 90_000 for tick in ticks]
    assert [number for number, _ in found.frames()] == list(range(len(ticks) + 45))
    for (_, media_ns), true_ns in zip(found.frames(), shown_ns, strict=False):
        assert abs(media_ns - true_ns) <= 2
    assert {gap.reason for gap in found.gaps} <= {GapReason.NOT_RUNNING, GapReason.UNREACHABLE}
    assert leaves_no_instant_out(found)
