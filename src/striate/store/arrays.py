"""Arrays as plain ``.npy`` files that can be mapped into memory and can never run code."""

from __future__ import annotations

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


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
