"""Which container a file of unknown origin is, before anything else opens it."""

from pathlib import Path

import av
from av.error import FFmpegError

from streaming.errors import UnreadableMedia

SUFFIX_OF = {
    "mov": ".mp4",
    "matroska": ".mkv",
    "mpegts": ".ts",
    "avi": ".avi",
    "flv": ".flv",
    "asf": ".wmv",
    "mpeg": ".mpg",
}
"""Containers that hold their pictures themselves. A playlist is none: it names other files."""


def suffix_of(path: Path, *, shown: str) -> str:
    """What a file of its container is called.

    Raises:
        UnreadableMedia: it is none of these; `shown` is what errors call the file.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(SUFFIX_OF)}
    try:
        with av.open(f"file:{path}", options=options) as container:
            names = container.format.name.split(",")
    except FFmpegError as error:
        reason = f"it is none of {', '.join(SUFFIX_OF)}, or damaged"
        raise UnreadableMedia(shown, reason=reason) from error
    return next(suffix for name, suffix in SUFFIX_OF.items() if name in names)
