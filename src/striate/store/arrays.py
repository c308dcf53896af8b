"""Arrays as plain ``.npy`` files that can be mapped into memory and can never run code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from striate.errors import FileError, StriateError


class Unstorable(StriateError):  # noqa: N818
    """A value that has no plain form as text, numbers and labelled arrays."""


def write_array(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write an array as ``.npy``; never pickles."""
    version = (3, 0) if array.dtype.names else (1, 0)  # names of fields may be any text
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=version, allow_pickle=False)


def read_array(path: Path, mmap: bool = False) -> Shaped[np.ndarray, "..."]:
    """Read a ``.npy`` file, or map it into memory; never unpickles.

    Raises
    ------
    FileError
        When the file is missing, shorter than it says, no ``.npy``, or holds Python objects.

    """
    try:
        # numpy asks the disk about every folder above a Path, but not about text.
        mapped = np.lib.format.open_memmap(str(path), mode="r")
        return mapped if mmap else np.array(mapped)
    except Exception as error:
        raise FileError(
            f"{path} cannot be read as a plain array ({_first_line(error)}); delete it and make it"
            " again"
        ) from error


def read_rows(
    path: Path,
    start: int,
    rows: Sequence[int],
    out: Shaped[np.ndarray, "row ..."],
    places: Sequence[int],
) -> None:
    """Copy some rows of an array on disk, whose values begin at byte `start`, to places of `out`.

    Rows that follow one another, there and here, are one read. Cheaper than a map, which is made
    and filled page by page for a few rows each; the header is none of its business.

    Raises
    ------
    FileError
        When the file is gone, cannot be read or ends before the rows do.

    """
    # Bytes of a row side by side; a row may be a single number or, without columns, nothing.
    size = out.itemsize * math.prod(out.shape[1:])
    if not size or not rows:
        return
    raw = out.reshape(-1).view(np.uint8)
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  a third of the time of a Path
            for row, place, count in _runs(rows, places):
                left = raw[place * size : (place + count) * size].data
                file.seek(start + row * size)
                while left:
                    if not (read := file.readinto(left)):
                        raise FileError(f"{path} ends too early; delete it and make it again")
                    left = left[read:]
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); try again") from error


def _runs(rows: Sequence[int], places: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Where rows and places follow one another: the first of each, and how many."""
    first = 0
    for k in range(1, len(rows) + 1):
        if k == len(rows) or (rows[k] - rows[first], places[k] - places[first]) != (k - first,) * 2:
            yield rows[first], places[first], k - first
            first = k


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
