"""Pictures that lie in one HDF5 array (`stimuli.hdf5::imgBrick/12.ppm`), read one by one."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from jaxtyping import UInt8

from striate.errors import FileError, some
from striate.files import checked_hdf5, h5_array

T = TypeVar("T")

BRICKS = (".h5", ".hdf5")
LARGEST_PICTURE = 1 << 28
"""Bytes of one picture, and of what has to be unpacked for it: a file can claim anything."""

_MEMBER = re.compile(r"(.+)/(0|[1-9]\d{0,17})\.ppm")


def is_brick(archive: str) -> bool:
    """Whether the name is that of a file whose arrays may be pictures."""
    return archive.lower().endswith(BRICKS)


def member(array: str, row: int) -> str:
    """The name of one picture within its file.

    >>> member("imgBrick", 12)
    'imgBrick/12.ppm'
    """
    return f"{array}/{row}.ppm"


def pictures(archive: str) -> list[str]:
    """Members of all arrays (picture, row, column, 3) of 8 bits that lie outermost in the file.

    Raises
    ------
    FileError
        When the file is missing or damaged.

    """

    def listed() -> list[str]:
        file = _opened(archive)
        names = [n for n in file if isinstance(file.get(n, getlink=True), h5py.HardLink)]
        found = {n: file[n] for n in names if file.get(n, getclass=True) is h5py.Dataset}
        return [member(n, k) for n, d in found.items() if _fits(d) for k in range(d.shape[0])]

    return _careful(archive, listed)


def holds(archive: str, name: str) -> bool:
    """Whether the file has this picture.

    Raises
    ------
    FileError
        When the file is damaged, or the picture lies outside of it.

    """
    parts = _MEMBER.fullmatch(name)
    if not parts:
        return False

    def count() -> int:
        file = _opened(archive)
        array = _array(file, archive, parts[1])
        return 0 if array is None else array.shape[0]

    return int(parts[2]) < _careful(archive, count)


def read_picture(archive: str, name: str) -> bytes:
    """One picture as the content of a .ppm file, which any reader of images takes.

    Raises
    ------
    FileError
        When the file or the picture in it is missing, damaged or unsafe.

    """
    parts = _MEMBER.fullmatch(name)
    content = None
    if parts:
        content = _careful(archive, lambda: _content(archive, parts[1], int(parts[2])))
    if content is None:
        there = pictures(archive)
        raise FileError(
            f"{archive}: has no picture {name!r}; it holds"
            f" {some([*there[:1], *there[-1:]]) or 'no array (picture, row, column, 3) of 8 bits'}"
        )
    return content


def _content(archive: str, path: str, row: int) -> bytes | None:
    # The file is held until its values are read: HDF5 closes arrays with it.
    file = _opened(archive)
    array = _array(file, archive, path)
    if array is None or row >= array.shape[0]:
        return None
    height, width = array.shape[1:3]
    unpacked = math.prod(array.chunks or (1, height, width, 3))
    if max(unpacked, height * width * 3) > LARGEST_PICTURE:
        raise FileError(
            f"{archive}: pictures of {height} × {width}, of which {unpacked} bytes are unpacked at"
            f" once, exceed the limit of {LARGEST_PICTURE} bytes; store them in smaller chunks"
        )
    try:
        values: UInt8[np.ndarray, "1 row column 3"]
        values = h5_array(array, Path(archive), (slice(row, row + 1),))
    except FileError as error:
        raise FileError(f"picture {row} cannot be read: {error}") from error
    return b"P6\n%d %d\n255\n" % (width, height) + values.tobytes()


def _array(file: h5py.File, archive: str, path: str) -> h5py.Dataset | None:
    """The array at a path that stays inside of the file, if it may be pictures."""
    place: h5py.Group = file
    for name in path.split("/"):
        if not isinstance(place, h5py.Group) or not name or name in (".", ".."):
            return None
        link = place.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise FileError(
                f"{archive}: {name!r} is a link to another place, which is not followed; copy the"
                " array into the file"
            )
        place = place[name]
    if not isinstance(place, h5py.Dataset) or not _fits(place):
        return None
    return place


def _fits(array: h5py.Dataset) -> bool:
    return array.ndim == 4 and array.dtype == np.uint8 and array.shape[3] == 3


def _careful(archive: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except FileError:
        raise
    except FileNotFoundError as error:
        raise FileError(f"{archive}: no such HDF5 file of pictures; check the path") from error
    except Exception as error:  # a damaged file fails in any of several ways
        raise FileError(
            f"{archive}: is no readable HDF5 file ({error}); copy or download it again"
        ) from error


_OPEN: dict[str, tuple[tuple[int, ...], h5py.File]] = {}
KEPT = 4
"""Files that stay open."""


def _opened(archive: str) -> h5py.File:
    """An open file, which threads share: HDF5 lets them in one after the other."""
    state = Path(archive).stat()
    mark = (os.getpid(), state.st_ino, state.st_mtime_ns, state.st_size)
    known = _OPEN.get(archive)
    if known is not None and known[0] == mark:
        return known[1]
    # While somebody holds a file as it was, HDF5 gives that to who opens it anew.
    known = None
    _OPEN.pop(archive, None)
    for old in list(_OPEN)[: 1 - KEPT]:
        _OPEN.pop(old, None)
    file = checked_hdf5(Path(archive))
    _OPEN[archive] = mark, file
    return file
