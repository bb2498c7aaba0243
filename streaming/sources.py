"""Open what a person names as a source: a file, a camera device, or a URL of a few schemes.

Refuses everything else by name, before FFmpeg sees it: FFmpeg would open `concat:` and `subfile:`
too, and a playlist may name other addresses, so each scheme has its own list of protocols that may
be used behind it. Translates FFmpeg's errors into ours. Knows nothing of time or segments.

No message carries credentials: every URL that leaves this file went through `redact`.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import (
    ExitError,
    FFmpegError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPUnauthorizedError,
    InvalidDataError,
)
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from streaming.errors import (
    BadSourceUrl,
    EmptyMedia,
    NoVideoTrack,
    SchemeNotAllowed,
    SourceIsDirectory,
    SourceMissing,
    SourceNotPermitted,
    SourceStalled,
    SourceUnauthorised,
    SourceUnreachable,
    SourceUntrusted,
    StillImage,
    StreamingError,
    UnreadableMedia,
    UnsupportedCodec,
)
from streaming.files import path_in, real_path, refuse_playlist
from streaming.moov import why_invalid
from streaming.tracks import AnyPacket
from streaming.trust import is_encrypted, tls_options, why_untrusted

OVER_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
OVER_RTSP = "rtsp,rtsps,rtp,rtcp,srtp,udp,tcp,tls,http,https"
OVER_RTMP = "rtmp,rtmps,rtmpt,tcp,tls"
PROTOCOLS_BEHIND: Mapping[str, str] = {
    "rtsp": OVER_RTSP,
    "rtsps": OVER_RTSP,
    "rtmp": OVER_RTMP,
    "rtmps": OVER_RTMP,
    "http": OVER_HTTP,
    "https": OVER_HTTP,
    "file": "file,crypto,data",
    "v4l2": "file",
}
SCHEMES = tuple(PROTOCOLS_BEHIND)
ALWAYS_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "v4l2")
OPEN_S = 10.0
SILENT_S = 10.0
FIRST_YEAR = 1990  # of digital video; clocks that were never set begin at 1904 or 1970
SILENT_HTTP_S = 30.0  # an HLS playlist gives nothing between two of its pieces

STILL_FORMATS = ("image2", "_pipe")
DRAWN_TEXT = ("ansi", "bintext", "xbin", "idf")  # FFmpeg shows text files as films of a terminal
DEFAULT_RATE = Fraction(25)
MPEG_CLOCK = Fraction(1, 90_000)
MAX_DAMAGED_READS = 1000

HIDDEN = "***"  # what a URL has in place of a secret

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^@:/?#]*)(:\d+)?")
_SECRET = re.compile(
    r"([?&;](?:[^=&;#]*(?:user|usr|login|account|pass|pwd|psw|token|secret|key|auth|sig)[^=&;#]*)=)"
    r"[^&;#]*",
    re.IGNORECASE,
)


def redact(url: str) -> str:
    """The URL without user name, password, and secrets among its parameters."""
    head, separator, rest = url.partition("://")
    if not separator:
        return url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if not _HOST_AND_PORT.fullmatch(authority) and "@" in rest:
        rest = f"{HIDDEN}@" + rest.rpartition("@")[2]  # a password may hold any sign, even / and @
    return head + separator + _SECRET.sub(rf"\1{HIDDEN}", rest)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to connect; the defaults suit cameras."""

    rtsp_transport: str = "tcp"
    open_timeout_s: float = OPEN_S
    read_timeout_s: float | None = None  # None: 10 s, and 30 s over HTTP
    ca_file: Path | None = None  # who vouches for certificates; None: cameras sign for themselves
    file_roots: tuple[Path, ...] | None = None  # below which files may be opened; None: anywhere
    extra: Mapping[str, str] = field(default_factory=dict[str, str])  # given to FFmpeg as they are


@dataclass(frozen=True, slots=True)
class Address:
    """A source that may be opened, and how FFmpeg is told."""

    shown: str
    scheme: str
    target: str
    path: Path | None = None

    @property
    def is_network(self) -> bool:
        return self.path is None


def parse_source(url: str) -> Address:
    """Check the URL or path itself; touches neither disk nor network.

    Raises:
        BadSourceUrl, SchemeNotAllowed
    """
    if not url.strip() or any(ord(sign) < 32 for sign in url):
        raise BadSourceUrl(redact(url.strip()) or "''", "is not a path or URL")
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else "file"
    if scheme not in PROTOCOLS_BEHIND:
        raise SchemeNotAllowed(redact(url), scheme=scheme, allowed=SCHEMES)
    if scheme in ("file", "v4l2"):
        path = path_in(url) if found else Path(url)
        path = path.expanduser().absolute()
        if path.parent == Path("/dev") and path.name.startswith("video"):
            return Address(shown=url, scheme="v4l2", target=str(path), path=path)
        return Address(shown=url, scheme="file", target=f"file:{path}", path=path)
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise BadSourceUrl(redact(url), "names no host")
    return Address(shown=redact(url), scheme=scheme, target=url)


def check_source(url: str, *, file_roots: tuple[Path, ...] | None = None) -> Address:
    """Check what can be checked without connecting: the URL, and a file's being there.

    Raises:
        SourceError, EmptyMedia, UnreadableMedia
    """
    address = parse_source(url)
    if address.path is None:
        return address
    path = address.path
    if address.scheme == "file" and file_roots is not None:
        path = real_path(path, file_roots, shown=address.shown)
        address = replace(address, target=f"file:{path}", path=path)
    try:
        about = path.stat()
        if address.scheme == "v4l2":
            return address
        if stat.S_ISDIR(about.st_mode):
            raise SourceIsDirectory(address.shown)
        if not stat.S_ISREG(about.st_mode):
            raise UnreadableMedia(address.shown, reason="it is not a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise EmptyMedia(address.shown)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceMissing(address.shown) from error
    except PermissionError as error:
        raise SourceNotPermitted(address.shown) from error
    except OSError as error:
        raise UnreadableMedia(address.shown, reason=error.strerror or "cannot be read") from error
    return address


class Source:
    """One open connection: its video track, its sound if there is any, its packets."""

    def __init__(self, address: Address, container: InputContainer, *, silent_s: float) -> None:
        self.shown = address.shown
        self._address = address
        self._container = container
        self.silent_s = silent_s
        self.video = _video_track(address.shown, container)
        self.audio = _audio_track(container)
        self.damaged_reads = 0
        for stream in container.streams:
            if stream is not self.video and stream is not self.audio:
                stream.discard = Discard.all

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    @property
    def is_finite(self) -> bool:
        """Whether this is a recording with an end, rather than a camera."""
        if self._address.scheme == "file":
            return True
        return self._address.scheme not in ALWAYS_LIVE and self._container.duration is not None

    @property
    def has_moving_window(self) -> bool:
        """Whether connecting again gives some of the past once more, as an HLS playlist does."""
        return "hls" in self.container

    @property
    def is_late_by_one(self) -> bool:
        """Whether a picture is given only when the next begins: nothing else tells its end."""
        return self.container in ("rtsp", "mpegts")

    @property
    def container(self) -> str:
        """FFmpeg's name of the format."""
        return self._container.format.name

    @property
    def made_at(self) -> datetime | None:
        """When a recording was made, if its header says so; clocks that were never set do not."""
        try:
            made_at = datetime.fromisoformat(self._container.metadata["creation_time"])
        except (KeyError, ValueError):
            return None
        return made_at if made_at.tzinfo and made_at.year >= FIRST_YEAR else None

    @property
    def time_base(self) -> Fraction:
        return self.video.time_base or MPEG_CLOCK

    @property
    def frame_interval(self) -> Fraction:
        """How long a frame lasts, in seconds, as far as the header tells."""
        rate = self.video.guessed_rate or self.video.average_rate or DEFAULT_RATE
        return 1 / rate if 0 < rate <= 1000 else 1 / DEFAULT_RATE

    @property
    def declared_end_pts(self) -> int | None:
        """The pts at which the header says that the video ends; None if it does not say."""
        if self.video.duration is None:
            return None
        return (self.video.start_time or 0) + self.video.duration

    def packets(self) -> Iterator[AnyPacket]:
        """Video and sound packets until the source ends.

        Damaged stretches of a recording are skipped and counted in `damaged_reads`.

        Raises:
            SourceStalled: nothing came for too long.
            SourceUnreachable, UnreadableMedia: the connection broke.
        """
        tracks = [self.video] if self.audio is None else [self.video, self.audio]
        while True:
            try:
                for packet in self._container.demux(tracks):
                    if packet.size:  # the empty ones at the end only flush decoders
                        yield packet
                return
            except InvalidDataError as error:
                self.damaged_reads += 1
                if not self.is_finite:
                    raise UnreadableMedia(self.shown, reason="its data are damaged") from error
                if self.damaged_reads > MAX_DAMAGED_READS:
                    return  # the rest of a recording cannot be read
            except FFmpegError as error:
                raise translated(error, self._address, silent_s=self.silent_s) from error


def open_source(url: str, options: SourceOptions | None = None) -> Source:
    """Connect and find the video track.

    Raises:
        SourceError, MediaError
    """
    options = options or SourceOptions()
    address = check_source(url, file_roots=options.file_roots)
    silent_s = options.read_timeout_s or (
        SILENT_HTTP_S if address.scheme in ("http", "https") else SILENT_S
    )
    try:
        container = av.open(
            address.target,
            format="v4l2" if address.scheme == "v4l2" else None,
            options=_ffmpeg_options(address, options),
            # asking a local file for a time-out costs a call into Python for every read
            timeout=None if address.scheme == "file" else (options.open_timeout_s, silent_s),
        )
    except FFmpegError as error:
        if options.ca_file is not None and is_encrypted(address.scheme):
            reason = why_untrusted(
                address.target, ca_file=options.ca_file, timeout_s=options.open_timeout_s
            )
            if reason:
                raise SourceUntrusted(address.shown, reason=reason) from error
        raise translated(error, address, silent_s=options.open_timeout_s) from error
    try:
        if options.file_roots is not None and not address.is_network:
            refuse_playlist(container.format.name, shown=address.shown)
        return Source(address, container, silent_s=silent_s)
    except StreamingError:
        container.close()
        raise


def _ffmpeg_options(address: Address, options: SourceOptions) -> dict[str, str]:
    given = {"protocol_whitelist": PROTOCOLS_BEHIND[address.scheme], "fflags": "+genpts"}
    if address.scheme in ("rtsp", "rtsps"):
        given["rtsp_transport"] = options.rtsp_transport
    if address.scheme == "v4l2":
        given["input_format"] = "mjpeg"  # what nearly all have; raw pictures would fill the disk
    if is_encrypted(address.scheme):
        given |= tls_options(options.ca_file)
    return given | dict(options.extra)


def translated(error: FFmpegError, address: Address, *, silent_s: float) -> StreamingError:
    """FFmpeg's error as ours; its own text may hold the URL with the password, so it stays out."""
    shown = address.shown
    reason = (error.strerror or type(error).__name__).strip()
    if isinstance(error, ExitError):
        return SourceStalled(shown, after_s=silent_s)
    if isinstance(error, HTTPUnauthorizedError | HTTPForbiddenError):
        return SourceUnauthorised(shown)
    if isinstance(error, HTTPNotFoundError | FileNotFoundError):
        return SourceMissing(shown)
    if isinstance(error, PermissionError):
        return SourceNotPermitted(shown)
    if isinstance(error, InvalidDataError):
        return UnreadableMedia(
            shown, reason=why_invalid(address.path) or "its bytes are no video that FFmpeg knows"
        )
    if address.is_network or address.scheme == "v4l2":
        return SourceUnreachable(shown, reason=reason.lower())
    return UnreadableMedia(shown, reason=reason.lower())


def _video_track(shown: str, container: InputContainer) -> VideoStream:
    name = container.format.name
    tracks = [
        stream
        for stream in container.streams
        if stream.type == "video" and not stream.disposition & Disposition.attached_pic
    ]
    if not tracks:
        found = tuple(sorted({stream.type for stream in container.streams}))
        raise NoVideoTrack(shown, found=found)
    track = cast(VideoStream, tracks[0])
    context = cast(object, track.codec_context)
    if context is None:
        raise UnsupportedCodec(shown, codec=_tag_of(track))
    codec = track.codec.canonical_name
    if codec in DRAWN_TEXT:
        raise UnreadableMedia(shown, reason="it is text")
    if name.endswith(STILL_FORMATS) or (name == "gif" and track.frames == 1):
        raise StillImage(shown, codec=codec)
    if not track.codec_context.width:
        raise UnreadableMedia(shown, reason="it holds no keyframe that tells its picture size")
    return track


def _tag_of(track: Stream) -> str:
    tag = ""
    with suppress(AttributeError):
        tag = track.codec_tag
    return tag.strip("\0 ") or "unknown"


def _audio_track(container: InputContainer) -> AudioStream | None:
    for stream in container.streams.audio:
        if cast(object, stream.codec_context) is not None:
            return stream
    return None
