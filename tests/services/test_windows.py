"""Clips depend on media time alone: not on how segments were cut, nor on where work resumed."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from services.windows import ClipCollector, CollectedClip
from streaming.messages import NS_PER_S, Span
from streaming.unit_decoder import Frame

LENGTH_NS = 10 * NS_PER_S
PIXEL = np.zeros((1, 1, 3), dtype=np.uint8)


def span(start_s: float, end_s: float) -> Span:
    return Span(stream_id="a", start_ns=ns(start_s), end_ns=ns(end_s))


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def frames(times_s: Sequence[float]) -> list[Frame]:
    return [Frame(PIXEL, ns(time_s)) for time_s in times_s]


def every_second(start_s: float, end_s: float) -> list[Frame]:
    return frames([second for second in range(1000) if start_s <= second < end_s])


def collector(done_until_s: float = 0) -> ClipCollector:
    return ClipCollector("a", LENGTH_NS, done_until_ns=ns(done_until_s))


def shown(clips: Sequence[CollectedClip]) -> list[tuple[float, float, list[float]]]:
    return [
        (
            clip.span.start_ns / NS_PER_S,
            clip.span.end_ns / NS_PER_S,
            [frame.media_ns / NS_PER_S for frame in clip.frames],
        )
        for clip in clips
    ]


def test_a_clip_is_complete_once_footage_reaches_the_end_of_its_window() -> None:
    clips = collector()

    assert clips.feed(span(0, 8), every_second(0, 8), offset=0) == []
    (clip,) = clips.feed(span(8, 12), every_second(8, 12), offset=1)

    assert shown([clip]) == [(0, 10, list(range(10)))]
    assert clips.needs_offset == 1


def test_nothing_is_needed_where_a_segment_ends_with_its_window() -> None:
    clips = collector()

    assert len(clips.feed(span(0, 10), every_second(0, 10), offset=4)) == 1
    assert clips.needs_offset is None


def test_a_long_segment_completes_several_clips() -> None:
    clips = collector().feed(span(3, 35), every_second(3, 35), offset=0)

    assert [(start, end) for start, end, _ in shown(clips)] == [(3, 10), (10, 20), (20, 30)]


def test_a_gap_ends_a_clip_and_begins_another_in_the_same_window() -> None:
    clips = collector()

    first = clips.feed(span(0, 4), every_second(0, 4), offset=0)
    second = clips.feed(span(7, 12), every_second(7, 12), offset=1)

    assert shown([*first, *second]) == [(0, 4, [0, 1, 2, 3]), (7, 10, [7, 8, 9])]


def test_a_skipped_stretch_does_the_same() -> None:
    clips = collector()
    clips.feed(span(0, 4), every_second(0, 4), offset=0)

    skipped = clips.skip(span(4, 6))

    assert shown(skipped) == [(0, 4, [0, 1, 2, 3])]
    assert clips.needs_offset is None
    assert shown(clips.feed(span(6, 10), every_second(6, 10), offset=2)) == [(6, 10, [6, 7, 8, 9])]


def test_the_end_of_a_stream_closes_its_last_clip() -> None:
    clips = collector()
    clips.feed(span(0, 4.5), every_second(0, 4.5), offset=0)

    assert shown(clips.end(ns(4.5))) == [(0, 4.5, [0, 1, 2, 3, 4])]
    assert clips.end(ns(4.5)) == []
    assert clips.needs_offset is None


def test_a_stretch_without_frames_gives_no_clip() -> None:
    clips = collector()

    complete = clips.feed(span(0, 95), frames([0, 41]), offset=0)

    assert shown([*complete, *clips.end(ns(95))]) == [(0, 10, [0]), (40, 50, [41])]


def test_what_comes_a_second_time_is_dropped() -> None:
    clips = collector()
    clips.feed(span(0, 8), every_second(0, 8), offset=0)
    clips.feed(span(0, 8), every_second(0, 8), offset=1)
    clips.skip(span(2, 5))

    assert shown(clips.feed(span(8, 10), every_second(8, 10), offset=2)) == [
        (0, 10, list(range(10)))
    ]


def test_what_was_remembered_before_is_dropped() -> None:
    clips = collector(done_until_s=10)

    assert clips.feed(span(8.5, 12), every_second(8.5, 12), offset=3) == []
    assert clips.needs_offset == 3
    assert shown(clips.end(ns(12))) == [(10, 12, [10, 11])]


@pytest.mark.parametrize("seed", range(20))
def test_neither_cuts_nor_restarts_change_the_clips(seed: int) -> None:
    random = Random(seed)
    pieces = footage(random)
    undisturbed = collector()
    expected = [
        clip for offset, piece in enumerate(pieces) for clip in fed(undisturbed, piece, offset)
    ]
    expected += undisturbed.end(0)

    remembered: list[CollectedClip] = []
    offset, done_until_ns = 0, 0
    while offset < len(pieces):
        restarted = ClipCollector("a", LENGTH_NS, done_until_ns=done_until_ns)
        commits = [offset]  # a kill may come before any of them
        killed_at = offset + random.randint(1, 60)
        for position, piece in list(enumerate(pieces))[offset:killed_at]:
            for clip in fed(restarted, piece, position):
                remembered.append(clip)
                done_until_ns = clip.span.end_ns
            needed = restarted.needs_offset
            commits.append(position + 1 if needed is None else needed)
        if killed_at >= len(pieces):
            remembered += restarted.end(0)
            break
        offset = random.choice(commits)

    assert shown(remembered) == shown(expected)


def fed(clips: ClipCollector, piece: Span, offset: int) -> list[CollectedClip]:
    return clips.feed(
        piece, every_second(piece.start_ns / NS_PER_S, piece.end_ns / NS_PER_S), offset=offset
    )


def footage(random: Random) -> list[Span]:
    """Segments of uneven length, with gaps between some."""
    edges = [0.0]
    while edges[-1] < 200:
        edges.append(edges[-1] + random.choice((0.5, 2.0, 3.3, 4.0, 17.0)))
    return [span(start, end) for start, end in pairwise(edges) if random.random() < 0.9]
