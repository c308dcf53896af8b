"""Large arrays of measurements are opened, not read: .npy is mapped, HDF5 is read where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from striate.errors import FileError
from striate.files import h5_array, open_hdf5, read_array, read_npy

LARGE = 1 << 26
"""Bytes from which an array stays on disk."""
PIECE = 1 << 25
"""Bytes that are read at once."""
ON_DISK = "on_disk"
"""The attribute of arrays that have not been read."""


def open_array(path: Path, variable: str = "") -> xr.DataArray:
    """One numeric array of a file as `read_array` gives it, but left on disk where it is large.

    That holds for `.npy`, `.h5` and `.hdf5` of real floating numbers in single or double precision,
    over two axes or more. Only headers are looked at, and the array has an attribute ``on_disk``.

    Raises
    ------
    FileError, DataError
        As `striate.files.read_array`.

    """
    stored: Any = None
    if path.is_file() and path.stat().st_size > LARGE:
        if path.suffix.lower() == ".npy":
            stored = _mapped(path)
        elif path.suffix.lower() in (".h5", ".hdf5"):
            stored = _in_hdf5(path, variable)
    if stored is None:
        return read_array(path, variable)
    dims = [f"dim_{k}" for k in range(len(stored.shape))]
    return xr.DataArray(xr.Variable(dims, stored), attrs={ON_DISK: True})


def _fits(array: Any) -> bool:
    plain = array.dtype.kind == "f" and array.dtype.itemsize in (4, 8)
    return plain and array.ndim > 1 and array.size * array.dtype.itemsize > LARGE


def _mapped(path: Path) -> np.ndarray | None:
    array = read_npy(path, mmap=True)
    return array if _fits(array) else None


def _in_hdf5(path: Path, variable: str) -> indexing.LazilyIndexedArray | None:
    found: dict[str, h5py.Dataset] = {}

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "biuf" and item.shape:
            found[name] = item

    with open_hdf5(path) as file:
        file.visititems(see)
        name = variable or ("responses" if "responses" in found else "")
        name = next(iter(found)) if not name and len(found) == 1 else name
        if name not in found or not _fits(found[name]):
            return None
        return indexing.LazilyIndexedArray(_Stored(path, name, found[name]))


class _Stored(BackendArray):
    """A data set of an HDF5 file, which is opened for every reading."""

    def __init__(self, path: Path, name: str, dataset: h5py.Dataset) -> None:
        self.path, self.name, self.shape = path, name, tuple(dataset.shape)
        self.dtype = dataset.dtype.newbyteorder("=")

    def __getitem__(self, key: Any) -> Any:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        asked = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        values = np.empty([len(a) for a in asked], self.dtype)
        if values.size:
            self._fill(values, asked)
        lone = tuple(
            0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None) for k in key
        )
        return np.asarray(values[lone])

    def _fill(self, values: np.ndarray, asked: list[np.ndarray]) -> None:
        first, *others = asked
        box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in others)
        inside = np.ix_(*[a - b.start for a, b in zip(others, box, strict=True)])
        size = int(np.prod([b.stop - b.start for b in box])) * self.dtype.itemsize
        order = np.argsort(first, kind="stable")
        longest = max(1, PIECE // max(1, size))
        with open_hdf5(self.path) as file:
            if self.name not in file or file[self.name].shape != self.shape:
                raise FileError(f"{self.path} has changed since it was opened")
            start = 0
            while start < len(order):
                low = int(first[order[start]])
                # Places that follow each other, or nearly so, are read together.
                stop = start + 1
                while stop < len(order) and first[order[stop]] - first[order[stop - 1]] <= 2:
                    if first[order[stop]] - low >= longest:
                        break
                    stop += 1
                high = int(first[order[stop - 1]]) + 1
                part = h5_array(file[self.name], self.path, (slice(low, high), *box))
                for place in order[start:stop]:
                    values[place] = part[first[place] - low][inside]
                start = stop
