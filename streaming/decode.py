"""Sample a file: the first frame at or after each wanted instant, as a picture, and no more work.

Packets are read first; their time stamps say which frames are wanted, and only what those need
is decoded (`streaming.units`): keyframes alone where they suffice, nothing after the last wanted
frame of a unit, and no frame that no other needs. The pictures are, bit for bit, those of a full
decode. If a wanted frame does not come out after all, because it is damaged or the time stamps
lied, its unit is decoded again, whole, and the first good frame at or after the instant is taken.

Time comes from time stamps only. A frame without one is taken to follow the frame before it by
the frame's duration. A file that gives nothing raises one `MediaError`; what is damaged within a
file is passed over and counted.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import cast

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streaming.clock import MediaClock
from streaming.errors import (
    DamagedVideo,
    EmptyMedia,
    MediaError,
    NoVideoTrack,
    UnreadableMedia,
    UnsupportedCodec,
)
from streaming.nvdec import Nvdec
from streaming.sampling import SamplingPolicy
from streaming.unit_decoder import DecodeCounts, Frame
from streaming.unit_pool import DecoderPool, UnitPool
from streaming.units import Codec, VideoPacket, units

# These store every time stamp, so opening them needs no decoder, and denying FFmpeg one spares it
# from decoding a keyframe or more. Of others it must know how frames are reordered.
_STAMPED_FORMATS = ("mov", "matroska")
_ONLY_FILES = {"protocol_whitelist": "file"}
_NO_DECODER = {"codec_whitelist": "rawvideo"}


@dataclass(frozen=True, slots=True)
class Decoding:
    """By how many threads a file is decoded, and by which GPU, if by one."""

    threads: int = 1
    nvdec: Nvdec | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"decoding needs at least one thread, not {self.threads}")


def sampled_frames(
    path: Path,
    *,
    start_ns: int,
    pts_origin: int,
    policy: SamplingPolicy,
    after_ns: int | None,
    decoding: Decoding,
) -> "SampledFrames":
    """Sample a file whose frame at `pts_origin` has media time `start_ns`.

    Frames before `pts_origin` are outside the file's span. `after_ns` is the media time of the
    last frame sampled from what came before this file, None if nothing was: instants that were
    served there are not served again. Where a GPU decodes, all frames of the file are held until
    the last has come.

    Nothing is read before the first frame is asked for.

    Raises:
        MediaError: the file cannot be opened, has no video, or nothing of it can be decoded.
    """
    return SampledFrames(_Request(path, start_ns, pts_origin, policy, after_ns, decoding))


@dataclass(frozen=True, slots=True)
class _Request:
    path: Path
    start_ns: int
    pts_origin: int
    policy: SamplingPolicy
    after_ns: int | None
    decoding: Decoding


class SampledFrames(Iterator[Frame]):
    """The frames of `sampled_frames`, in the order of time; `close` lets go of the file early."""

    def __init__(self, request: _Request) -> None:
        self._read = DecodeCounts()
        self._decoders: DecoderPool | None = None
        nvdec = request.decoding.nvdec
        self._frames = self._sampled_with(nvdec, request) if nvdec else self._sampled(request, None)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        self._frames.close()

    @property
    def counts(self) -> DecodeCounts:
        """What was met so far."""
        return self._read + self._decoders.counts if self._decoders else self._read

    def _sampled_with(self, nvdec: Nvdec, request: _Request) -> Generator[Frame]:
        """What a GPU gives if it takes all there is; if not, what the CPU makes of the file."""
        try:
            frames = list(self._sampled(request, nvdec.acceleration))
            refusal = f"{self.counts.damaged} packets" if self.counts.damaged else None
        except (MediaError, FFmpegError) as error:
            frames, refusal = [], str(error)
        if refusal is not None:
            nvdec.refused(request.path, refusal)
            self._read, self._decoders = DecodeCounts(), None
            frames = self._sampled(request, None)
        yield from frames

    def _sampled(self, request: _Request, acceleration: HWAccel | None) -> Generator[Frame]:
        path, policy, threads = request.path, request.policy, request.decoding.threads
        with (
            closing(_opened(path, acceleration)) as container,
            ThreadPoolExecutor(threads) as executor,
        ):
            stream = _video_stream(container, path)
            assert stream.time_base is not None
            time = MediaClock(stream.time_base, pts=request.pts_origin, media_ns=request.start_ns)
            context = stream.codec_context
            codec = Codec(context.name, context.extradata)
            self._decoders = DecoderPool(
                context,
                lambda: _decoder_context(path, acceleration),
                codec=codec,
                time=time,
                policy=policy,
            )
            cut = units(self._from_keyframe(self._packets(container, stream)), codec)
            first_two = list(islice(cut, 2))
            pool = UnitPool(
                chain(first_two, cut),
                self._decoders,
                after_ns=request.after_ns,
                executor=executor,
                threads=threads if len(first_two) == 2 else 1,
            )
            yield from pool.frames()
        self._refuse_nothing(path)

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoPacket]:
        """The video packets, up to where the file ends or breaks off."""
        while True:
            try:
                for packet in container.demux(stream):
                    if packet.size:  # the last one is empty, and would tell a decoder to finish
                        self._read.packets += 1
                        self._read.damaged += packet.is_corrupt
                        yield packet
            except FFmpegError:
                self._read.damaged += 1
            except IndexError:
                # PyAV does not foresee the tracks that a damaged transport stream grows while it
                # is read; the packet that announced one is behind us.
                self._read.damaged += 1
                continue
            return

    def _from_keyframe(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        for packet in packets:
            if packet.is_keyframe:
                yield packet
                break
            self._read.unreachable += 1
        yield from packets

    def _refuse_nothing(self, path: Path) -> None:
        counts = self.counts
        if not counts.packets:
            raise DamagedVideo(str(path), reason="it holds no pictures")
        if counts.packets == counts.unreachable:
            raise DamagedVideo(str(path), reason=f"none of {counts.packets} packets is a keyframe")
        if counts.fed and not counts.decoded:
            raise DamagedVideo(str(path), reason="no picture of it can be decoded")


def _opened(path: Path, acceleration: HWAccel | None) -> InputContainer:
    try:
        if path.stat().st_size == 0:
            raise EmptyMedia(str(path))
        container = _open(path, _ONLY_FILES | _NO_DECODER, acceleration)
        if container.format.name.startswith(_STAMPED_FORMATS):
            return container
        container.close()
        return _open(path, _ONLY_FILES, acceleration)
    except (OSError, FFmpegError) as error:
        raise UnreadableMedia(str(path), reason=error.strerror or str(error)) from error


def _open(path: Path, options: dict[str, str], acceleration: HWAccel | None) -> InputContainer:
    return av.open(
        f"file:{path}", options=dict(options), metadata_errors="replace", hwaccel=acceleration
    )


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The video track, the others set to be passed over while reading."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        found = tuple(sorted({other.type for other in container.streams}))
        raise NoVideoTrack(str(path), found=found)
    if cast("VideoCodecContext | None", stream.codec_context) is None:
        raise UnsupportedCodec(str(path), codec="unknown")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream


def _decoder_context(path: Path, acceleration: HWAccel | None) -> VideoCodecContext:
    """A fresh decoder for a file. It outlives the opened file that it is taken from."""
    with closing(_opened(path, acceleration)) as container:
        return _video_stream(container, path).codec_context
