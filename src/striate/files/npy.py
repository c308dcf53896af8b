"""Arrays of .npy and .npz files, after what the header claims is held against the file."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from striate.errors import DataError, FileError, unknown
from striate.files.rebuild import check_content, count_of, kind_of
from striate.files.zips import open_member, told, zip_members

MAGIC = b"\x93NUMPY"
LONGEST = 1 << 16
"""Bytes of a header; those of arrays have 128."""
PIECE = 1 << 22
ITEM = r"'(\w+)'\s*:\s*('[^'\\]*'|True|False|\([\dL,\s]*\))\s*"
HEADER = re.compile(rf"\s*{{\s*{ITEM},\s*{ITEM},\s*{ITEM},?\s*}}\s*")


class Header(NamedTuple):
    """What stands before the values."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    offset: int

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return count_of(self.shape) * self.dtype.itemsize


def read_npy(path: Path, mmap: bool = False) -> np.ndarray:
    """The array of a .npy file; with `mmap` it stays on disk, read-only.

    Raises
    ------
    FileError
        When there is no such file, it holds fewer or more values than its header says, objects
        (`read_object_npy` reads plain ones), records, or is no .npy file.

    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            header = read_header(stream, size, path)
            _fits(header, size, path)
            if mmap and header.size:
                order: str = "F" if header.fortran else "C"
                return np.memmap(
                    path,
                    header.dtype,
                    "r",
                    header.offset,
                    header.shape,
                    order,  # type: ignore
                )
            return _values(stream, header, path)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def read_npz(path: Path, wanted: str = "") -> dict[str, np.ndarray]:
    """Arrays of a .npz archive by name; with `wanted`, that one alone.

    Without `wanted`, members that hold objects are left out.

    Raises
    ------
    FileError
        As `read_npy`, and when the archive is damaged or unpacks to far more than its size.

    """
    path = Path(path)
    members = {n.removesuffix(".npy"): i for n, i in zip_members(path).items()}
    if wanted and wanted not in members:
        raise DataError(unknown("variable", wanted, members, str(path)))
    arrays = {}
    for name in [wanted] if wanted else members:
        info = members[name]
        with open_member(path, info) as stream:
            header = read_header(stream, info.file_size, f"{told(name)} of {path}")
            if header.dtype.hasobject and not wanted:
                continue
            _fits(header, info.file_size, f"{told(name)} of {path}")
            arrays[name] = _values(stream, header, f"{told(name)} of {path}")
            stream.read(1)  # the checksum is compared at the end
    return arrays


def npz_headers(path: Path) -> dict[str, Header]:
    """Shapes and dtypes of the arrays of a .npz archive by name, of which nothing else is read.

    Raises
    ------
    FileError
        As `read_npz`.

    """
    path = Path(path)
    headers = {}
    for member, info in zip_members(path).items():
        name = member.removesuffix(".npy")
        with open_member(path, info) as stream:
            headers[name] = read_header(stream, info.file_size, f"{told(name)} of {path}")
    return headers


def read_header(stream: BufferedIOBase, size: int, where: object) -> Header:
    """Shape, order, dtype and place of the values; nothing of the header is run."""
    start = stream.read(8)
    version = start[6:7]
    if start[:6] != MAGIC or version not in (b"\x01", b"\x02", b"\x03"):
        hint = ""
        if start[:1] == b"\x80":
            hint = ": it is a pickle, and reading one as Python does would run code"
        raise FileError(f"{where} is damaged or no NumPy file{hint}")
    form = "<H" if version == b"\x01" else "<I"
    counted = stream.read(struct.calcsize(form))
    length = struct.unpack(form, counted)[0] if len(counted) == struct.calcsize(form) else size
    if length > min(LONGEST, size):
        raise FileError(f"{where} is damaged: its header claims {length} bytes")
    text = stream.read(length).decode("latin1" if version != b"\x03" else "utf-8", "replace")
    if re.search(r"'descr'\s*:\s*\[", text):
        raise FileError(f"{where} holds records, where plain numbers belong: save a plain array")
    match = HEADER.fullmatch(text)
    pairs = match.groups() if match else ()
    facts: Mapping[str, str] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if set(facts) != {"descr", "fortran_order", "shape"}:
        raise FileError(f"{where} is damaged: its header is {text.strip()[:80]!r}")
    try:
        dtype = kind_of(facts["descr"].strip("'"))
        listed = facts["shape"].strip("()").split(",")
        shape = tuple(int(n.strip().rstrip("L")) for n in listed if n.strip())
        count_of(shape)
        if dtype.kind == "V":
            raise ValueError("its values are bytes without a meaning")
    except ValueError as error:
        raise FileError(f"{where} is damaged or holds no plain numbers: {error}") from error
    if facts["fortran_order"] not in ("True", "False"):
        raise FileError(f"{where} is damaged: its header is {text.strip()[:80]!r}")
    offset = 8 + struct.calcsize(form) + length
    return Header(shape, facts["fortran_order"] == "True", dtype, offset)


def _fits(header: Header, size: int, where: object) -> None:
    if header.dtype.hasobject:
        raise FileError(
            f"{where} holds pickled Python objects, and reading those would run code: save a plain"
            " array of numbers, such as np.save(path, np.asarray(values, dtype='float32'))"
        )
    if header.offset + header.size != size:
        raise FileError(
            f"{where} is damaged: {header.dtype} of shape {header.shape} needs {header.size} bytes,"
            f" but {size - header.offset} follow its header; copy or download it again"
        )


def _values(stream: BufferedIOBase, header: Header, where: object) -> np.ndarray:
    try:
        values = np.empty(header.size, dtype=np.uint8)
    except MemoryError as error:
        raise FileError(f"{where} has {header.size} bytes, more than there is memory") from error
    left = values.data
    while len(left):
        count = stream.readinto(left[:PIECE])
        if not count:
            raise FileError(f"{where} is damaged: it ends too early; copy or download it again")
        left = left[count:]
    if not header.size:
        return np.zeros(header.shape, dtype=header.dtype)
    made = values.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
    try:
        check_content(made)
    except ValueError as error:
        raise FileError(f"{where} is damaged: it holds {error}") from error
    return made
