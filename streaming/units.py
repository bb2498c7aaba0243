"""Cut a file's packets into units that decode on their own, and plan what of each is needed.

A unit runs from a packet where decoding may start to the one before the next such packet: one
group of pictures when groups are closed, several when they lean on each other (open groups,
periodic intra refresh). Which frames of a unit are wanted is known from time stamps alone,
before anything is decoded; so is the last packet, in coding order, that they need. With
B-frames, coding order is not the order of time, and the plan heeds that.

No plan is made, and everything is decoded, where time stamps are missing or a unit outgrows
`UNIT_LIMIT_BYTES`: the rest of the file is then one unit that is read as it is decoded.

Knows packets, not pictures. Times in *_pts are in the stream's time base.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from av.packet import Packet
from av.video.stream import VideoStream

from streaming.clock import MediaClock
from streaming.nals import first_slice_header, in_base_layer, length_prefix_bytes, starts_afresh
from streaming.sampling import Sampler

VideoPacket: TypeAlias = "Packet[VideoStream]"  # generic for the type checker only

UNIT_LIMIT_BYTES = 64 << 20  # a minute and a half of open groups at 6 Mb/s


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Packets in coding order that need none before them.

    is_first     it opens the file
    is_endless   `packets` goes on to the end of the file and can be read once
    """

    packets: Iterable[VideoPacket]
    is_first: bool
    is_endless: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to decode of a unit.

    packets           up to the last one that a wanted frame needs
    wanted_pts        the frames to make pictures of
    skips_unneeded    unwanted frames that no other frame needs may be left undecoded
    """

    packets: list[VideoPacket]
    wanted_pts: frozenset[int]
    skips_unneeded: bool


class Codec:
    """What a codec lets us know from its packets' bytes; of most, nothing."""

    def __init__(self, name: str, extradata: bytes | None) -> None:
        self._name = name
        self._has_nals = name in ("h264", "hevc")
        self._prefix_bytes = length_prefix_bytes(name, extradata) if self._has_nals else None

    def starts_afresh(self, packet: VideoPacket) -> bool:
        """Whether the keyframe is one that later frames do not look behind."""
        return not self._has_nals or starts_afresh(self._name, self._header(packet))

    def marks_unneeded(self, packets: list[VideoPacket]) -> bool:
        """Whether the decoder can tell frames that no other needs, in any of these packets."""
        if self._name == "hevc":
            return all(in_base_layer(self._name, self._header(packet)) for packet in packets)
        return self._name == "h264"

    def _header(self, packet: VideoPacket) -> bytes:
        return first_slice_header(self._name, memoryview(packet), self._prefix_bytes)


def units(packets: Iterator[VideoPacket], codec: Codec) -> Iterator[Unit]:
    """Cut packets, which begin with a keyframe, into units."""
    pending: list[VideoPacket] = []
    group_at = 0  # where the last group of `pending` begins
    size_bytes = 0
    is_first = True
    for packet in packets:
        if packet.is_keyframe and pending:
            if group_at and _can_start(pending[group_at:], codec):
                yield Unit(pending[:group_at], is_first)
                pending, is_first = pending[group_at:], False
                size_bytes = sum(waiting.size for waiting in pending)
            group_at = len(pending)
        pending.append(packet)
        size_bytes += packet.size
        if size_bytes > UNIT_LIMIT_BYTES:
            yield Unit(chain(pending, packets), is_first, is_endless=True)
            return
    if group_at and _can_start(pending[group_at:], codec):
        yield Unit(pending[:group_at], is_first)
        pending, is_first = pending[group_at:], False
    if pending:
        yield Unit(pending, is_first)


def _can_start(group: list[VideoPacket], codec: Codec) -> bool:
    """Whether a decoder may start at this group and lose nothing: no frame looks behind it."""
    origin_pts = group[0].pts
    if origin_pts is None:
        return False
    is_led = any(packet.pts is not None and packet.pts < origin_pts for packet in group)
    return not is_led and codec.starts_afresh(group[0])


def plan(unit: Unit, codec: Codec, time: MediaClock, sampler: Sampler) -> Plan | None:
    """Say what of a unit is needed, and move the sampler on; None: all of it, unplanned."""
    if unit.is_endless:
        return None
    packets = list(unit.packets)
    if any(packet.pts is None for packet in packets):
        return None

    wanted: set[int] = set()
    whole_pts = _first_whole_pts(unit, packets[0], codec, time)
    for pts in sorted(_pts(packet) for packet in packets if not packet.is_discard):
        media_ns = time.media_ns_of(pts)
        if pts >= whole_pts and sampler.wants(media_ns):
            sampler.pick(media_ns)
            wanted.add(pts)
    end = max((at + 1 for at, packet in enumerate(packets) if packet.pts in wanted), default=0)
    needed = packets[:end]
    return Plan(needed, frozenset(wanted), codec.marks_unneeded(needed))


def _first_whole_pts(unit: Unit, keyframe: VideoPacket, codec: Codec, time: MediaClock) -> int:
    """The first time stamp of the file's span whose frame can be whole.

    Where a file begins at an H.264 recovery point, the frames shown before it look behind the
    beginning of the file; the decoder makes rubbish of them and does not say so.
    """
    if unit.is_first and not codec.starts_afresh(keyframe):
        return max(time.pts, _pts(keyframe))
    return time.pts


def _pts(packet: VideoPacket) -> int:
    assert packet.pts is not None
    return packet.pts
