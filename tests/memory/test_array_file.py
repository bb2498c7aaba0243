"""A file of arrays is the same for the same content, and tells when it was harmed."""

import numpy as np
import pytest

from memory.array_file import digest_of, pack, unpack

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([True, False]),
    "none": np.zeros((0, 4), dtype=np.int64),
    "one": np.array(7, dtype=np.uint8),
}


def test_header_and_arrays_come_back() -> None:
    header, arrays = unpack(pack({"name": "größe", "n": 3}, ARRAYS))

    assert header == {"name": "größe", "n": 3}
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert np.array_equal(arrays[name], array)


def test_neither_order_nor_memory_layout_changes_the_bytes() -> None:
    turned = {name: ARRAYS[name] for name in sorted(ARRAYS, reverse=True)}
    turned["b"] = np.asfortranarray(ARRAYS["b"].astype(">f4"))

    assert pack({"x": 1, "y": 2}, ARRAYS) == pack({"y": 2, "x": 1}, turned)
    assert digest_of(pack({}, ARRAYS)) == digest_of(pack({}, turned))


def test_only_numbers_are_kept() -> None:
    with pytest.raises(ValueError, match="'a' holds object"):
        pack({}, {"a": np.array([None])})


def test_every_flipped_byte_is_noticed() -> None:
    packed = pack({"n": 3}, ARRAYS)
    for at in range(len(packed)):
        harmed = bytearray(packed)
        harmed[at] ^= 0x10
        with pytest.raises(ValueError, match=r"checksum|start"):
            unpack(bytes(harmed))


def test_every_cut_is_noticed() -> None:
    packed = pack({"n": 3}, ARRAYS)
    for length in range(len(packed)):
        with pytest.raises(ValueError, match=r"checksum|start|short|empty"):
            unpack(packed[:length])
