"""Move a fragmented MP4 file on the clock: segments of one stream then share one timeline.

Each stored file's clock begins near zero. A player of a playlist wants times that go on from file
to file, and some (FFmpeg's) drop pictures otherwise. The decode times of all fragments (`tfdt`) are
rewritten in place, so that sizes and offsets stay what they are; nothing else is touched.
"""

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

INSIDE = (b"moov", b"trak", b"mdia", b"moof", b"traf")


class _Box(NamedTuple):
    kind: bytes
    start: int  # of its body
    end: int


def rebased(data: bytes, by_s: Fraction) -> bytes:
    """The same file, `by_s` later. What has no fragments stays as it is."""
    moved = bytearray(data)
    timescales: dict[int, int] = {}
    track_id = 0
    for box in _boxes(data, 0, len(data)):
        body = data[box.start : box.end]
        is_long = body[:1] == b"\1"
        if box.kind == b"tkhd":
            track_id = struct.unpack_from(">I", body, 20 if is_long else 12)[0]
        elif box.kind == b"mdhd":
            timescales[track_id] = struct.unpack_from(">I", body, 20 if is_long else 12)[0]
        elif box.kind == b"tfhd":
            track_id = struct.unpack_from(">I", body, 4)[0]
        elif box.kind == b"tfdt":
            form = ">Q" if is_long else ">I"
            time = struct.unpack_from(form, body, 4)[0] + round(by_s * timescales[track_id])
            struct.pack_into(form, moved, box.start + 4, max(0, time))
    return bytes(moved)


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """All boxes of a range, in order, those inside others after these."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        if length < 8 or start + length > end:
            return
        yield _Box(kind, start + 8, start + length)
        if kind in INSIDE:
            yield from _boxes(data, start + 8, start + length)
        start += length
