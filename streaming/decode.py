"""Sample a file: the first frame at or after each wanted instant, as a picture, and no more work.

Packets are read first; their time stamps say which frames are wanted, and only what those need
is decoded (`streaming.units`): keyframes alone where they suffice, nothing after the last wanted
frame of a unit, and no frame that no other needs. The pictures are, bit for bit, those of a full
decode. If a wanted frame does not come out after all, because it is damaged or the time stamps
lied, its unit is decoded again, whole, and the first good frame at or after the instant is taken.

Units are decoded in `threads` threads at a time, each unit in one.

Time comes from time stamps only. A frame without one is taken to follow the frame before it by
the frame's duration. A file that gives nothing raises one `MediaError`; what is damaged within a
file is passed over and counted.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, dropwhile, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streaming.clock import MediaClock
from streaming.errors import (
    DamagedVideo,
    EmptyMedia,
    NoVideoTrack,
    UnreadableMedia,
    UnsupportedCodec,
)
from streaming.sampling import Sampler, SamplingPolicy
from streaming.unit_decoder import DecodeCounts, Frame, UnitDecoder
from streaming.units import Codec, Plan, Unit, VideoPacket, plan, units

# These store every time stamp, so opening them needs no decoder, and denying FFmpeg one spares it
# from decoding a keyframe or more. Of others it must know how frames are reordered.
_STAMPED_FORMATS = ("mov", "matroska")
_ONLY_FILES = {"protocol_whitelist": "file"}
_NO_DECODER = {"codec_whitelist": "rawvideo"}


def sampled_frames(
    path: Path,
    *,
    start_ns: int,
    pts_origin: int,
    policy: SamplingPolicy,
    after_ns: int | None,
    threads: int,
) -> "SampledFrames":
    """Sample a file whose frame at `pts_origin` has media time `start_ns`.

    Frames before `pts_origin` are outside the file's span. `after_ns` is the media time of the
    last frame sampled from what came before this file, None if nothing was: instants that were
    served there are not served again.

    Nothing is read before the first frame is asked for.

    Raises:
        MediaError: the file cannot be opened, has no video, or nothing of it can be decoded.
    """
    if threads < 1:
        raise ValueError(f"decoding needs at least one thread, not {threads}")
    return SampledFrames(_Request(path, start_ns, pts_origin, policy, after_ns, threads))


@dataclass(frozen=True, slots=True)
class _Request:
    path: Path
    start_ns: int
    pts_origin: int
    policy: SamplingPolicy
    after_ns: int | None
    threads: int


class SampledFrames(Iterator[Frame]):
    """The frames of `sampled_frames`, in the order of time; `close` lets go of the file early."""

    def __init__(self, request: _Request) -> None:
        self._read = DecodeCounts()
        self._decoders: _Decoders | None = None
        self._frames = self._sampled(request)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        self._frames.close()

    @property
    def counts(self) -> DecodeCounts:
        """What was met so far."""
        return self._read + self._decoders.counts if self._decoders else self._read

    def _sampled(self, request: _Request) -> Generator[Frame]:
        with closing(_opened(request.path)) as container:
            stream = _video_stream(container, request.path)
            context = stream.codec_context
            assert stream.time_base is not None
            time = MediaClock(stream.time_base, pts=request.pts_origin, media_ns=request.start_ns)
            self._decoders = _Decoders(context, request, time)
            codec = Codec(context.name, context.extradata)
            packets = dropwhile(_is_not_keyframe, self._packets(container, stream))
            yield from _sampled_units(units(packets, codec), codec, self._decoders, request)
        self._refuse_empty(request.path)

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

    def _refuse_empty(self, path: Path) -> None:
        counts = self.counts
        if not counts.packets:
            raise DamagedVideo(str(path), reason="it holds no pictures")
        if counts.fed and not counts.decoded:
            raise DamagedVideo(str(path), reason=f"none of {counts.fed} packets decodes")


class _Decoders:
    """Lends decoders of one file, one to each thread that asks, and keeps count of their work."""

    def __init__(self, context: VideoCodecContext, request: _Request, time: MediaClock) -> None:
        self.time = time
        self._request = request
        self._all: list[UnitDecoder] = []
        self._idle: SimpleQueue[UnitDecoder] = SimpleQueue()
        self._idle.put(self._added(context))

    @property
    def counts(self) -> DecodeCounts:
        return sum((decoder.counts for decoder in self._all), DecodeCounts())

    @contextmanager
    def lent(self) -> Generator[UnitDecoder]:
        try:
            decoder = self._idle.get_nowait()
        except Empty:
            decoder = self._added(self._further_context())
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    def planned(self, todo: Plan, unit: Unit, after_ns: int | None) -> list[Frame]:
        with self.lent() as decoder:
            return decoder.planned(todo, list(unit.packets), after_ns=after_ns)

    def _added(self, context: VideoCodecContext) -> UnitDecoder:
        context.thread_type = "NONE"
        context.thread_count = 1
        decoder = UnitDecoder(context, time=self.time, policy=self._request.policy)
        self._all.append(decoder)
        return decoder

    def _further_context(self) -> VideoCodecContext:
        path = self._request.path
        with closing(_opened(path)) as container:
            return _video_stream(container, path).codec_context


def _sampled_units(
    all_units: Iterator[Unit], codec: Codec, decoders: _Decoders, request: _Request
) -> Iterator[Frame]:
    """Plan the units one after another, decode several at a time, give frames in order."""
    sampler = Sampler(request.policy, after_ns=request.after_ns)
    first_two = list(islice(all_units, 2))
    threads = request.threads if len(first_two) == 2 else 1
    waiting: deque[Future[list[Frame]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for unit in chain(first_two, all_units):
            after_ns = sampler.after_ns
            todo = plan(unit, codec, decoders.time, sampler)
            if todo is None:
                yield from _results(waiting)
                with decoders.lent() as decoder:
                    yield from decoder.chosen(unit.packets, sampler)
            elif threads == 1:
                yield from decoders.planned(todo, unit, after_ns)
            else:
                waiting.append(pool.submit(decoders.planned, todo, unit, after_ns))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
        yield from _results(waiting)


def _results(waiting: deque[Future[list[Frame]]]) -> Iterator[Frame]:
    while waiting:
        yield from waiting.popleft().result()


def _opened(path: Path) -> InputContainer:
    try:
        if path.stat().st_size == 0:
            raise EmptyMedia(str(path))
        container = _open(path, _ONLY_FILES | _NO_DECODER)
        if container.format.name.startswith(_STAMPED_FORMATS):
            return container
        container.close()
        return _open(path, _ONLY_FILES)
    except (OSError, FFmpegError) as error:
        raise UnreadableMedia(str(path), reason=error.strerror or str(error)) from error


def _open(path: Path, options: dict[str, str]) -> InputContainer:
    return av.open(f"file:{path}", options=dict(options), metadata_errors="replace")


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


def _is_not_keyframe(packet: VideoPacket) -> bool:
    return not packet.is_keyframe
