"""HDF5 files that hold what they claim and lead nowhere else."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from striate.errors import DataError, FileError
from striate.files.chunks import read_chunks
from striate.files.rebuild import check_content
from striate.files.zips import BOMB, DEFLATE, LARGE

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)
"""What h5py raises for a damaged file."""
MOST = 1 << 20
"""Objects of a file."""
SPARSE = 1 << 20
"""Bytes of values that need not be stored, because they are all the same."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading, in which every link and data set has been looked at.

    Nothing but headers is read. Read values with `h5_array`, or rows by indexing a data set.

    Raises
    ------
    FileError
        When there is no such file, it is damaged, one of its links or data sets leads to another
        file, or a data set claims more than is stored.

    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"no file {path}; check the path")
    try:
        state = path.stat()
        _examine(path, state.st_size, state.st_mtime_ns, state.st_ino)
        file = h5py.File(path, "r")
    except DAMAGE as error:
        raise _damaged(path, error) from error
    with file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            raise _damaged(path, error) from error


def h5_array(dataset: Any, path: Path, box: tuple[slice, ...] = ()) -> np.ndarray:
    """Values of a data set of numbers or truth values, all or those in a box.

    The library's own unpacking of chunks can be made to crash by a damaged file, so that values
    are better read with this than by indexing.

    Parameters
    ----------
    dataset
        Of a file from `open_hdf5`.
    path
        Of the file.
    box
        Slices without steps for the first axes; the others are read whole.

    Raises
    ------
    FileError
        When it is damaged, or claims more than is stored.
    DataError
        When it is no data set of numbers.

    """
    path = Path(path)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{getattr(dataset, 'name', dataset)} of {path} is no array")
    try:
        where = f"{dataset.name} of {path}"
        dtype, shape = dataset.dtype, dataset.shape
        if shape is None or dtype.kind not in "biufc":
            raise DataError(f"{where} holds {dtype}, where numbers belong")
        if h5py.h5t.py_create(dtype, logical=True) != dataset.id.get_type():
            raise FileError(f"{where} holds numbers of an unusual kind: store them as {dtype}")
        if any(b.step not in (None, 1) for b in box) or len(box) > len(shape):
            raise DataError(f"{box} is no box of {where}")
        if not box:
            check_storage(dataset, path)
        box = (*box, *[slice(None)] * (len(shape) - len(box)))
        bounds = [b.indices(n) for b, n in zip(box, shape, strict=True)]
        box = tuple(slice(first, max(first, stop)) for first, stop, _ in bounds)
        size = math.prod(b.stop - b.start for b in box) * dtype.itemsize
        values = _values(dataset, path, box, size, where)
        check_content(values)
    except DAMAGE as error:
        raise _damaged(path, error) from error
    return values


def _values(dataset: Any, path: Path, box: tuple[slice, ...], size: int, where: str) -> np.ndarray:
    offset = dataset.id.get_offset() if dataset.chunks is None else None
    if size and offset is not None:
        return np.array(np.memmap(path, dataset.dtype, "r", offset, dataset.shape)[box])
    # Of many chunks the size is slow to tell, so that it is not asked for a little piece.
    stored = dataset.id.get_storage_size() if size > SPARSE else 0
    if size > DEFLATE * stored + SPARSE or (size > LARGE and size > BOMB * stored):
        raise FileError(
            f"{where} claims {size} bytes, but {stored} are stored: it is damaged or empty"
        )
    if size and dataset.chunks is not None:
        return read_chunks(dataset, box, path.stat().st_size, where)
    # What is left is small: it lies within the header, or nowhere.
    return np.asarray(dataset[()], dtype=dataset.dtype)[box]


def check_storage(dataset: Any, path: Path) -> None:
    """Raise `FileError` when a data set lies in another file or claims more than is stored."""
    where = f"{dataset.name} of {path}"
    created = dataset.id.get_create_plist()
    if created.get_external_count() or created.get_layout() == h5py.h5d.VIRTUAL:
        raise FileError(f"{where} lies in another file, which is not followed: copy it into one")
    shape = dataset.shape
    if shape is None:
        return
    size = Path(path).stat().st_size
    claimed = math.prod(shape) * max(1, dataset.dtype.itemsize)
    stored = dataset.id.get_storage_size()
    if stored > size:
        raise FileError(f"{where} is damaged: it claims {stored} bytes of a file of {size}")
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is not None and (stored < claimed or offset + stored > size):
            raise FileError(
                f"{where} is damaged: {dataset.dtype} of shape {shape} needs {claimed} bytes, but"
                f" {max(0, min(stored, size - offset))} are stored"
            )


@lru_cache(maxsize=1024)
def _examine(path: Path, size: int, modified: int, number: int) -> None:
    """Look at all links and data sets of a file, once as long as it stays the same."""
    _check_end(path)
    places: list[tuple[int, int]] = []
    with h5py.File(path, "r") as file:
        for item in _objects(file, path):
            places.append((h5py.h5o.get_info(item.id).addr + file.userblock_size, 1))
            if isinstance(item, h5py.Dataset):
                check_storage(item, path)
                offset = item.id.get_offset()
                if item.chunks is None and offset is not None:
                    places.append((offset, item.id.get_storage_size()))
    places.sort()
    for (begin, length), (following, _) in itertools.pairwise(places):
        if begin + length > following:
            raise FileError(
                f"{path} is damaged: the values at byte {begin} reach into what begins at byte"
                f" {following}; copy or download it again"
            )


def _objects(file: h5py.File, path: Path) -> Iterator[Any]:
    """Every group and data set but the root once; links to other files are refused."""
    todo, seen = [file["/"]], set[object]()
    while todo:
        group = todo.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise FileError(
                    f"{path}: {name!r} is a link to {link.filename!r}, which is not followed: copy"
                    " its content into the file"
                )
            if not isinstance(link, h5py.HardLink):
                continue
            item = group[name]
            mark = h5py.h5o.get_info(item.id).addr
            if mark in seen:
                continue
            seen.add(mark)
            if len(seen) > MOST:
                raise FileError(f"{path} holds more than {MOST} objects")
            if isinstance(item, h5py.Group):
                todo.append(item)
            yield item


def _damaged(path: Path, error: BaseException) -> FileError:
    return FileError(
        f"{path} is damaged or no HDF5 file: {brief(error)}; copy or download it again"
    )


def brief(error: BaseException) -> str:
    """What a library says of a file, on one line."""
    return " ".join(str(error).split())[:200]


def _check_end(path: Path) -> None:
    """Raise `FileError` when the file does not end where its superblock says."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = 0
        while start < size:
            stream.seek(start)
            head = stream.read(64)
            if head[:8] == b"\x89HDF\r\n\x1a\n" and len(head) == 64:
                break
            start = max(512, 2 * start)
        else:
            raise FileError(f"{path} is damaged or no HDF5 file: it has no whole signature")
    version = head[8]
    width = head[13] if version < 2 else head[9]
    first = {0: 24, 1: 28}.get(version, 12)
    if width not in (2, 4, 8) or version > 3:
        raise FileError(f"{path} is damaged or of a newer kind of HDF5 than is known")
    end = int.from_bytes(head[first + 2 * width : first + 3 * width], "little")
    if end != size:
        raise FileError(
            f"{path} is damaged: it has {size} bytes, but says it has {end}; copy or download it"
            " again"
        )
