"""A saved index: plain arrays in checked files, and a manifest that says which ones count.

    DIRECTORY/manifest.json                    written last: what it names is complete
    DIRECTORY/STREAM.DAY.CHECKSUM.vectors      one partition; never changed, only replaced

A crash at any moment leaves the old index or the new one. The files hold vectors and no code,
and know nothing of the library that searches them. Whatever is wrong with them is
`DamagedIndex`, since the cure is the same: rebuild.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from memory.array_file import digest_of, pack, unpack
from memory.durable import UNFINISHED_SUFFIX, sync_directory, write_durably
from memory.errors import DamagedIndex, from_os_error
from memory.values import Mark

_MANIFEST = "manifest.json"
_SUFFIX = ".vectors"


@dataclass(frozen=True, slots=True, eq=False)
class PartitionData:
    """The clips of one stream and media day. Arrays run along the clips.

    text and visual have shape (clips, width): float32, or float16 once the day is sealed.
    """

    stream_id: str
    day: int
    clip_ids: list[str]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    text: NDArray[Any]
    visual: NDArray[Any]


class PartitionEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    digest: str
    clips: int

    @property
    def stream_id(self) -> str:
        return self.file.partition(".")[0]


class Manifest(BaseModel):
    """What a saved index is: whose vectors, how wide, how many, and how far of which record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = "longwatch-index/1"
    embedder_id: str
    width: int
    clips: int
    mark: Mark
    partitions: tuple[PartitionEntry, ...]


def write_partition(directory: Path, data: PartitionData) -> PartitionEntry:
    """Write one partition under a name of its own; it counts once a manifest names it."""
    header = {"stream_id": data.stream_id, "day": data.day, "clip_ids": data.clip_ids}
    packed = pack(
        header,
        {
            "start_ns": data.start_ns,
            "end_ns": data.end_ns,
            "text": data.text,
            "visual": data.visual,
        },
    )
    digest = digest_of(packed)
    file = f"{data.stream_id}.{data.day:06}.{digest[:16]}{_SUFFIX}"
    write_durably(directory / file, packed)
    return PartitionEntry(file=file, digest=digest, clips=len(data.clip_ids))


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Make the partitions that it names the index, and delete the others."""
    write_durably(directory / _MANIFEST, manifest.model_dump_json(indent=1).encode())
    named = {entry.file for entry in manifest.partitions}
    try:
        for path in directory.iterdir():
            if path.name not in named and path.name.endswith((_SUFFIX, UNFINISHED_SUFFIX)):
                path.unlink(missing_ok=True)
        sync_directory(directory)
    except OSError as error:
        raise from_os_error(error, str(directory)) from error


def read_manifest(directory: Path, *, embedder_id: str, width: int) -> Manifest:
    """The manifest of a saved index of that embedder."""
    try:
        manifest = Manifest.model_validate_json((directory / _MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise DamagedIndex(str(directory), detail="nothing is saved there") from error
    except (OSError, ValidationError) as error:
        raise DamagedIndex(str(directory), detail=f"its manifest: {error}") from error
    if (manifest.embedder_id, manifest.width) != (embedder_id, width):
        raise DamagedIndex(
            str(directory),
            detail=f"it holds vectors of {manifest.embedder_id}, {manifest.width} wide, "
            f"not of {embedder_id}, {width} wide",
        )
    if manifest.clips != sum(entry.clips for entry in manifest.partitions):
        raise DamagedIndex(str(directory), detail="its counts do not add up")
    return manifest


def read_partition(directory: Path, entry: PartitionEntry, *, width: int) -> PartitionData:
    """Read one partition and check it against its entry in the manifest."""
    path = directory / entry.file
    try:
        packed = path.read_bytes()
        header, arrays = unpack(packed)
        data = PartitionData(
            stream_id=header["stream_id"],
            day=header["day"],
            clip_ids=header["clip_ids"],
            start_ns=arrays["start_ns"],
            end_ns=arrays["end_ns"],
            text=arrays["text"],
            visual=arrays["visual"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise DamagedIndex(str(path), detail=str(error)) from error
    if digest_of(packed) != entry.digest:
        raise DamagedIndex(str(path), detail="it is not the file that the manifest names")
    shapes = {data.text.shape, data.visual.shape}
    if shapes != {(entry.clips, width)} or len(data.clip_ids) != entry.clips:
        raise DamagedIndex(str(path), detail="its arrays do not fit together")
    return data
