"""Numeric arrays from the files that laboratories keep them in; reading one never runs code."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from striate.errors import DataError, FileError, some, unknown

LABEL_NAMES = ("", "stimulus", "stimuli", "id", "image", "file", "filename", "name", "target")


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
    if not path.is_file():
        raise FileError(f"no file {path}; {_neighbours(path)}")
    kind = path.suffix.lower()
    if kind not in READERS:
        raise FileError(f"cannot read {path}: its kind is none of {', '.join(READERS)}")
    try:
        array = READERS[kind](path, variable)
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"{path} is damaged or no {kind} file: {error}") from error
    return array.copy(data=_floating(array.values, path))


def read_mat(path: Path, wanted: str = "") -> dict[str, np.ndarray]:
    """Numeric variables of a .mat file with their axes as MATLAB shows them.

    The container is told by its signature: v7.3 is HDF5, where axes are stored in reverse. With
    `wanted`, only that variable is read.
    """
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            data = {n: d for n, d in file.items() if isinstance(d, h5py.Dataset)}
            names = [wanted] if wanted in data else data
            return {
                n: data[n][()].T for n in names if n != "#refs#" and data[n].dtype.kind in "biuf"
            }
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=[wanted] if wanted else None)
    except Exception as error:  # what scipy raises for a damaged file is not documented
        raise FileError(f"{path} is damaged or no MATLAB file: {error}") from error
    arrays = {n: v for n, v in found.items() if isinstance(v, np.ndarray)}
    if wanted and not arrays:
        return read_mat(path)
    return {n: v for n, v in arrays.items() if v.dtype.kind in "biuf"}


def _npy(path: Path, variable: str) -> xr.DataArray:
    with path.open("rb") as stream:
        return xr.DataArray(_numpy(stream, path))


def _numpy(stream: IO[bytes], path: Path) -> Any:
    try:
        return np.load(stream, allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error) and "Object arrays" not in str(error):
            raise FileError(f"{path} is damaged or no NumPy file: {error}") from error
        raise FileError(_runs_code(path)) from error


def _runs_code(path: Path) -> str:
    return (
        f"{path} holds pickled Python objects, and reading those would run code: save a plain"
        " array of numbers, such as np.save(path, np.asarray(values, dtype='float32'))"
    )


def _npz(path: Path, variable: str) -> xr.DataArray:
    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as stream:
        archive = _numpy(stream, path)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise FileError(f"{path} is no .npz archive")
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                if not variable or name == variable:
                    raise FileError(_runs_code(path)) from error
    return xr.DataArray(_choose(arrays, variable, path))


def _mat(path: Path, variable: str) -> xr.DataArray:
    return xr.DataArray(_choose(read_mat(path, variable), variable, path))


def _h5(path: Path, variable: str) -> xr.DataArray:
    with h5py.File(path, "r") as file:
        found: dict[str, h5py.Dataset] = {}
        file.visititems(
            lambda name, item: (
                found.update({name: item}) if isinstance(item, h5py.Dataset) else None
            )
        )
        numeric = {n: d for n, d in found.items() if d.dtype.kind in "biuf" and d.shape}
        return xr.DataArray(_choose(numeric, variable, path)[()])


def _nc(path: Path, variable: str) -> xr.DataArray:
    try:
        data = xr.load_dataset(path)
    except ValueError as error:
        raise FileError(f"{path} is damaged or no netCDF file: {error}") from error
    return _choose({str(n): v for n, v in data.data_vars.items()}, variable, path)


def _csv(path: Path, variable: str) -> xr.DataArray:
    try:
        table = pd.read_csv(
            path, sep="," if path.suffix == ".csv" else "\t", encoding="utf-8-sig", dtype=str
        )
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise FileError(f"{path} is no table: {error}") from error
    table.columns = pd.Index([_heading(c) for c in table.columns])
    if len(table.columns) and all(map(_number, table.columns)):
        raise DataError(
            f"the first line of {path} holds numbers, but it must name the targets: add a line"
            " of names, or save the values as .npy"
        )
    coords: dict[str, Any] = {}
    first = table.columns[0] if len(table.columns) else ""
    if first.lower() in LABEL_NAMES or not table[first].dropna().map(_number).all():
        coords["dim_0"] = table.pop(first).fillna("").to_numpy(dtype=object)
    coords["dim_1"] = table.columns.to_numpy(dtype=object)
    try:
        values = table.astype(np.float64).to_numpy()
    except ValueError as error:
        raise DataError(f"{path} holds text where responses belong: {error}") from error
    return xr.DataArray(values, dims=("dim_0", "dim_1"), coords=coords)


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


def _heading(name: object) -> str:
    text = str(name)
    return "" if text.startswith("Unnamed: ") else text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    found = sorted(p.name for p in path.parent.iterdir() if not p.name.startswith("."))
    return f"{path.parent} holds {some(found, 8) or 'nothing'}"
