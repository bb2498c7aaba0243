"""Which time is learnt from, and which is only measured on: a minute in every few is held out.

Which one is derived from stream and minute, so that a moment that was held out once is held out in
every later set of the same share. An example that touches both, or that lies too near to
what is held out, is in neither.

Pure.
"""

import hashlib
from enum import Enum

from streaming.messages import NS_PER_S, Span

BLOCK_NS = 60 * NS_PER_S
APART_NS = 10 * NS_PER_S  # between what is learnt from and what is held out


class Side(Enum):
    """Where an example belongs."""

    TRAIN = "train"
    HELD_OUT = "held out"
    NEITHER = "neither"


def side_of(span: Span, share: float) -> Side:
    """Where an example of this footage belongs, if a share of all time is held out."""
    inside = [_is_held_out(span.stream_id, block, share) for block in _blocks(span, 0)]
    if all(inside):
        return Side.HELD_OUT
    if any(_is_held_out(span.stream_id, block, share) for block in _blocks(span, APART_NS)):
        return Side.NEITHER
    return Side.TRAIN


def _blocks(span: Span, apart_ns: int) -> range:
    first_ns, last_ns = max(0, span.start_ns - apart_ns), span.end_ns + apart_ns - 1
    return range(first_ns // BLOCK_NS, last_ns // BLOCK_NS + 1)


def _is_held_out(stream_id: str, block: int, share: float) -> bool:
    """One block of each group of 1 / share, so that nothing that comes regularly falls between."""
    if share <= 0:
        return False
    group = int(block * share)
    members = [one for one in range(block - int(1 / share) - 1, block + int(1 / share) + 2)
               if one >= 0 and int(one * share) == group]  # fmt: skip
    drawn = hashlib.sha256(f"{stream_id}:{group}".encode()).digest()
    return members[int.from_bytes(drawn[:8], "big") % len(members)] == block
