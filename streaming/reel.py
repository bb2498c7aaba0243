"""One connection's packets made into pieces: its clock, its tracks, its cuts.

Ties `streaming.clock` (stamps), `streaming.tracks` (what they are of) and `streaming.cutter` (where
they are cut) together for one open source. Knows ticks, and neither media time nor the store.
"""

import zlib
from collections import deque
from collections.abc import Iterator

from streaming.arrivals import Arrivals
from streaming.clock import SUSPICIOUS_S, Stamped, Timeline
from streaming.cutter import CutPolicy, Cutter, Piece
from streaming.reorder import Reorder
from streaming.segments import (
    Label,
    Packaging,
    SegmentFile,
    choose_packaging,
    rounded,
    write_segment,
)
from streaming.sources import Source
from streaming.tracks import AnyPacket, SoundTrack, VideoTrack

KEYFRAMES_REMEMBERED = 64
SOUND_ADRIFT_S = 10  # sound further from the picture than this has lost its clock
UNSTAMPED_SHARE = 0.1
MISSED_PIECE_S = 0.9  # HLS gives a piece whole or not at all, and pieces last a second or more;
# each begins with a keyframe, or MPEG-TS counts what is missing, so that a picture which stands
# still for longer is no missed piece
DAMAGE_TOLD_EARLY = 2  # packets: FFmpeg marks the last before what is missing, or the one before it

Fingerprint = tuple[int, int]
"""The source's own pts of a keyframe, and a checksum of its bytes."""


class Reel:
    """The packets of one open source, on their way to becoming segments."""

    def __init__(self, source: Source, policy: CutPolicy) -> None:
        """
        Raises:
            UnsupportedCodec: no container can hold the video.
        """
        self.source = source
        track = VideoTrack.of(source.video)
        sound = SoundTrack(source.audio) if source.audio is not None else None
        self.packaging: Packaging = choose_packaging(source.shown, track, sound)
        self.sound_left_out = sound.codec if sound and not self.packaging.with_sound else ""
        self._sound = sound if self.packaging.with_sound else None
        self._sound_dts: int | None = None
        interval_ticks = max(1, rounded(source.frame_interval / track.time_base))
        self.timeline: Timeline[AnyPacket] = Timeline(
            time_base=track.time_base,
            interval_ticks=interval_ticks,
            reorder=source.video.codec_context.reorder_depth,
            hole_s=MISSED_PIECE_S if source.has_moving_window else SUSPICIOUS_S,
        )
        self._reorder: Reorder | None = None
        if Reorder.is_needed(source.container, source.video):
            self._reorder = Reorder(source.video, interval_ticks=interval_ticks)
        self._cutter = Cutter(track, policy, first_shown_pts=source.video.start_time)
        self._adrift = SOUND_ADRIFT_S / track.time_base
        self.first_dts: int | None = None
        self._latest_dts: int | None = None
        self._frames = 0
        self._unstamped = 0
        self.damaged_packets = 0
        self._since_damaged = DAMAGE_TOLD_EARLY  # video packets since one was said to be
        self.arrivals = Arrivals(track.time_base)
        """Of the packets since the source last started its stamps anew."""
        self.keyframes: deque[tuple[Fingerprint, int]] = deque(maxlen=KEYFRAMES_REMEMBERED)
        """The latest ones with their place on the line, of a source that gives some twice."""

    def taken_ns(self, pts: int, arrivals: Arrivals) -> int | None:
        """When the picture at `pts` was taken, as far as arrivals tell; None before the first."""
        late = self.timeline.interval_ticks if self.source.is_late_by_one else 0
        return arrivals.taken_ns(pts - late)

    @property
    def latest_dts(self) -> int:
        """How far along the line the packets have come."""
        return self._latest_dts or 0

    @property
    def dropped_packets(self) -> int:
        return self._cutter.dropped

    @property
    def has_to_decode(self) -> bool:
        """Whether the times can only be had by decoding."""
        return self._reorder is not None

    @property
    def has_sure_times(self) -> bool:
        """Whether nearly all frames came with a time of their own."""
        return self._unstamped <= UNSTAMPED_SHARE * self._frames

    def add(self, packet: AnyPacket, *, at_ns: int | None) -> Iterator[Piece]:
        """One packet; yields the pieces that it finishes.

        Args:
            at_ns: wall time of its arrival, of a live source.
        """
        if packet.is_corrupt:
            self.damaged_packets += 1
        if packet.stream is not self.source.video:
            self._add_sound(packet)
            return
        if packet.is_keyframe:
            self._note_keyframe(packet)
        self._unstamped += packet.dts is None
        for ordered in (packet,) if self._reorder is None else self._reorder.add(packet):
            yield from self._place(ordered, at_ns)

    def finish(self) -> Iterator[Piece]:
        """The connection is over; yields what is left."""
        if self._reorder is not None:
            for packet in self._reorder.finish():
                yield from self._place(packet, None)
        for stamped in self.timeline.flush():
            yield from self._add_video(stamped)
        yield from self._cutter.finish(interval=self.timeline.interval_ticks)

    def write(self, piece: Piece, *, label: Label, start_pts: int) -> SegmentFile:
        """Make a piece a file. The source has to be open still."""
        return write_segment(
            piece.packets,
            self.packaging,
            piece.track,
            self._sound,
            label=label,
            start_pts=start_pts,
        )

    def _place(self, packet: AnyPacket, at_ns: int | None) -> Iterator[Piece]:
        placed = self.timeline.place(
            packet,
            pts=packet.pts,
            dts=packet.dts,
            at_ns=at_ns,
            may_end_hole=packet.is_keyframe or self._since_damaged < DAMAGE_TOLD_EARLY,
        )
        self._since_damaged = 0 if packet.is_corrupt else self._since_damaged + 1
        for stamped in placed:
            yield from self._add_video(stamped)
            if stamped.after_restart:  # what was known of places on the line holds no more
                self.arrivals = Arrivals(self.source.time_base)
                self.keyframes.clear()
            if at_ns is not None:
                self.arrivals.note(stamped.pts, at_ns)

    def _add_video(self, stamped: Stamped[AnyPacket]) -> Iterator[Piece]:
        if self.first_dts is None:
            self.first_dts = stamped.dts
        self._latest_dts = stamped.dts
        self._frames += 1
        yield from self._cutter.add_video(stamped, interval=self.timeline.interval_ticks)

    def _add_sound(self, packet: AnyPacket) -> None:
        """Sound follows the picture's clock; what does not fit it is left out."""
        sound = self._sound
        if sound is None or self._latest_dts is None or packet.pts is None or packet.dts is None:
            return
        shift = rounded(self.timeline.shift_ticks * self.source.time_base / sound.time_base)
        pts, dts = packet.pts + shift, packet.dts + shift
        distance = dts * sound.time_base / self.source.time_base - self._latest_dts
        if abs(distance) > self._adrift or (self._sound_dts is not None and dts <= self._sound_dts):
            return
        self._sound_dts = dts
        for unframed in sound.unframed(packet):
            unframed.pts, unframed.dts = pts, dts
            self._cutter.add_sound(unframed)

    def _note_keyframe(self, packet: AnyPacket) -> None:
        if self.source.has_moving_window and packet.pts is not None:
            fingerprint = (packet.pts, zlib.crc32(packet))
            self.keyframes.append((fingerprint, packet.pts + self.timeline.shift_ticks))
