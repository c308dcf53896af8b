"""Numeric arrays from the files that laboratories keep them in; reading one never runs code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from striate.errors import DataError, FileError, some, unknown
from striate.files.chunks import unwritten
from striate.files.hdf5 import SPARSE, brief, h5_array, open_hdf5
from striate.files.matlab import read_mat
from striate.files.netcdf3 import check_classic, is_classic
from striate.files.npy import npz_headers, read_npy, read_npz
from striate.files.text import read_table

BARE = b"This is a netCDF dimension but not a netCDF variable"
"""How netCDF calls an axis that has a length and no values."""


def read_array(path: Path, variable: str = "") -> xr.DataArray:
    """One numeric array of a file, with the labels that the file has.

    `.npy`, `.npz`, `.mat` (v5 and v7.3, axes as MATLAB shows them), `.nc`, `.h5`/`.hdf5` (axes as
    stored), `.csv`/`.tsv` (first line: names of the columns; first column: names of the lines,
    where its heading says so or it holds text). Dimensions that the file does not name are called
    ``dim_0``, ``dim_1``, …; labels are coordinates. Values are float32 or float64.

    Raises
    ------
    FileError
        When there is no such file, it is damaged or of another kind, or holds pickled objects.
    DataError
        When `variable` is not in it, or several are and none is named, or values are no numbers.

    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"no file {path}; {_neighbours(path)}")
    kind = path.suffix.lower()
    if kind not in READERS:
        raise FileError(f"cannot read {path}: its kind is none of {', '.join(READERS)}")
    try:
        array = READERS[kind](path, variable)
    except MemoryError as error:
        raise FileError(f"{path} holds more than there is memory for") from error
    except (OSError, EOFError, KeyError) as error:
        raise FileError(f"{path} is damaged or no {kind} file: {brief(error)}") from error
    return array.copy(data=_floating(array.values, path))


def _npy(path: Path, variable: str) -> xr.DataArray:
    return xr.DataArray(read_npy(path))


def _npz(path: Path, variable: str) -> xr.DataArray:
    if variable:
        return xr.DataArray(_choose(read_npz(path, variable), variable, path))
    headers = npz_headers(path)
    chosen = _choose(headers, variable, path)
    name = next(n for n, header in headers.items() if header is chosen)
    return xr.DataArray(read_npz(path, name)[name])


def _mat(path: Path, variable: str) -> xr.DataArray:
    return xr.DataArray(_choose(read_mat(path, variable), variable, path))


def _h5(path: Path, variable: str) -> xr.DataArray:
    with open_hdf5(path) as file:
        found: dict[str, h5py.Dataset] = {}
        file.visititems(
            lambda name, item: (
                found.update({name: item}) if isinstance(item, h5py.Dataset) else None
            )
        )
        numeric = {n: d for n, d in found.items() if d.dtype.kind in "biuf" and d.shape}
        return xr.DataArray(h5_array(_choose(numeric, variable, path), path))


def _nc(path: Path, variable: str) -> xr.DataArray:
    engine = "scipy" if is_classic(path) else "h5netcdf"
    if engine == "scipy":
        check_classic(path)
    never = set[str]() if engine == "scipy" else _never_written(path)
    try:
        with xr.open_dataset(path, engine=engine) as data:
            chosen = _choose({str(n): v for n, v in data.data_vars.items()}, variable, path)
            if str(chosen.name) in never:
                raise unwritten(f"{chosen.name} of {path}", f"all {chosen.size} values")
            return chosen.load()
    except (DataError, FileError):
        raise
    except Exception as error:  # what xarray and its engines raise is not documented
        raise FileError(f"{path} is damaged or no netCDF file: {brief(error)}") from error


def _never_written(path: Path) -> set[str]:
    """Small variables that are not there, as of grids; all else is seen to hold what it claims.

    On other files the library that is to read them could end the process, or make up values.
    """
    never: set[str] = set()

    def see(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or not item.size or item.dtype.kind not in "biufc":
            return
        if bytes(np.bytes_(item.attrs.get("NAME", b""))).startswith(BARE):
            return
        if item.id.get_storage_size():
            if item.chunks:
                h5_array(item, path)
        elif item.id.get_create_plist().get_layout() != h5py.h5d.COMPACT:
            never.add(name)
            if item.size * item.dtype.itemsize > SPARSE:
                raise unwritten(f"{name} of {path}", f"all {item.size} values")

    with open_hdf5(path) as file:
        file.visititems(see)
    return never


def _csv(path: Path, variable: str) -> xr.DataArray:
    return read_table(path)


READERS: Mapping[str, Callable[[Path, str], xr.DataArray]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".tsv": _csv,
    ".mat": _mat,
    ".nc": _nc,
    ".h5": _h5,
    ".hdf5": _h5,
}


def _choose(arrays: Mapping[str, Any], variable: str, path: Path) -> Any:
    """The variable asked for, or the only one, or the one called ``responses``."""
    numeric = {n: a for n, a in arrays.items() if a.dtype.kind in "biuf" and a.ndim}
    if variable:
        if variable not in numeric:
            raise DataError(unknown("variable", variable, numeric, str(path)))
        return numeric[variable]
    if not numeric:
        raise DataError(f"{path} holds no array of numbers, but {some(arrays) or 'nothing'}")
    if len(numeric) > 1 and "responses" not in numeric:
        shapes = [f"{n} {tuple(a.shape)}" for n, a in numeric.items()]
        raise DataError(
            f"{path} holds several arrays, {some(shapes, 8)}: say which, such as"
            f" dataset.variable={next(iter(numeric))}"
        )
    return numeric["responses"] if "responses" in numeric else next(iter(numeric.values()))


def _floating(values: np.ndarray, path: Path) -> np.ndarray:
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind not in "biuf":
        raise DataError(f"{path} holds {values.dtype} values, but responses are real numbers")
    single = (kind == "f" and size <= 4) or (kind != "f" and size <= 2)
    return np.asarray(values, dtype=np.float32 if single else np.float64)


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    found = sorted(p.name for p in path.parent.iterdir() if not p.name.startswith("."))
    return f"{path.parent} holds {some(found, 8) or 'nothing'}"
