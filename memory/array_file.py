"""One file of named arrays with a header: the same content gives the same bytes.

Layout: magic, digest of the rest (BLAKE2b, 16 bytes), length of the header (8 bytes, little
endian), header as JSON with sorted keys, then the arrays one after another, C order, little
endian. No time, no path and no code is inside, so a file is safe to read and cheap to check.

Pure: bytes in, bytes out. Who keeps the file says what a damaged one means.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"LWARRAY1"
_DIGEST_BYTES = 16
_LENGTH_BYTES = 8
_HEADER_AT = len(_MAGIC) + _DIGEST_BYTES + _LENGTH_BYTES
_KINDS = "biuf"

Arrays = Mapping[str, NDArray[Any]]


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The bytes of a file. The header must be JSON; arrays hold numbers or truth values."""
    plain = {name: _little_endian(name, arrays[name]) for name in sorted(arrays)}
    described = {
        "header": dict(header),
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in plain.items()],
    }
    head = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
    body = b"".join(
        [len(head).to_bytes(_LENGTH_BYTES, "little"), head, *(a.tobytes() for a in plain.values())]
    )
    return _MAGIC + _digest(body) + body


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays (read-only views) of a file; `ValueError` says what is wrong with it."""
    if not data.startswith(_MAGIC):
        raise ValueError("it is empty" if not data else "it does not start as such a file does")
    if len(data) < _HEADER_AT:
        raise ValueError("it is cut short")
    if _digest(data[len(_MAGIC) + _DIGEST_BYTES :]) != data[len(_MAGIC) :][:_DIGEST_BYTES]:
        raise ValueError("its checksum does not match")
    head_length = int.from_bytes(data[_HEADER_AT - _LENGTH_BYTES : _HEADER_AT], "little")
    at = _HEADER_AT + head_length
    described = json.loads(data[_HEADER_AT:at])
    arrays: dict[str, NDArray[Any]] = {}
    for name, kind, shape in described["arrays"]:
        dtype = np.dtype(kind)
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
        at += count * dtype.itemsize
    return described["header"], arrays


def digest_of(data: bytes) -> str:
    """The checksum that a packed file carries, as text."""
    return data[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES].hex()


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in _KINDS:
        raise ValueError(f"array {name!r} holds {array.dtype}, not numbers")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
