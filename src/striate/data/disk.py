"""Responses that stay on disk: an array with a shape, of which only what is indexed is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from jaxtyping import Int, Shaped
from xarray.backends import BackendArray
from xarray.core import indexing

from striate.errors import DataError

Read = Callable[[np.ndarray, np.ndarray], np.ndarray]
One = TypeVar("One")

PIECE = 1 << 25
"""Bytes that are read at once where everything has to be gone through."""


@dataclass(frozen=True, eq=False)
class OnDisk:
    """An array over rows and targets (and repeats) that is read when it is indexed.

    Parameters
    ----------
    shape, dtype
        Of the whole; the dtype is floating.
    read
        Called with positions of rows and of targets; returns their values, row × target
        (× repeat).
    files
        What is read. A file that has changed since is an error: fits are kept under the digest of
        what was there at first.

    >>> stored = OnDisk.of(np.arange(6.0).reshape(2, 3))
    >>> OnDisk.beside([stored, stored]).below(1).read(np.array([0, 2]), np.array([2, 3]))
    array([[ 2.,  0.],
           [nan, nan]])

    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Read = field(repr=False)
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "_stamps", _stamps(self.files))

    def check(self) -> None:
        """Raise a DataError where a file is another one than at first."""
        for file, then, now in zip(
            self.files,
            self._stamps,  # type: ignore[attr-defined]
            _stamps(self.files),
            strict=True,
        ):
            if then != now:
                raise DataError(
                    f"{file} has changed while it was in use: leave data alone during a run, and"
                    " run again"
                )

    @classmethod
    def of(cls, array: Shaped[np.ndarray, "row target *repeat"]) -> OnDisk:
        """An array that may be memory-mapped; what is no floating number becomes float32."""
        floating = array.dtype.kind == "f" and array.dtype.itemsize >= 4
        dtype = array.dtype.newbyteorder("=") if floating else np.dtype(np.float32)

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            found = np.empty((len(rows), len(targets), *array.shape[2:]), dtype=dtype)
            step = max(1, PIECE // max(1, found[:1].nbytes))
            run = _run(targets)
            for start in range(0, len(rows), step):
                part = array[_run(rows[start : start + step])]
                found[start : start + step] = part[:, run]
            return found

        mapped = getattr(array, "filename", None)
        return cls(array.shape, dtype, read, (str(mapped),) if mapped else ())

    @classmethod
    def over(cls, block: xr.DataArray) -> OnDisk:
        """The values of a block, wherever they are."""

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            return np.asarray(block.isel(row=_run(rows), target=_run(targets)).values)

        return cls(block.shape, block.dtype, read)  # which checks its own files

    @classmethod
    def beside(cls, parts: Sequence[OnDisk]) -> OnDisk:
        """Arrays over the same rows as one, their targets one behind the other."""
        first = parts[0]
        if any((p.shape[0], *p.shape[2:]) != (first.shape[0], *first.shape[2:]) for p in parts):
            raise DataError(f"arrays of shapes {[p.shape for p in parts]} do not share their rows")
        ends = np.cumsum([p.shape[1] for p in parts])
        dtype = np.result_type(*[p.dtype for p in parts])

        def read(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
            found = np.empty((len(rows), len(targets), *first.shape[2:]), dtype=dtype)
            whose = np.searchsorted(ends, targets, side="right")
            for k, part in enumerate(parts):
                mine = np.flatnonzero(whose == k)
                if len(mine):
                    start = ends[k] - part.shape[1]
                    found[:, _run(mine)] = part.read(rows, targets[mine] - start)
            return found

        shape = (first.shape[0], int(ends[-1]), *first.shape[2:])
        return cls(shape, dtype, read, tuple(dict.fromkeys(f for p in parts for f in p.files)))

    def below(self, rows: int) -> OnDisk:
        """The same with `rows` hidden rows, all NaN, behind the others."""
        count = self.shape[0]

        def read(asked: np.ndarray, targets: np.ndarray) -> np.ndarray:
            known = np.flatnonzero(asked < count)
            if len(known) == len(asked):
                return self.read(asked, targets)
            shape = (len(asked), len(targets), *self.shape[2:])
            found = np.full(shape, np.nan, dtype=self.dtype)
            if len(known):
                found[known] = self.read(asked[known], targets)
            return found

        return OnDisk((count + rows, *self.shape[1:]), self.dtype, read, self.files)

    def variable(self, dims: Sequence[str]) -> xr.Variable:
        """The array for xarray, which reads it when values are asked for."""
        return xr.Variable(dims, indexing.LazilyIndexedArray(_Indexed(self)))


class Opened(Mapping[str, One]):
    """A mapping whose values are opened when they are asked for, and then kept."""

    def __init__(self, names: Sequence[str], opening: Callable[[str], One]) -> None:
        self._names, self._opening = tuple(names), opening
        self._kept: dict[str, One] = {}

    def __getitem__(self, name: str) -> One:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._kept:
            self._kept[name] = self._opening(name)
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def stays_on_disk(block: xr.DataArray) -> bool:
    """Whether values are read anew whenever they are asked for."""
    return not isinstance(block.variable._data, np.ndarray)


def in_pieces(block: xr.DataArray) -> Iterator[xr.DataArray]:
    """The rows of a block in pieces that fit in memory, each with its values."""
    size = int(np.prod(block.shape[1:])) * block.dtype.itemsize
    step = max(1, PIECE // max(1, size))
    for start in range(0, block.shape[0], step):
        yield block[start : start + step].load()


class _Indexed(BackendArray):
    """What xarray indexes: rows and targets are read together, repeats are cut afterwards."""

    def __init__(self, source: OnDisk) -> None:
        self.source, self.shape, self.dtype = source, source.shape, source.dtype

    def __getitem__(self, key: Any) -> Any:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        asked = [np.arange(n)[k] for k, n in zip(key[:2], self.shape, strict=False)]
        places = [np.atleast_1d(a) for a in asked]
        values = self.source.read(*places)
        self.source.check()
        if np.isinf(values).any():
            raise DataError("some responses are infinite; leave out or mark them as NaN")
        # Axes that were asked for by a single number are dropped, as numpy does.
        key = (*(0 if np.ndim(a) == 0 else slice(None) for a in asked), *key[2:])
        return np.asarray(values[key])


def _stamps(files: Sequence[str]) -> list[tuple[int, int, int] | None]:
    """Size, time of change and inode of files; None of one that is gone."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            told = Path(file).stat()
        except OSError:
            found.append(None)
        else:
            found.append((told.st_size, told.st_mtime_ns, told.st_ino))
    return found


def _run(places: Int[np.ndarray, " _"]) -> slice | np.ndarray:
    """Places that follow each other as a slice, which is read without a copy in between."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return slice(int(places[0]), int(places[0]) + len(places))
    return places
