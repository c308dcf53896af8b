"""Numeric variables of MATLAB files, v5 read here by its tags and v7.3 as the HDF5 that it is."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from striate.errors import FileError
from striate.files.hdf5 import h5_array, open_hdf5
from striate.files.zips import BOMB, DEFLATE, LARGE

TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""Number of a storage type → how it is stored."""
CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
"""Number of a class of arrays → what MATLAB shows; other classes hold no numbers."""
MATRIX, COMPRESSED = 14, 15
LONGEST_HEAD = 4096
"""Bytes within which a variable's name is found."""


def read_mat(path: Path, wanted: str = "") -> dict[str, np.ndarray]:
    """Numeric variables of a .mat file with their axes as MATLAB shows them.

    The container is told by its signature: v7.3 is HDF5, where axes are stored in reverse. With
    `wanted`, only that variable is read, if it is there. Truth values come as uint8.

    Raises
    ------
    FileError
        When there is no such file, it is damaged or no MATLAB file of v5 to v7.3, or a variable
        claims more than the file holds.

    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"no file {path}; check the path")
    if h5py.is_hdf5(path):
        return _v73(path, wanted)
    try:
        return mat_variables(path.read_bytes(), path, wanted)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def mat_variables(content: bytes, where: object, wanted: str = "") -> dict[str, np.ndarray]:
    """As `read_mat`, of the content of a v5 file."""
    try:
        return _v5(content, wanted)
    except MemoryError as error:
        raise FileError(f"{where} unpacks to more than there is memory") from error
    except DamagedError as error:
        raise FileError(
            f"{where} is damaged or no MATLAB file: {error}; copy or download it again"
        ) from error


class DamagedError(Exception):
    """What does not fit in a file."""


class Element(NamedTuple):
    """A tag and the bytes that it announces."""

    kind: int
    content: memoryview


def _v73(path: Path, wanted: str) -> dict[str, np.ndarray]:
    with open_hdf5(path) as file:
        found = {
            n: file[n]
            for n in file
            if n != "#refs#" and isinstance(file.get(n, getlink=True), h5py.HardLink)
        }
        data = {n: d for n, d in found.items() if isinstance(d, h5py.Dataset)}
        names = [wanted] if wanted in data else list(data)
        return {
            n: h5_array(data[n], path).T
            for n in names
            if data[n].dtype.kind in "biuf" and "MATLAB_empty" not in data[n].attrs
        }


def _v5(content: bytes, wanted: str) -> dict[str, np.ndarray]:
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI"):
        raise DamagedError("it does not begin as one of v5 to v7.3; save it with -v7")
    order = "<" if content[126:128] == b"IM" else ">"
    variables: dict[str, np.ndarray] = {}
    taken = 0
    left = memoryview(content)[128:]
    while len(left) >= 8:
        element, left = _element(left, order, padded=False)
        if element.kind == COMPRESSED:
            if wanted and _called(element.content, order) not in (wanted, None):
                continue
            element = _inflated(element.content, order)
        if element.kind != MATRIX:
            raise DamagedError(f"an element of type {element.kind} stands where a variable belongs")
        found = _matrix(element.content, order, wanted, len(content), taken)
        if found is not None:
            variables[found[0]] = found[1]
            taken += found[1].nbytes
    if len(left):
        raise DamagedError("it ends within a tag")
    if wanted and wanted not in variables:
        return _v5(content, "")
    return variables


def _element(left: memoryview, order: str, padded: bool = True) -> tuple[Element, memoryview]:
    """The next element and what follows; one of up to 4 bytes stands within its tag."""
    if len(left) < 8:
        raise DamagedError("it ends within a tag")
    kind, size = struct.unpack(f"{order}II", left[:8])
    if kind >> 16:
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise DamagedError(f"a short element claims {size} bytes")
        return Element(kind, left[4 : 4 + size]), left[8:]
    if size > len(left) - 8:
        raise DamagedError(f"an element claims {size} bytes where {len(left) - 8} are left")
    end = 8 + size
    return Element(kind, left[8:end]), left[end + (-size % 8 if padded else 0) :]


def _inflated(packed: memoryview, order: str) -> Element:
    """The element that is packed in another, of the size that its own tag tells."""
    unpack = zlib.decompressobj()
    try:
        tag = unpack.decompress(packed, 8)
        if len(tag) < 8:
            raise DamagedError("a packed variable is empty")
        kind, size = struct.unpack(f"{order}II", tag)
        if size > DEFLATE * len(packed) or (size > LARGE and size > BOMB * len(packed)):
            raise DamagedError(f"{len(packed)} packed bytes claim to unpack to {size}")
        content = unpack.decompress(unpack.unconsumed_tail, size + 1)
        while not unpack.eof and len(content) <= size:
            more = unpack.decompress(unpack.unconsumed_tail, size + 1 - len(content))
            if not more:
                break
            content += more
    except zlib.error as error:
        raise DamagedError(str(error)) from error
    if len(content) != size or not unpack.eof:
        raise DamagedError("a packed variable is not as long as it claims")
    return Element(kind, memoryview(content))


def _called(packed: memoryview, order: str) -> str | None:
    """The name of a packed variable, of which only the beginning is unpacked; None if not told."""
    try:
        begin = memoryview(zlib.decompressobj().decompress(packed[:LONGEST_HEAD], LONGEST_HEAD))[8:]
        for _ in range(2):
            begin = _element(begin, order)[1]
        return bytes(_element(begin, order)[0].content).decode("latin1")
    except (zlib.error, DamagedError):
        return None


def _matrix(
    content: memoryview, order: str, wanted: str, size: int, taken: int
) -> tuple[str, np.ndarray] | None:
    """Name and values of a variable; None when it holds no real numbers, or is not wanted.

    Numbers are stored as narrow as they can be and become as wide as their class, which together
    with the `taken` bytes of others may not be too much for a file of `size` bytes.
    """
    flags, left = _element(content, order)
    if flags.kind != 6 or len(flags.content) != 8:
        raise DamagedError("a variable has no class")
    word = struct.unpack(f"{order}I", flags.content[:4])[0]
    if word & 0xFF not in CLASSES or word & 0x800:
        return None
    extent, left = _element(left, order)
    name, left = _element(left, order)
    if extent.kind != 5 or len(extent.content) % 4 or not 8 <= len(extent.content) <= 128:
        raise DamagedError("a variable has no shape")
    shape = tuple(int(n) for n in np.frombuffer(extent.content, f"{order}i4"))
    if name.kind != 1 or min(shape) < 0:
        raise DamagedError("a variable has no name or shape")
    called = bytes(name.content).decode("latin1")
    if wanted and called != wanted:
        return None
    data, left = _element(left, order)
    if data.kind not in TYPES:
        raise DamagedError(f"{called!r} is stored as an unknown type {data.kind}")
    if len(left):
        raise DamagedError(f"{len(left)} bytes follow the values of {called!r}")
    stored = np.dtype(order + TYPES[data.kind])
    if math.prod(shape) * stored.itemsize != len(data.content):
        raise DamagedError(f"{called!r} of shape {shape} does not fit {len(data.content)} bytes")
    wide = taken + math.prod(shape) * np.dtype(CLASSES[word & 0xFF]).itemsize
    if wide > LARGE and wide > BOMB * size:
        raise DamagedError(f"its {size} bytes claim to unpack to {wide}")
    values = np.frombuffer(data.content, stored).reshape(shape, order="F")
    return called, values.astype(CLASSES[word & 0xFF])
