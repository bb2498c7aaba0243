"""What the first bytes of a packet tell of where decoding may start."""

from collections.abc import Callable

import pytest

from streaming.nals import first_slice_header, in_base_layer, length_prefix_bytes, starts_afresh

H264_PARAMETERS, H264_IDR, H264_SLICE = b"\x67\x00", b"\x65\x88", b"\x41\x9a"
H265_PARAMETERS, H265_IDR, H265_CRA = b"\x40\x01", b"\x26\x01", b"\x2a\x01"
H265_SLICE, H265_UPPER_SLICE = b"\x02\x01", b"\x02\x02"


def started(*units: bytes) -> memoryview:
    return memoryview(b"".join(b"\x00\x00\x01" + unit + b"\x11\x22" for unit in units))


def measured(*units: bytes) -> memoryview:
    return memoryview(b"".join(bytes([0, 0, 0, 4]) + unit + b"\x11\x22" for unit in units))


@pytest.mark.parametrize(("packed", "prefix_bytes"), [(started, None), (measured, 4)])
def test_the_first_slice_is_found_behind_the_parameters(
    packed: Callable[..., memoryview], prefix_bytes: int | None
):
    h264 = first_slice_header("h264", packed(H264_PARAMETERS, H264_IDR), prefix_bytes)
    h265 = first_slice_header("hevc", packed(H265_PARAMETERS, H265_CRA), prefix_bytes)
    assert (h264, h265) == (H264_IDR, H265_CRA)


@pytest.mark.parametrize("prefix_bytes", [None, 1, 2, 4])
@pytest.mark.parametrize("packet", [b"", b"\x00", b"\x00\x00\x01", b"\xff" * 9, b"\x00" * 9])
def test_bytes_that_hold_no_slice_give_none(packet: bytes, prefix_bytes: int | None):
    header = first_slice_header("hevc", memoryview(packet[:3]), prefix_bytes)
    assert not starts_afresh("hevc", header)


def test_only_a_refresh_starts_afresh():
    assert starts_afresh("h264", H264_IDR)
    assert not starts_afresh("h264", H264_SLICE)  # a recovery point, though called a keyframe
    assert starts_afresh("hevc", H265_IDR)
    assert starts_afresh("hevc", H265_CRA)
    assert not starts_afresh("hevc", H265_SLICE)
    assert not starts_afresh("h264", b"")


def test_temporal_layers_are_told_apart():
    assert in_base_layer("hevc", H265_SLICE)
    assert not in_base_layer("hevc", H265_UPPER_SLICE)
    assert in_base_layer("h264", H264_SLICE)


@pytest.mark.parametrize(
    ("codec", "extradata", "prefix_bytes"),
    [
        ("h264", None, None),
        ("h264", b"\x00\x00\x00\x01\x67\x64\x00", None),  # start codes, as in a transport stream
        ("h264", b"\x01\x64\x00\x1f\xff\xe1", 4),
        ("h264", b"\x01\x64\x00\x1f\xfd\xe1", 2),
        ("hevc", b"\x01" + bytes(20) + b"\x0f", 4),
        ("hevc", b"\x01", None),
    ],
)
def test_the_width_of_lengths_is_read_from_the_parameters(
    codec: str, extradata: bytes | None, prefix_bytes: int | None
):
    assert length_prefix_bytes(codec, extradata) == prefix_bytes
