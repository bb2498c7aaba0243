"""The files of an archive as streams to be: which files, their names, and when they begin.

A file is a stream of its own, named after its path below what was given: `door/2025-03-01.mp4`
becomes `door-2025-03-01`. It is known again by its address, so a name, once given, stays.

Reads names of files, and nothing in them.
"""

import glob
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.errors import NoSuchFiles
from services.registry import LONGEST_NAME, NAME
from streaming.sources import FIRST_YEAR

SUFFIXES = frozenset(
    ".3gp .asf .avi .dav .flv .h264 .h265 .hevc .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .webm"
    " .wmv".split()
)
"""What counts as video in a directory. A file or a pattern that is named is taken at its word."""

DIGEST_CHARS = 8
IN_NAME = re.compile(
    r"(?<!\d)(\d{4})[-_./]?(\d\d)[-_./]?(\d\d)"
    r"[-_ T./]{0,2}(\d\d)[-_:./h]?(\d\d)(?:[-_:./m]?(\d\d)(?:[.,]?\d{3})?)?s?(Z)?(?!\d)"
)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file to take in. `begins_at` is what its name says."""

    path: str
    stream_id: str
    begins_at: datetime | None


@dataclass(frozen=True, slots=True)
class Taken:
    """One file that was dealt with. `failure` says why not all of it is remembered."""

    path: str
    stream_id: str
    clips: int
    failure: str | None = None


def files_of(sources: Iterable[str]) -> list[tuple[Path, str]]:
    """The files that directories, patterns and names mean, each with its path below these.

    Raises:
        NoSuchFiles: nothing is meant by one of them.
    """
    found: dict[Path, str] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            files = [one for one in path.rglob("*") if is_video(one.relative_to(path))]
            top = path
        elif path.exists():
            files, top = [path], path.parent
        else:
            top = top_of(source)
            files = list(top.glob(str(path.relative_to(top))))
        files = [one for one in files if one.is_file()]
        if not files:
            raise NoSuchFiles(source)
        for one in files:
            found.setdefault(one.absolute(), str(one.relative_to(top)))
    return sorted(found.items())


def is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in path.parts)


def top_of(pattern: str) -> Path:
    """The folder above the first part of a pattern that may stand for several names."""
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:first])


def plan_of(files: Iterable[tuple[Path, str]], known: Mapping[str, str]) -> list[ArchiveFile]:
    """Files as streams. `known` are the names of streams there are, by their address."""
    taken = set(known.values())
    plan: list[ArchiveFile] = []
    for path, below in files:
        name = known.get(str(path)) or free_name(str(path), below, taken)
        taken.add(name)
        plan.append(ArchiveFile(str(path), name, time_in(below)))
    return plan


def free_name(path: str, below: str, taken: Collection[str]) -> str:
    """A name after the path below the archive; with a digest of the whole one where need be."""
    plain = re.sub(r"[^a-z0-9_]+", "-", str(Path(below).with_suffix("")).lower()).strip("-_")
    if NAME.fullmatch(plain) and plain not in taken:
        return plain
    digest = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:DIGEST_CHARS]
    return f"{plain[: LONGEST_NAME - DIGEST_CHARS - 1]}-{digest}".lstrip("-_")


def time_in(name: str) -> datetime | None:
    """The date and hour in a name, such as 2025-03-01_14-00-05; in this machine's zone, or UTC."""
    for found in IN_NAME.finditer(name):
        *digits, zulu = found.groups()
        year, month, day, hour, minute, second = (int(part or 0) for part in digits)
        try:
            at = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - its zone is next
        except ValueError:
            continue
        if at.year >= FIRST_YEAR:
            return datetime.fromisoformat(f"{at.isoformat()}Z") if zulu else at.astimezone()
    return None
