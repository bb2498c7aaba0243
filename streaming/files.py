"""Files of this machine: the path in a URL, and which may be opened, whatever links say."""

from pathlib import Path
from urllib.parse import unquote

from streaming.errors import BadSourceUrl, SourceOutsideRoots, UnreadableMedia

PLAYLISTS = ("hls", "concat", "dash", "imf")
"""FFmpeg's names of files that name other files, which nobody looks at before they are opened."""


def path_in(url: str) -> Path:
    """The path of file:/a, file:///a, file://localhost/a and v4l2:///dev/video0."""
    rest = url.partition(":")[2]
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise BadSourceUrl(url, f"names a file on another machine ({host})")
        rest = unquote(slash + rest)
    if not rest:
        raise BadSourceUrl(url, "names no file")
    return Path(rest)


def real_path(path: Path, roots: tuple[Path, ...], *, shown: str) -> Path:
    """The path without links. Says nothing of whether there is such a file.

    Raises:
        SourceOutsideRoots
    """
    real = path.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise SourceOutsideRoots(shown, roots=roots)
    return real


def refuse_playlist(format_name: str, *, shown: str) -> None:
    """
    Raises:
        UnreadableMedia: it is one.
    """
    if any(name in PLAYLISTS for name in format_name.split(",")):
        raise UnreadableMedia(shown, reason="it names other files; give those themselves")
