"""What the boxes of an MP4 file tell: why it cannot be opened, and where its media begins."""

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


def media_offset_bytes(head: bytes) -> int | None:
    """Where the first fragment of a fragmented MP4 file begins; None where `head` has none.

    What lies before is what a player needs to know first (the initialisation section).
    """
    at = 0
    while at + 8 <= len(head):
        length, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if kind == b"moof":
            return at
        if length < 8:
            return None
        at += length
    return None
