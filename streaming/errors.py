"""What can go wrong with bytes and time.

StreamingError
├── SourceError                 a source cannot give video; `url` is redacted
│   ├── SchemeNotAllowed        the URL's scheme is not one that Longwatch opens
│   ├── BadSourceUrl            the URL cannot be a source (no host, empty, control characters)
│   ├── SourceMissing           no such file, device or page
│   ├── SourceIsDirectory       a directory where a file was expected
│   ├── SourceNotPermitted      the operating system refuses to read the file or device
│   ├── SourceOutsideRoots      a file that lies in none of the directories that are allowed
│   ├── SourceUnauthorised      the far end wants other credentials (401, 403)
│   ├── SourceUntrusted         nobody that we trust vouches for its certificate
│   ├── SourceUnreachable       the far end does not answer (dead host, refused, reset)
│   └── SourceStalled           connected, and then nothing came for too long
├── MediaError                  bytes came, and they are not video that can be used
│   ├── EmptyMedia              zero bytes
│   ├── UnreadableMedia         not a media file, or too damaged to be opened
│   ├── NoVideoTrack            audio or data only
│   ├── StillImage              one picture is not video
│   ├── UnsupportedCodec        a codec that cannot be read, or cannot be stored
│   └── DamagedVideo            opened, and not one picture or packet of it could be read
├── NvdecUnavailable            the GPU's video decoder cannot be used; the CPU can
├── FootageError                the footage store
│   ├── FootageFull             no space left; waits for space
│   ├── FootageUnavailable      the store does not answer, or may not be written
│   ├── FootageMissing          a stored segment is no longer there
│   └── BadFootageAddress       an address that does not belong to this store
└── BusError                    the bus
    ├── BusClosed               used after `close`
    ├── BusUnavailable          locked, unreachable or full for now
    ├── BusRefused              it lets us not in, or not do that; waiting does not help
    ├── BusEngineMissing        the client of Kafka is not installed
    ├── BusDamaged              its file cannot be read
    ├── RecordTooLarge          larger than what a bus carries; pixels do not belong there
    ├── OffsetOutOfRange        the offset was trimmed away, or does not exist yet
    └── BadMessage              a record that does not parse as the topic's message

Messages say the fact and what to do about it. No message carries a password: whoever raises a
`SourceError` gives it the URL through `streaming.sources.redact`.
"""

from pathlib import Path


class StreamingError(Exception):
    """Base of everything `streaming` raises."""


class SourceError(StreamingError):
    """A source cannot give video."""

    def __init__(self, url: str, message: str) -> None:
        super().__init__(f"{url}: {message}")
        self.url = url


class SchemeNotAllowed(SourceError):
    def __init__(self, url: str, *, scheme: str, allowed: tuple[str, ...]) -> None:
        super().__init__(
            url, f"scheme {scheme!r} is not allowed; give a path or one of {', '.join(allowed)}"
        )
        self.scheme = scheme


class BadSourceUrl(SourceError):
    """The URL cannot be a source."""


class SourceMissing(SourceError):
    def __init__(self, url: str) -> None:
        super().__init__(url, "does not exist; check the path or the URL")


class SourceIsDirectory(SourceError):
    def __init__(self, url: str) -> None:
        super().__init__(url, "is a directory; add its files one by one")


class SourceNotPermitted(SourceError):
    def __init__(self, url: str) -> None:
        super().__init__(url, "may not be read; give this user the right to read it")


class SourceOutsideRoots(SourceError):
    def __init__(self, url: str, *, roots: tuple[Path, ...]) -> None:
        named = ", ".join(map(str, roots))
        super().__init__(url, f"lies outside of what may be watched ({named})")
        self.roots = roots


class SourceUnauthorised(SourceError):
    def __init__(self, url: str) -> None:
        super().__init__(url, "refuses these credentials; correct the user name and password")


class SourceUntrusted(SourceError):
    """Reached, and perhaps not who it says; it was told no password."""

    def __init__(self, url: str, *, reason: str) -> None:
        super().__init__(
            url,
            f"its certificate is not to be trusted ({reason}); name the file of the authority that"
            " signed it",
        )
        self.reason = reason


class SourceUnreachable(SourceError):
    """The far end does not answer; capture tries again for ever."""

    def __init__(self, url: str, *, reason: str) -> None:
        super().__init__(url, f"does not answer ({reason})")
        self.reason = reason


class SourceStalled(SourceError):
    """Connected, then silent; capture connects again."""

    def __init__(self, url: str, *, after_s: float) -> None:
        super().__init__(url, f"sent nothing for {after_s:g} s")
        self.after_s = after_s


class MediaError(StreamingError):
    """Bytes came, and they are not video that can be used."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


class EmptyMedia(MediaError):
    def __init__(self, name: str) -> None:
        super().__init__(name, "is empty (zero bytes)")


class UnreadableMedia(MediaError):
    def __init__(self, name: str, *, reason: str) -> None:
        super().__init__(name, f"is not readable video ({reason})")
        self.reason = reason


class NoVideoTrack(MediaError):
    def __init__(self, name: str, *, found: tuple[str, ...]) -> None:
        super().__init__(name, f"has no video track; it holds {', '.join(found) or 'nothing'}")
        self.found = found


class StillImage(MediaError):
    def __init__(self, name: str, *, codec: str) -> None:
        super().__init__(name, f"is a still image ({codec}), not video")
        self.codec = codec


class UnsupportedCodec(MediaError):
    def __init__(self, name: str, *, codec: str) -> None:
        super().__init__(
            name, f"codec {codec!r} is not supported; re-encode it, for example to H.264"
        )
        self.codec = codec


class DamagedVideo(MediaError):
    def __init__(self, name: str, *, reason: str) -> None:
        super().__init__(name, f"is damaged, nothing of it can be read ({reason})")
        self.reason = reason


class NvdecUnavailable(StreamingError):
    remedy = (
        "install NVIDIA's driver with its video libraries "
        "(in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility,video)"
    )

    def __init__(self, device: str, *, reason: str) -> None:
        super().__init__(f"NVDEC of {device} cannot be used: {reason}; {self.remedy}")
        self.device = device
        self.reason = reason


class FootageError(StreamingError):
    """Base of what the footage store raises."""


class FootageFull(FootageError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(f"{where} is full ({reason}); make room or forget old footage")
        self.where = where
        self.reason = reason


class FootageUnavailable(FootageError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(f"footage store {where} cannot be used ({reason})")
        self.where = where
        self.reason = reason


class FootageMissing(FootageError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"stored segment {uri} is gone")
        self.uri = uri


class BadFootageAddress(FootageError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri!r} is not an address in this footage store")
        self.uri = uri


class BusError(StreamingError):
    """Base of what a bus raises."""


class BusClosed(BusError):
    def __init__(self) -> None:
        super().__init__("the bus is closed")


class BusUnavailable(BusError):
    def __init__(self, where: str, *, reason: str, retry_after_s: float = 1.0) -> None:
        super().__init__(f"bus {where} does not answer ({reason}); retry in {retry_after_s:g} s")
        self.where = where
        self.reason = reason
        self.retry_after_s = retry_after_s


class BusRefused(BusError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(
            f"bus {where} refuses ({reason}); correct the user, its rights, or what is refused"
        )
        self.where = where
        self.reason = reason


class BusEngineMissing(BusError):
    def __init__(self) -> None:
        super().__init__("the client of Kafka is not installed; install longwatch[kafka]")


class BusDamaged(BusError):
    def __init__(self, where: str, *, reason: str) -> None:
        super().__init__(f"bus {where} is damaged ({reason}); restore it or start a new one")
        self.where = where
        self.reason = reason


class RecordTooLarge(BusError):
    def __init__(self, topic: str, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"a record of {size_bytes} bytes for topic {topic!r} is larger than {limit_bytes}; "
            "store it elsewhere and publish its address"
        )
        self.topic = topic
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class OffsetOutOfRange(BusError):
    def __init__(self, topic: str, *, offset: int, first: int, end: int) -> None:
        super().__init__(f"topic {topic!r} holds offsets [{first}, {end}), not {offset}")
        self.topic = topic
        self.offset = offset
        self.first = first
        self.end = end


class BadMessage(BusError):
    def __init__(self, topic: str, *, offset: int, reason: str) -> None:
        super().__init__(f"record {offset} of topic {topic!r} is not its message ({reason})")
        self.topic = topic
        self.offset = offset
        self.reason = reason
