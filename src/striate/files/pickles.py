"""Pickles of plain data, read and written without running anything that they name."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import FileError
from striate.files.npy import read_header
from striate.files.opcodes import Opaque, interpret
from striate.files.write_pickles import pickled

__all__ = ["Opaque", "read_object_npy", "read_pickle", "write_object_npy", "write_pickle"]


def read_pickle(path: Path, shut: Collection[str] = ("nibabel",)) -> Any:
    """What a pickle of protocol 0 to 5 holds, if it is plain data; nothing in it is run.

    Plain are arrays of numbers, text or objects, dicts, lists, tuples, sets, text (of Python 2 as
    latin1), bytes, numbers, truth values and None.

    Parameters
    ----------
    path
        The file.
    shut
        Packages whose objects are returned unopened, as `Opaque`.

    Raises
    ------
    FileError
        When there is no such file, it is damaged, names anything else, or claims more than it
        holds.

    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return interpret(stream, path.stat().st_size, path, shut)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def read_object_npy(path: Path) -> Any:
    """What `np.save` wrote of a dict, list or array of objects, read as `read_pickle` reads.

    Raises
    ------
    FileError
        As `read_pickle`, and when the pickle is no array of the shape that the header tells.

    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            header = read_header(stream, size, path)
            if not header.dtype.hasobject:
                raise FileError(f"{path} holds {header.dtype} numbers, where objects belong")
            found = interpret(stream, size - header.offset, path)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    if not isinstance(found, np.ndarray) or found.shape != header.shape:
        raise FileError(f"{path} is damaged: it holds no array of shape {header.shape}")
    return found.item() if found.shape == () else found


def write_pickle(path: Path, value: Any) -> None:
    """Write plain data as a pickle of protocol 4 that every NumPy reads.

    Raises
    ------
    DataError
        When something in it is no plain data.

    """
    Path(path).write_bytes(pickled(value))


def write_object_npy(path: Path, value: Any) -> None:
    """Write a dict, list or other plain object as `np.save` does.

    Raises
    ------
    DataError
        When something in it is no plain data.

    """
    array = np.empty((), dtype=object)
    array[()] = value
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    Path(path).write_bytes(stream.getvalue() + pickled(array))
