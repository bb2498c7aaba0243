"""What a segment's tracks are made of: codec, picture size, parameter sets, sound.

Parameter sets (the H.264 and H.265 SPS and PPS) come with a container's header or inside the
keyframes; when those inside change, so may the picture's size, and a new segment has to start,
because one file describes its track once. `VideoTrack.at_keyframe` notices. The size is then read
by decoding that one keyframe; otherwise nothing here decodes.

Codecs whose sets stay in the header (VP8, VP9, AV1, MJPEG) are not watched: their pictures carry
their own size, and every decoder follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

IN_BAND = ("h264", "hevc", "vvc", "mpeg2video", "mpeg1video")
LENGTH_PREFIXED = b"\x01"  # first byte of avcC and hvcC: the sets live in the header
UNFRAMED_AAC = "aac"

if TYPE_CHECKING:
    AnyPacket = Packet[Any]
else:
    AnyPacket = Packet  # generic for type checkers only


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """A video track as it is now."""

    stream: VideoStream
    codec: str
    width_px: int
    height_px: int
    parameters: bytes | None
    watched: bool

    @classmethod
    def of(cls, stream: VideoStream) -> VideoTrack:
        codec = stream.codec.canonical_name
        parameters = stream.codec_context.extradata
        headers = parameters is not None and parameters.startswith(LENGTH_PREFIXED)
        return cls(
            stream=stream,
            codec=codec,
            width_px=stream.codec_context.width,
            height_px=stream.codec_context.height,
            parameters=parameters,
            watched=codec in IN_BAND and not headers,
        )

    @property
    def time_base(self) -> Fraction:
        assert self.stream.time_base is not None
        return self.stream.time_base

    def at_keyframe(self, packet: AnyPacket) -> VideoTrack:
        """The track from this keyframe on; itself if nothing changed."""
        parameters = self._parameters_in(packet)
        if parameters is None or parameters == self.parameters:
            return self
        width_px, height_px = picture_size(self.codec, parameters, packet) or (
            self.width_px,
            self.height_px,
        )
        return replace(self, parameters=parameters, width_px=width_px, height_px=height_px)

    def _parameters_in(self, packet: AnyPacket) -> bytes | None:
        if packet.has_sidedata("new_extradata"):
            return bytes(packet.get_sidedata("new_extradata"))
        if not self.watched:
            return None
        try:
            # a filter empties the packet it is given, so it gets a copy
            extract = BitStreamFilterContext("extract_extradata", in_stream=self.stream)
            for found in extract.filter(Packet(bytes(packet))):
                if found.has_sidedata("new_extradata"):
                    return bytes(found.get_sidedata("new_extradata"))
        except FFmpegError:
            return None  # a damaged keyframe: what it says of itself is not to be had
        return None


def picture_size(codec: str, parameters: bytes, packet: AnyPacket) -> tuple[int, int] | None:
    """Width and height that one keyframe decodes to; None if it does not decode."""
    try:
        context = CodecContext.create(codec, "r")
        context.extradata = parameters
        context.thread_count = 1
        assert isinstance(context, VideoCodecContext)
        frames = [*context.decode(Packet(bytes(packet))), *context.decode(None)]
    except FFmpegError:
        return None
    return (frames[0].width, frames[0].height) if frames else None


class SoundTrack:
    """Sound that travels along. AAC from MPEG-TS is taken out of its ADTS frames for MP4."""

    def __init__(self, stream: AudioStream) -> None:
        self.stream = stream
        self.codec = stream.codec.canonical_name
        self.parameters = stream.codec_context.extradata
        self._unframe: BitStreamFilterContext | None = None
        if self.codec == UNFRAMED_AAC and not self.parameters:
            self._unframe = BitStreamFilterContext("aac_adtstoasc", in_stream=stream)

    @property
    def time_base(self) -> Fraction:
        assert self.stream.time_base is not None
        return self.stream.time_base

    def unframed(self, packet: AnyPacket) -> list[AnyPacket]:
        """The packet as MP4 wants it; none if it is damaged."""
        if self._unframe is None:
            return [packet]
        try:
            packets: list[AnyPacket] = self._unframe.filter(packet)
        except FFmpegError:
            return []
        for unframed in packets:
            if unframed.has_sidedata("new_extradata"):
                self.parameters = bytes(unframed.get_sidedata("new_extradata"))
            unframed.time_base = self.time_base
        return packets
