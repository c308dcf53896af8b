"""Plain data as a pickle of protocol 4, in the spelling that old and new NumPy read alike."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from striate.errors import DataError
from striate.files.rebuild import plain_key


def pickled(value: Any) -> bytes:
    """The bytes of a pickle of arrays, dicts, lists, tuples, text, bytes, numbers, None.

    Raises
    ------
    DataError
        When something in the value is none of these.

    """
    return b"".join([b"\x80\x04", *_parts(value), b"."])


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    kind = type(value)
    if value is None or kind is bool:
        yield {None: b"N", True: b"\x88", False: b"\x89"}[value]
    elif kind is int:
        count = value.bit_length() // 8 + 1
        if count > 255:
            raise DataError("a number of more than 2,000 bits is no plain data")
        yield b"\x8a" + bytes([count]) + value.to_bytes(count, "little", signed=True)
    elif kind is float:
        yield b"G" + struct.pack(">d", value)
    elif kind is str:
        content = value.encode("utf-8", "surrogatepass")
        yield b"\x8d" + struct.pack("<Q", len(content)) + content
    elif kind is bytes:
        yield from (b"\x8e", struct.pack("<Q", len(value)), value)
    elif kind is tuple:
        yield b"("
        for item in value:
            yield from _parts(item)
        yield b"t"
    elif kind is list:
        yield b"]("
        for item in value:
            yield from _parts(item)
        yield b"e"
    elif isinstance(value, dict):
        yield b"}("
        for key, item in value.items():
            if not plain_key(key):
                raise DataError(f"a {type(key).__name__} is no plain key: give text or numbers")
            yield from _parts(key)
            yield from _parts(item)
        yield b"u"
    elif isinstance(value, np.ndarray):
        yield from _array(value)
    elif isinstance(value, np.generic) and value.dtype.kind in "biufcSU":
        yield _name("numpy.core.multiarray", "scalar")
        yield from _dtype(value.dtype)
        yield from _parts(value.tobytes())
        yield b"\x86R"
    else:
        raise DataError(
            f"{kind.__module__}.{kind.__name__} is no plain data: give arrays, dicts, lists,"
            " tuples, text or numbers"
        )


def _array(value: np.ndarray) -> Iterator[bytes | memoryview]:
    if value.dtype.kind not in "biufcSUO" or value.dtype.names:
        raise DataError(f"an array of {value.dtype} is no plain data: give numbers or text")
    yield _name("numpy.core.multiarray", "_reconstruct") + _name("numpy", "ndarray")
    yield b"K\x00\x85C\x01b\x87R"
    yield b"(K\x01"
    yield from _parts(tuple(int(n) for n in value.shape))
    yield from _dtype(value.dtype)
    yield b"\x89"
    if value.dtype.hasobject:
        yield from _parts(list(value.ravel()))
    else:
        content = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        yield from (b"\x8e", struct.pack("<Q", content.size), content.data)
    yield b"tb"


def _dtype(dtype: np.dtype) -> Iterator[bytes]:
    order = dtype.str[0]
    yield _name("numpy", "dtype")
    yield from _parts(dtype.str[1:])  # type: ignore[misc]
    yield b"\x89\x88\x87R"
    sizes = (-1, -1, 0)
    if dtype.kind in "SU":
        sizes = (dtype.itemsize, 1 if dtype.kind == "S" else 4, 8 if dtype.kind == "U" else 0)
    if dtype.kind == "O":
        sizes = (-1, -1, 63)
    yield from _parts((3, order, None, None, None, *sizes))  # type: ignore[misc]
    yield b"b"


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode("ascii")
