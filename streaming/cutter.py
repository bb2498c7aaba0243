"""Where a stream of packets is cut into segments.

Cuts lie at keyframes, so that every segment decodes by itself, and depend on nothing but the
packets: the same file gives the same segments, in any process and on any machine. A segment ends at
the first keyframe that lies `min_s` or more after its start. Exceptions:

    open GOP          pictures that are shown before the keyframe, but decoded after it, need the
                      segment before; for a while the cut waits for a keyframe without such
    new parameters    at once: one file holds one picture size
    jump in time      at once: a segment has no hole; packets up to the next keyframe are dropped
    no keyframe       after `max_bytes`; packets up to the next keyframe are dropped

A segment ends where the next one starts, or where its own last frame stops being shown.
Knows stamps on the unbroken line of `streaming.clock`, and no media time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from streaming.clock import Stamped, to_ticks
from streaming.messages import NS_PER_S, GapReason
from streaming.tracks import AnyPacket, VideoTrack


@dataclass(frozen=True, slots=True)
class CutPolicy:
    """How long segments are."""

    min_s: float
    open_gop_max_s: float
    max_bytes: int = 128 * 2**20


LIVE = CutPolicy(min_s=2.0, open_gop_max_s=10.0)
RECORDING = CutPolicy(min_s=8.0, open_gop_max_s=16.0)
"""Nobody waits for it, and half as many files are synced to the disk."""


@dataclass(slots=True)
class Piece:
    """The packets of one segment, stamped in place, in the order in which they came."""

    track: VideoTrack
    start_pts: int
    end_pts: int = 0
    latest_pts: int = 0
    packets: list[tuple[AnyPacket, bool]] = field(
        default_factory=list[tuple[AnyPacket, bool]]
    )  # and whether it is sound
    frame_count: int = 0
    size_bytes: int = 0
    why_after_hole: GapReason = GapReason.SOURCE_JUMPED

    def add(self, packet: AnyPacket, *, is_sound: bool) -> None:
        self.packets.append((packet, is_sound))
        self.size_bytes += packet.size
        if not is_sound:
            self.frame_count += 1
            pts = packet.pts
            if pts is not None and (self.frame_count == 1 or pts > self.latest_pts):
                self.latest_pts = pts


class Cutter:
    """Takes stamped packets, gives finished pieces."""

    def __init__(
        self, track: VideoTrack, policy: CutPolicy, *, first_shown_pts: int | None
    ) -> None:
        """
        Args:
            first_shown_pts: the pts before which a container hides frames, if it does.
        """
        self._track = track
        self._min_ticks = to_ticks(int(policy.min_s * NS_PER_S), track.time_base)
        self._max_ticks = to_ticks(int(policy.open_gop_max_s * NS_PER_S), track.time_base)
        self._max_bytes = policy.max_bytes
        self._first_shown_pts = first_shown_pts
        self._open: Piece | None = None
        self._candidate: int | None = None  # index in the open piece of a keyframe to cut at
        self._hole = GapReason.SOURCE_JUMPED
        self.dropped = 0

    def add_video(self, stamped: Stamped[AnyPacket], *, interval: int) -> Iterator[Piece]:
        """One video packet; yields the pieces that it finishes."""
        packet = stamped.item
        packet.pts, packet.dts = stamped.pts, stamped.dts
        if self._candidate is not None:
            yield from self._decide(stamped.pts, interval)
        if stamped.after_jump:
            yield from self._close(interval, because=GapReason.SOURCE_JUMPED)
        if self._open is not None and self._open.size_bytes > self._max_bytes:
            yield from self._close(interval, because=GapReason.CORRUPT)
        if not packet.is_keyframe:
            self._continue(packet)
            return
        track = self._track.at_keyframe(packet)
        if self._open is None:
            self._begin(packet, track)
            return
        if track is not self._track:
            yield self._cut_at(len(self._open.packets), stamped.pts)
            self._begin(packet, track)
            return
        if stamped.pts - self._open.start_pts >= self._min_ticks:
            self._candidate = len(self._open.packets)
        self._open.add(packet, is_sound=False)

    def add_sound(self, packet: AnyPacket) -> None:
        if self._open is not None:
            self._open.add(packet, is_sound=True)

    def finish(self, *, interval: int) -> Iterator[Piece]:
        """The source ended: what is left."""
        if self._candidate is not None and self._open is not None:
            yield from self._decide(self._candidate_pts() + 1, interval)
        yield from self._close(interval, because=GapReason.SOURCE_JUMPED)

    def _begin(self, packet: AnyPacket, track: VideoTrack) -> None:
        assert packet.pts is not None
        start_pts = packet.pts
        if self._first_shown_pts is not None and packet.is_discard:
            start_pts = max(start_pts, self._first_shown_pts)
        self._first_shown_pts = None
        self._track = track
        self._open = Piece(track=track, start_pts=start_pts, why_after_hole=self._hole)
        self._open.add(packet, is_sound=False)

    def _continue(self, packet: AnyPacket) -> None:
        if self._open is None:
            self.dropped += 1
        else:
            self._open.add(packet, is_sound=False)

    def _candidate_pts(self) -> int:
        assert self._open is not None and self._candidate is not None
        pts = self._open.packets[self._candidate][0].pts
        assert pts is not None
        return pts

    def _decide(self, next_pts: int, interval: int) -> Iterator[Piece]:
        """The packet after a possible cut is here: is the GOP closed?"""
        assert self._open is not None and self._candidate is not None
        keyframe_pts = self._candidate_pts()
        is_closed = next_pts > keyframe_pts
        if is_closed or keyframe_pts - self._open.start_pts >= self._max_ticks:
            yield self._cut_at(self._candidate, keyframe_pts)
        self._candidate = None

    def _cut_at(self, index: int, end_pts: int) -> Piece:
        """Split the open piece; what follows `index` becomes the next one."""
        whole = self._open
        assert whole is not None
        done = Piece(
            track=whole.track, start_pts=whole.start_pts, why_after_hole=whole.why_after_hole
        )
        for packet, is_sound in whole.packets[:index]:
            done.add(packet, is_sound=is_sound)
        done.end_pts = end_pts
        rest = Piece(track=whole.track, start_pts=end_pts)
        for packet, is_sound in whole.packets[index:]:
            rest.add(packet, is_sound=is_sound)
        self._open, self._candidate = rest, None
        return done

    def _close(self, interval: int, *, because: GapReason) -> Iterator[Piece]:
        piece, self._open, self._candidate = self._open, None, None
        self._hole = because
        if piece is not None:
            piece.end_pts = max(piece.latest_pts, piece.start_pts) + max(1, interval)
            yield piece
