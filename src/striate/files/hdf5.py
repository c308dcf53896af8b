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
from striate.files.chunks import read_chunks, unwritten
from striate.files.rebuild import check_content
from striate.files.zips import BOMB, DEFLATE, LARGE

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)
"""What h5py raises for a damaged file."""
MOST = 20_000
"""Objects of a file, each of which is looked at."""
SPARSE = 1 << 20
"""Bytes of values that need not be stored, because they are all the same."""
REMEMBERED = 1024
"""Files, and data sets, that have been looked at and are not again while they stay the same."""

_SOUND: set[tuple[str, str, int, int, int]] = set()


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading, in which every link and data set has been looked at.

    Nothing but headers is read. Read values with `h5_array`: indexing a data set of a damaged file
    can end the process.

    Raises
    ------
    FileError
        When there is no such file, it is damaged, one of its links or data sets leads to another
        file, or a data set claims more than is stored.

    """
    path = Path(path)
    with checked_hdf5(path) as file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            raise _damaged(path, error) from error


def checked_hdf5(path: Path) -> h5py.File:
    """As `open_hdf5`, to be kept open and closed by whoever asks for it."""
    path = Path(path)
    if not path.is_file():
        raise FileError(f"no file {path}; check the path")
    try:
        state = path.stat()
        _examine(path, state.st_size, state.st_mtime_ns, state.st_ino)
        return h5py.File(path, "r")
    except DAMAGE as error:
        raise _damaged(path, error) from error


def h5_array(dataset: Any, path: Path, box: tuple[slice, ...] = ()) -> np.ndarray:
    """Values of a data set of numbers or truth values, all or those in a box.

    The library's own unpacking of chunks can be made to crash by a damaged file, so values are read
    with this and never by indexing. What was never written is an error, and so is a fill value.

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
        When it is damaged, claims more than is stored, or some of the values were never written.
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
    whole = size == dataset.size * dataset.dtype.itemsize
    # Of many chunks the size is slow to tell, and of a piece it says no more than the file's.
    stored = dataset.id.get_storage_size() if whole and size > SPARSE else path.stat().st_size
    if size > DEFLATE * stored + SPARSE or (size > LARGE and size > BOMB * stored):
        raise FileError(
            f"{where} claims {size} bytes, but {stored} are stored: it is damaged or empty"
        )
    if size and dataset.chunks is not None:
        _check_chunks(dataset, path, where)
        return read_chunks(dataset, box, path.stat().st_size, where)
    if size and dataset.id.get_create_plist().get_layout() != h5py.h5d.COMPACT:
        raise unwritten(where, f"all {dataset.size} values")
    # What is left lies within the header.
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


def _check_chunks(dataset: Any, path: Path, where: str) -> None:
    """Raise `FileError` when chunks that went through no filter have wrong lengths or overlap.

    The library makes room for a chunk of the right length and then reads as much as the file says.
    """
    if dataset.id.get_create_plist().get_nfilters():
        return
    state = path.stat()
    mark = (str(path), dataset.name, state.st_size, state.st_mtime_ns, state.st_ino)
    if mark in _SOUND:
        return
    length = math.prod(dataset.chunks) * dataset.dtype.itemsize
    wrong, begins = list[int](), list[int]()

    def see(info: Any) -> None:
        begins.append(info.byte_offset)
        if info.size != length:
            wrong.append(int(info.size))

    dataset.id.chunk_iter(see)
    if wrong:
        raise FileError(f"{where} is damaged: a chunk of {length} bytes claims {wrong[0]}")
    if len(begins) > 1 and np.diff(np.sort(np.array(begins, dtype=np.uint64))).min() < length:
        raise FileError(f"{where} is damaged: chunks overlap; copy or download it again")
    if len(_SOUND) >= REMEMBERED:
        _SOUND.clear()
    _SOUND.add(mark)


@lru_cache(maxsize=REMEMBERED)
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
                raise FileError(
                    f"{path} holds more than {MOST} groups and data sets: store what belongs"
                    " together as one"
                )
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
