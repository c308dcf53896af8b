"""Pictures that lie in one HDF5 array (`stimuli.hdf5::imgBrick/12.ppm`), read one by one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from jaxtyping import UInt8

from striate.errors import FileError, some

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
    array = _careful(archive, lambda: _array(archive, parts[1]))
    return array is not None and int(parts[2]) < array.shape[0]


def read_picture(archive: str, name: str) -> bytes:
    """One picture as the content of a .ppm file, which any reader of images takes.

    Raises
    ------
    FileError
        When the file or the picture in it is missing, damaged or unsafe.

    """
    parts = _MEMBER.fullmatch(name)
    array = _careful(archive, lambda: _array(archive, parts[1])) if parts else None
    if parts is None or array is None or int(parts[2]) >= array.shape[0]:
        there = pictures(archive)
        raise FileError(
            f"{archive}: has no picture {name!r}; it holds"
            f" {some([*there[:1], *there[-1:]]) or 'no array (picture, row, column, 3) of 8 bits'}"
        )
    height, width = array.shape[1:3]
    unpacked = int(np.prod(array.chunks or (1, height, width, 3), dtype=object))
    if max(unpacked, height * width * 3) > LARGEST_PICTURE:
        raise FileError(
            f"{archive}: pictures of {height} × {width}, of which {unpacked} bytes are unpacked at"
            f" once, exceed the limit of {LARGEST_PICTURE} bytes; store them in smaller chunks"
        )
    values = _careful(archive, lambda: _row(array, int(parts[2]), archive))
    return b"P6\n%d %d\n255\n" % (width, height) + values.tobytes()


def _array(archive: str, path: str) -> h5py.Dataset | None:
    """The array at a path that stays inside of the file, if it may be pictures."""
    place: h5py.Group = _opened(archive)
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
    if place.is_virtual or place.external:
        raise FileError(
            f"{archive}: the values of {path!r} lie in other files, which are not followed; copy"
            " them into the file"
        )
    return place


def _row(array: h5py.Dataset, row: int, archive: str) -> UInt8[np.ndarray, "row column 3"]:
    """One picture, of which everything is there: HDF5 itself makes zeros of what is not."""
    if array.chunks is None:
        there = array.id.get_storage_size() >= array.size
        there = there and array.id.get_offset() + array.size <= Path(archive).stat().st_size
    else:
        corners = [range(0, n, c) for n, c in zip(array.shape[1:], array.chunks[1:], strict=True)]
        found = (array.id.get_chunk_info_by_coord((row, *c)) for c in product(*corners))
        least = 1 if array.id.get_create_plist().get_nfilters() else int(np.prod(array.chunks))
        there = all(c.byte_offset is not None and c.size >= least for c in found)
    if not there:
        raise FileError(
            f"{archive}: picture {row} of {array.name!r} is not there whole; copy or download it"
            " again"
        )
    return np.asarray(array[row])


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


def _opened(archive: str) -> h5py.File:
    state = Path(archive).stat()
    return _cached(archive, os.getpid(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _cached(archive: str, process: int, modified: int, size: int) -> h5py.File:
    """An open file, which threads share: HDF5 lets them in one after the other."""
    return h5py.File(archive, "r")
