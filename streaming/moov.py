"""Tell why an MP4 file cannot be opened, where its boxes tell."""

from pathlib import Path


def why_invalid(path: Path | None) -> str | None:
    """Tell the commonest damage to an MP4 file: the recorder was stopped before it wrote `moov`."""
    if path is None:
        return None
    with path.open("rb") as file:
        size = path.stat().st_size
        at, kinds = 0, list[bytes]()
        while at + 8 <= size and len(kinds) < 64:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            kinds.append(head[4:8])
            at += length if length >= 8 else size
    if kinds and kinds[0] == b"ftyp" and b"moov" not in kinds:
        return "its index, the moov box, is missing: the recording was cut short"
    return None
