"""The little of H.264 and H.265 that must be read to know what may be left undecoded.

Containers flag more packets as keyframes than a decoder can start from: an H.264 recovery point
(open GOP, periodic intra refresh) leans on the pictures before it. Only the header bytes of a
packet's units are read, never their payload.
"""

from collections.abc import Iterator

H264_IDR_SLICE = 5
H264_SLICES = range(1, 6)
H265_FIRST_FRESH, H265_LAST_FRESH = 16, 21  # broken link, instantaneous refresh, clean access
H265_SLICES = range(32)

_START_CODE = b"\x00\x00\x01"


def length_prefix_bytes(codec: str, extradata: bytes | None) -> int | None:
    """Width of the length before each unit; None where start codes part the units."""
    at = {"h264": 4, "hevc": 21}[codec]
    if extradata is None or len(extradata) <= at or extradata[0] != 1:
        return None
    return (extradata[at] & 3) + 1


def first_slice_header(codec: str, packet: memoryview, prefix_bytes: int | None) -> bytes:
    """Return the two header bytes of the packet's first slice; empty if it holds none."""
    slices = H264_SLICES if codec == "h264" else H265_SLICES
    for at in _unit_starts(packet, prefix_bytes):
        header = bytes(packet[at : at + 2])
        if len(header) == 2 and _unit_type(codec, header) in slices:
            return header
    return b""


def starts_afresh(codec: str, header: bytes) -> bool:
    """Whether nothing that follows this slice in coding order leans on what was before it.

    An H.265 clean random access counts: the pictures that do lean back are shown before it, and
    the caller sees that by their time stamps.
    """
    if not header:
        return False
    kind = _unit_type(codec, header)
    if codec == "h264":
        return kind == H264_IDR_SLICE
    return H265_FIRST_FRESH <= kind <= H265_LAST_FRESH


def in_base_layer(codec: str, header: bytes) -> bool:
    """Whether the slice is of the lowest temporal layer.

    In a stream with one layer only, a non-reference picture is one that no picture needs; with
    several, H.265 lets higher layers need it.
    """
    return codec == "h264" or not header or header[1] & 7 == 1


def _unit_type(codec: str, header: bytes) -> int:
    return header[0] & 0x1F if codec == "h264" else header[0] >> 1 & 0x3F


def _unit_starts(packet: memoryview, prefix_bytes: int | None) -> Iterator[int]:
    """Offsets of the first header byte of each unit."""
    if prefix_bytes is not None:
        at = 0
        while at + prefix_bytes < len(packet):
            yield at + prefix_bytes
            at += prefix_bytes + int.from_bytes(packet[at : at + prefix_bytes], "big")
        return
    data = bytes(packet)
    at = data.find(_START_CODE)
    while at >= 0:
        yield at + 3
        at = data.find(_START_CODE, at + 3)
