"""Cut a range out of stored segments into one playable file, without decoding anything.

A cut must begin at a keyframe: it is the last one at or before the range, so the file may begin
earlier than asked, and says where. It ends with the last frame of the range. Time runs in the file
as it ran before the camera: a gap stays as long as it was, and is named in the report.
"""

import contextlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from memory.record import Record
from memory.spans import outside
from services.errors import NothingStored, OutputUnusable, PictureChanges
from services.moments import show_ns
from streaming.errors import UnreadableMedia
from streaming.footage import FootageStore
from streaming.messages import NS_PER_S, GapReason, SegmentReady, Span, StreamGap
from streaming.tracks import AnyPacket

FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
UNFINISHED_SUFFIX = ".unfinished"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: exact media times of its first frame and of its end."""

    path: Path
    span: Span
    frame_count: int
    size_bytes: int
    gaps: tuple[StreamGap, ...]


def export(record: Record, footage: FootageStore, span: Span, path: Path) -> Exported:
    """Write the footage of a span to a new file.

    Raises:
        NothingStored, PictureChanges, OutputUnusable, FootageError, MediaError
    """
    segments = record.segments([span])
    if not segments:
        raise NothingStored(span.stream_id, show_ns(span.start_ns), show_ns(span.end_ns))
    for one, other in pairwise(segments):
        if _picture(one) != _picture(other):
            raise PictureChanges(span.stream_id, show_ns(other.span.start_ns))
    if path.suffix.lower() not in FORMATS:
        raise OutputUnusable(path, reason=f"its name must end in {', '.join(FORMATS)}")
    if path.exists():
        raise OutputUnusable(path, reason="it exists; give another name")
    unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
    try:
        written = _write(segments, footage, span, unfinished, FORMATS[path.suffix.lower()])
        unfinished.replace(path)
    except OSError as error:
        raise OutputUnusable(path, reason=(error.strerror or str(error)).lower()) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    exported = Span(stream_id=span.stream_id, start_ns=written.start_ns, end_ns=written.end_ns)
    return Exported(
        path=path,
        span=exported,
        frame_count=written.frame_count,
        size_bytes=path.stat().st_size,
        gaps=_gaps(record, exported, segments),
    )


@dataclass(slots=True)
class _Written:
    """How far the output has come."""

    start_ns: int = 0
    end_ns: int = 0
    frame_count: int = 0
    last_dts: dict[int, int] = field(default_factory=dict[int, int])


@dataclass(frozen=True, slots=True)
class _Piece:
    """One segment, open; `tracks` are its video track and its sound, if it has any."""

    segment: SegmentReady
    container: InputContainer
    tracks: tuple[Stream, ...]

    def media_ns(self, packet: AnyPacket, stamp: int) -> int:
        """Media time of a stamp of one of its tracks, rounded up as everywhere."""
        origin_s = self.segment.pts_origin * _base(self.tracks[0])
        exact_ns = (stamp * _base(packet.stream) - origin_s) * NS_PER_S
        return self.segment.span.start_ns + -(-exact_ns.numerator // exact_ns.denominator)


def _write(
    segments: Sequence[SegmentReady], footage: FootageStore, span: Span, path: Path, format: str
) -> _Written:
    written = _Written()
    with ExitStack() as stack:
        output: OutputContainer | None = None
        targets: list[Stream] = []
        extradata: bytes | None = None
        for segment in segments:
            with ExitStack() as opened:
                piece = _open(segment, footage, opened)
                if output is None:
                    options = {"movflags": "+faststart"} if format != "matroska" else {}
                    output = stack.enter_context(
                        av.open(str(path), "w", format=format, options=options)
                    )
                    targets = _add_tracks(output, piece, path)
                    extradata = piece.tracks[0].codec_context.extradata
                elif piece.tracks[0].codec_context.extradata != extradata:
                    raise PictureChanges(span.stream_id, show_ns(segment.span.start_ns))
                _copy(piece, output, targets, span, written)
    return written


def _copy(
    piece: _Piece, output: OutputContainer, targets: list[Stream], span: Span, written: _Written
) -> None:
    packets = [
        packet
        for packet in piece.container.demux(list(piece.tracks))
        if packet.size and packet.pts is not None and packet.dts is not None
    ]
    video = [packet for packet in packets if packet.stream.index == piece.tracks[0].index]
    times_ns = {id(packet): piece.media_ns(packet, packet.pts or 0) for packet in packets}
    chosen = _chosen(video, times_ns, span)
    if not chosen:
        return
    first_ns = times_ns[id(chosen[0])]
    if not written.frame_count:
        written.start_ns = first_ns
    kept = {id(packet) for packet in chosen}
    kept |= {
        id(packet)
        for packet in packets
        if packet.stream.index != piece.tracks[0].index
        and first_ns <= times_ns[id(packet)] < span.end_ns
    }
    last_ns = max(times_ns[id(packet)] for packet in chosen)
    later_ns = [time_ns for packet in video if (time_ns := times_ns[id(packet)]) > last_ns]
    written.end_ns = min([piece.segment.span.end_ns, *later_ns])
    written.frame_count += len(chosen)
    for packet in packets:
        if id(packet) in kept:
            _mux(piece, packet, output, targets, written)


def _chosen(video: list[AnyPacket], times_ns: dict[int, int], span: Span) -> list[AnyPacket]:
    """What has to be copied for the frames of the span to be shown, in order of decoding."""
    starts = [
        position
        for position, packet in enumerate(video)
        if packet.is_keyframe and times_ns[id(packet)] <= span.start_ns
    ]
    first = starts[-1] if starts else 0
    first_ns = times_ns[id(video[first])] if video else 0
    wanted = [
        position
        for position, packet in enumerate(video)
        if first_ns <= times_ns[id(packet)] < span.end_ns and position >= first
    ]
    last = wanted[-1] if wanted else -1
    # Pictures shown before the keyframe but decoded after it lean on what was cut away.
    return [one for one in video[first : last + 1] if times_ns[id(one)] >= first_ns]


def _mux(
    piece: _Piece,
    packet: AnyPacket,
    output: OutputContainer,
    targets: list[Stream],
    written: _Written,
) -> None:
    position = [track.index for track in piece.tracks].index(packet.stream.index)
    base = _base(packet.stream)
    shift_ns = piece.media_ns(packet, 0) - written.start_ns
    shift = round(Fraction(shift_ns, NS_PER_S) / base)
    assert packet.pts is not None and packet.dts is not None
    floor = written.last_dts.get(position)
    packet.pts += shift
    packet.dts = packet.dts + shift if floor is None else max(packet.dts + shift, floor + 1)
    packet.pts = max(packet.pts, packet.dts)
    written.last_dts[position] = packet.dts
    packet.stream = targets[position]
    packet.time_base = base
    output.mux(packet)


def _open(segment: SegmentReady, footage: FootageStore, stack: ExitStack) -> _Piece:
    path = stack.enter_context(footage.open_local(segment.uri))
    try:
        container = stack.enter_context(av.open(str(path)))
        video = container.streams.video[0]
    except (FFmpegError, IndexError) as error:
        raise UnreadableMedia(segment.uri, reason="its file is damaged") from error
    return _Piece(segment, container, (video, *container.streams.audio[:1]))


def _add_tracks(output: OutputContainer, piece: _Piece, path: Path) -> list[Stream]:
    try:
        return [output.add_stream_from_template(track, opaque=True) for track in piece.tracks]
    except (ValueError, FFmpegError) as error:
        reason = f"{piece.segment.codec} does not fit into it; let its name end in .mkv"
        raise OutputUnusable(path, reason=reason) from error


def _gaps(
    record: Record, exported: Span, segments: Sequence[SegmentReady]
) -> tuple[StreamGap, ...]:
    """The reported gaps, and what is missing without a report. What was skipped is there."""
    gaps = [gap for gap in record.gaps([exported]) if gap.reason is not GapReason.SKIPPED]
    known = [*(gap.span for gap in gaps), *(segment.span for segment in segments)]
    unknown = outside(exported, known)
    gaps += [StreamGap(span=hole, reason=GapReason.NOT_RUNNING) for hole in unknown]
    return tuple(sorted(gaps, key=lambda gap: gap.span.start_ns))


def _picture(segment: SegmentReady) -> tuple[str, int, int]:
    return segment.codec, segment.width_px, segment.height_px


def _base(track: Stream) -> Fraction:
    assert track.time_base is not None
    return track.time_base
