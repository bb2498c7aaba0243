"""No moment is both learnt from and measured on, nor is its neighbour."""

import pytest

from services.training.splitting import APART_NS, BLOCK_NS, Side, side_of
from streaming.messages import NS_PER_S, Span

CLIP_NS = 10 * NS_PER_S


def clip(number: int, *, stream: str = "cam", clips: int = 1) -> Span:
    return Span(stream_id=stream, start_ns=number * CLIP_NS, end_ns=(number + clips) * CLIP_NS)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.5])
def test_about_the_share_is_held_out(share: float) -> None:
    sides = [side_of(clip(number), share) for number in range(6 * 1000)]

    assert sides.count(Side.HELD_OUT) / len(sides) == pytest.approx(share, abs=0.01)
    assert sides.count(Side.TRAIN) > 0


def test_what_is_learnt_from_is_apart_from_what_is_held_out() -> None:
    sides = {number: side_of(clip(number), 0.2) for number in range(600)}

    for number, side in sides.items():
        near = {sides.get(number - 1), sides.get(number + 1)}
        assert not (side is Side.TRAIN and Side.HELD_OUT in near)
    assert APART_NS >= CLIP_NS


def test_what_touches_both_is_in_neither() -> None:
    per_block = BLOCK_NS // CLIP_NS
    sides = [side_of(clip(number), 0.2) for number in range(600)]
    first = sides.index(Side.HELD_OUT)

    assert first % per_block == 0
    assert side_of(clip(first - 1, clips=2), 0.2) is Side.NEITHER
    assert side_of(clip(first, clips=per_block), 0.2) is Side.HELD_OUT


def test_a_longer_stream_holds_out_the_same_moments_and_another_stream_others() -> None:
    held = [n for n in range(60_000) if side_of(clip(n), 0.2) is Side.HELD_OUT]
    other = [n for n in range(60_000) if side_of(clip(n, stream="door"), 0.2) is Side.HELD_OUT]

    assert held != other
    minutes = [number // 6 for number in held[::6]]
    assert len({minute % 5 for minute in minutes}) == 5


def test_without_a_share_all_is_learnt_from() -> None:
    assert {side_of(clip(number), 0) for number in range(100)} == {Side.TRAIN}
