"""Write a piece of a stream as a small video file of its own, and read back what it is.

Fragmented MP4, or Matroska for codecs that MP4 cannot hold (its stamps are whole milliseconds).
Packets are copied, never decoded. Inside a file the clock starts near zero; `pts_origin` ties it to
media time. Rotation and pixel shape travel in the header. Sound is kept if the container can hold
its codec, else left out.

A file describes itself: its comment holds `SegmentFacts`, from which a capture that was killed
between storing and publishing publishes the very same message later. The same packets give the
same bytes.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av
from av.container import Flags, OutputContainer
from av.error import FFmpegError
from av.stream import Stream
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from streaming.errors import UnreadableMedia, UnsupportedCodec
from streaming.messages import GapReason, SegmentReady, Span
from streaming.tracks import AnyPacket, SoundTrack, VideoTrack

MP4_OPTIONS = {
    # one fragment for each GOP; the first stamp is kept, not moved to zero behind an edit list
    "movflags": "+frag_keyframe+empty_moov+default_base_moof+frag_discont",
    "use_editlist": "0",
}


@dataclass(frozen=True, slots=True)
class Packaging:
    """The container that holds the tracks of a source."""

    format: str
    suffix: str
    with_sound: bool


IN_ORDER_OF_TASTE = (
    Packaging("mp4", ".mp4", with_sound=True),
    Packaging("mp4", ".mp4", with_sound=False),
    Packaging("matroska", ".mkv", with_sound=True),
    Packaging("matroska", ".mkv", with_sound=False),
)


class SegmentFacts(BaseModel):
    """What a segment file says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    span: Span
    epoch_at: AwareDatetime
    sequence: int
    frame_count: int
    codec: str
    width_px: int
    height_px: int
    origin_s: str
    """Where `span.start_ns` lies on the file's clock, as an exact fraction of seconds."""
    after_gap: GapReason | None = None
    """Why time was left out between the segment before and this one, if some was."""

    def ready(self, *, uri: str, size_bytes: int, time_base: Fraction) -> SegmentReady:
        return SegmentReady(
            span=self.span,
            epoch_at=self.epoch_at,
            sequence=self.sequence,
            uri=uri,
            pts_origin=rounded(Fraction(self.origin_s) / time_base),
            size_bytes=size_bytes,
            frame_count=self.frame_count,
            codec=self.codec,
            width_px=self.width_px,
            height_px=self.height_px,
        )


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A finished file, not stored yet."""

    data: bytes
    facts: SegmentFacts
    time_base: Fraction
    refused_packets: int

    def ready(self, uri: str) -> SegmentReady:
        return self.facts.ready(uri=uri, size_bytes=len(self.data), time_base=self.time_base)


@dataclass(frozen=True, slots=True)
class Label:
    """What a segment's packets cannot tell."""

    span: Span
    epoch_at: datetime
    sequence: int
    after_gap: GapReason | None


def choose_packaging(name: str, video: VideoTrack, sound: SoundTrack | None) -> Packaging:
    """The first container, in order of taste, that takes these tracks.

    Raises:
        UnsupportedCodec: none does.
    """
    for packaging in IN_ORDER_OF_TASTE:
        if packaging.with_sound and sound is None:
            continue
        try:
            with av.open(io.BytesIO(), "w", format=packaging.format) as output:
                _add_tracks(output, video, sound if packaging.with_sound else None)
                output.start_encoding()
        except (ValueError, FFmpegError):
            continue
        return packaging
    raise UnsupportedCodec(name, codec=video.codec)


def write_segment(
    packets: Sequence[tuple[AnyPacket, bool]],
    packaging: Packaging,
    video: VideoTrack,
    sound: SoundTrack | None,
    *,
    label: Label,
    start_pts: int,
) -> SegmentFile:
    """Write packets, which are used up by it, to a file in memory.

    Args:
        packets: each with whether it is sound; the first is a keyframe. Stamped.
        start_pts: the pts of what is shown at the start of the span.
    """
    sound = sound if packaging.with_sound else None
    base_s = _earliest_s(packets, video, sound)
    facts = SegmentFacts(
        span=label.span,
        epoch_at=label.epoch_at,
        sequence=label.sequence,
        frame_count=sum(1 for _, is_sound in packets if not is_sound),
        codec=video.codec,
        width_px=video.width_px,
        height_px=video.height_px,
        origin_s=str(start_pts * video.time_base - base_s),
        after_gap=label.after_gap,
    )
    file = io.BytesIO()
    options = MP4_OPTIONS if packaging.format == "mp4" else {}
    refused = 0
    with av.open(file, "w", format=packaging.format, options=dict(options)) as output:
        output.flags |= Flags.bitexact.value  # no version, no random ids
        output.metadata["comment"] = facts.model_dump_json()
        video_out, sound_out = _add_tracks(output, video, sound)
        output.start_encoding()
        assert video_out.time_base is not None
        time_base = video_out.time_base
        video_base = rounded(base_s / video.time_base)
        sound_base = 0 if sound is None else rounded(base_s / sound.time_base)
        for packet, is_sound in packets:
            target, base = (sound_out, sound_base) if is_sound else (video_out, video_base)
            assert target is not None and packet.pts is not None and packet.dts is not None
            packet.pts -= base
            packet.dts -= base
            packet.stream = target
            try:
                output.mux_one(packet)
            except FFmpegError:  # damaged beyond what the container can describe
                refused += 1
    return SegmentFile(
        data=file.getvalue(), facts=facts, time_base=time_base, refused_packets=refused
    )


def read_segment(path: Path, *, uri: str, size_bytes: int) -> tuple[SegmentReady, SegmentFacts]:
    """What a stored file says of itself.

    Raises:
        UnreadableMedia: it was not written by `write_segment`, or is damaged.
    """
    try:
        with av.open(str(path)) as container:
            facts = SegmentFacts.model_validate_json(_comment_in(container.metadata))
            time_base = container.streams.video[0].time_base
            assert time_base is not None
    except (FFmpegError, ValidationError, IndexError) as error:
        raise UnreadableMedia(uri, reason="not a segment that capture wrote") from error
    return facts.ready(uri=uri, size_bytes=size_bytes, time_base=time_base), facts


def rounded(value: Fraction) -> int:
    """The nearest whole number, halves up, as FFmpeg rescales stamps."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _comment_in(metadata: dict[str, str]) -> str:
    return metadata.get("comment") or metadata.get("COMMENT") or ""


def _earliest_s(
    packets: Sequence[tuple[AnyPacket, bool]], video: VideoTrack, sound: SoundTrack | None
) -> Fraction:
    """The first decoding time of the file, in seconds on the source's line: its own zero.

    A whole tick of the video's clock, so that nothing of the video is rounded.
    """
    first_video = next(packet.dts for packet, is_sound in packets if not is_sound)
    first_sound = next((packet.dts for packet, is_sound in packets if is_sound), None)
    assert first_video is not None
    earliest = first_video * video.time_base
    if sound is not None and first_sound is not None:
        earliest = min(earliest, first_sound * sound.time_base)
    return (earliest // video.time_base) * video.time_base


def _add_tracks(
    output: OutputContainer, video: VideoTrack, sound: SoundTrack | None
) -> tuple[Stream, Stream | None]:
    video_out = output.add_stream_from_template(video.stream, opaque=True)
    if video.parameters is not None:
        video_out.codec_context.extradata = video.parameters
    video_out.codec_context.width = video.width_px
    video_out.codec_context.height = video.height_px
    if sound is None:
        return video_out, None
    sound_out = output.add_stream_from_template(sound.stream, opaque=True)
    if sound.parameters is not None:
        sound_out.codec_context.extradata = sound.parameters
    return video_out, sound_out
