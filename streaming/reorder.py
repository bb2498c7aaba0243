"""Presentation times for containers that keep only the order of decoding: AVI, raw H.264 and H.265.

With B-frames the two orders differ, and nothing but a decoder tells the other one. So this, and
this only, decodes: packets go through a decoder for the sake of the order in which their pictures
come out, and the n-th picture is given the n-th decoding time, moved by the decoder's delay.
"""

from collections import deque
from fractions import Fraction

from av.codec import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streaming.tracks import AnyPacket

ORDER_OF_DECODING_ONLY = ("avi", "h264", "hevc")
PATIENCE = 64  # packets after which a picture that has not come out will not come


class Reorder:
    """Packets in, in order of decoding; the same packets out, with presentation times."""

    def __init__(self, stream: VideoStream, *, interval_ticks: int) -> None:
        assert stream.time_base is not None
        self._time_base: Fraction = stream.time_base
        self._interval = interval_ticks
        self._delay = stream.codec_context.reorder_depth * interval_ticks
        decoder = CodecContext.create(stream.codec.canonical_name, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.extradata = stream.codec_context.extradata
        decoder.options = {"skip_loop_filter": "all"}  # nobody looks at the pictures
        self._decoder = decoder
        self._waiting: deque[tuple[int, AnyPacket]] = deque()  # numbered
        self._shown: dict[int, int] = {}  # number of a packet: its presentation time
        self._free: deque[int] = deque()  # decoding times, as yet without a picture
        self._count = 0
        self._next_dts = 0

    @staticmethod
    def is_needed(container: str, stream: VideoStream) -> bool:
        """Whether the times of this stream can only be had in this way."""
        return container in ORDER_OF_DECODING_ONLY and stream.codec_context.reorder_depth > 0

    def add(self, packet: AnyPacket) -> list[AnyPacket]:
        if packet.dts is None:
            packet.dts = self._next_dts
        self._next_dts = packet.dts + self._interval
        self._free.append(packet.dts)
        self._waiting.append((self._count, packet))
        copy = Packet(bytes(packet))
        copy.pts = copy.dts = self._count
        self._count += 1
        self._decode(copy)
        return self._ready(PATIENCE)

    def finish(self) -> list[AnyPacket]:
        self._decode(None)
        return self._ready(0)

    def _decode(self, packet: AnyPacket | None) -> None:
        try:
            for picture in self._decoder.decode(packet):
                if picture.pts is not None and picture.pts not in self._shown and self._free:
                    self._shown[picture.pts] = self._free.popleft() + self._delay
        except FFmpegError:
            return  # damaged: there is no picture of this packet

    def _ready(self, patience: int) -> list[AnyPacket]:
        """The packets from the front whose time is known, or is given up."""
        found: list[AnyPacket] = []
        while self._waiting:
            number, packet = self._waiting[0]
            if number not in self._shown:
                if len(self._waiting) <= patience:
                    break
                if self._free:
                    self._shown[number] = self._free.popleft() + self._delay
            packet.pts = self._shown.pop(number, packet.dts)
            found.append(packet)
            self._waiting.popleft()
        return found
