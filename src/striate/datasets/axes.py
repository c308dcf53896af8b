"""Which axis is which: responses brought to row × target (× repeat), with time a label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from striate.data import natural_key
from striate.errors import DataError, some, unknown

AXES = ("stimulus", "target", "time", "repeat")
_ALIASES = {"row": "stimulus"}


@dataclass(frozen=True, eq=False)
class Arranged:
    """Responses as (stimulus, target[, repeat]) with what the file itself says about them.

    `labels` name the stimuli of the rows, if the file does; `table` holds the labels of targets,
    which are `named` by the file or by their place. `times` repeat the targets of the file.
    """

    values: np.ndarray
    labels: tuple[str, ...] | None
    table: pd.DataFrame
    named: bool
    times: int

    def with_targets(
        self, table: pd.DataFrame | None, file: Path, table_file: Path | None
    ) -> tuple[Arranged, pd.DataFrame]:
        """The responses and the labels of targets in natural order, with a table's labels added.

        Raises
        ------
        DataError
            When table and array do not name the same targets, or differ in number.

        """
        targets = self.table.copy()
        if table is not None:
            extra = self._matching(table, file, table_file)
            names = extra.index.repeat(self.times)
            extra = extra.loc[extra.index.repeat(self.times)] if self.times > 1 else extra
            both = [c for c in extra if c in targets]
            targets = targets.drop(columns=both).reset_index(drop=True)
            targets = pd.concat([targets, extra.reset_index(drop=True)], axis=1)
            targets.index = pd.Index(names, name="target", dtype=object)
        values = self.values
        if self.named or table is not None:
            order = _natural(targets)
            if not np.array_equal(order, np.arange(len(order))):
                values, targets = values[:, order], targets.iloc[order]
        return replace(self, values=values, table=targets), targets

    def _matching(self, table: pd.DataFrame, file: Path, table_file: Path | None) -> pd.DataFrame:
        """The table with one line per target of the file, in the file's order."""
        own = self.table.index[:: self.times]
        if self.named:
            if table.index.has_duplicates:
                twice = table.index[table.index.duplicated()]
                raise DataError(f"{table_file} names targets twice: {some(twice)}")
            absent = [t for t in own if t not in table.index]
            if not absent:
                return table.loc[list(own)]
            if len(absent) < len(own) or table.index.name == "target":
                raise DataError(f"{table_file} has no line for target {some(absent)} of {file}")
        if len(table) != len(own):
            raise DataError(
                f"{table_file} describes {len(table)} targets, but {file} has {len(own)}: give it"
                " one line per target"
            )
        if self.times > 1 and "time" in table:
            raise DataError(f"{table_file} has a column `time`, but time is an axis of {file}")
        return table


def arrange(
    array: xr.DataArray, axes: Sequence[str], rows: Collection[int], file: Path, source: str
) -> Arranged:
    """Responses as (stimulus, target[, repeat]), with time flattened to a label of targets.

    Parameters
    ----------
    array
        As `read_array` gives it.
    axes
        What its axes are, in order; empty: stimulus, target, or what the file itself says.
    rows
        Numbers of rows that would do; none where the file labels its rows.
    file, source
        The file, and what says how many rows there should be, for messages.

    Raises
    ------
    DataError
        When the axes do not fit the array, look swapped, or could be either way round.

    """
    array = _named(array, axes, file, rows)
    size = array.sizes["stimulus"]
    labelled = "stimulus" in array.coords
    if rows and not labelled and size not in rows:
        raise DataError(_mismatch(array, rows, file, source))
    told = axes or labelled or "target" in array.coords
    if not told and list(array.shape).count(size) > 1:
        raise DataError(
            f"{file} has shape {array.shape}, so either axis could be the stimuli: pass"
            " dataset.axes=stimulus,target or dataset.axes=target,stimulus"
        )
    if "target" not in array.dims:
        array = array.expand_dims("target", axis=1)
    order = [a for a in AXES if a in array.dims]
    array = array.transpose(*order)
    labels = tuple(map(str, array.coords["stimulus"].values)) if labelled else None
    table = _target_table(array)
    times = array.sizes.get("time", 1)
    values = array.values
    if "time" in array.dims:
        time = array.coords["time"].values if "time" in array.coords else np.arange(times)
        if time.dtype.kind not in "iuf":
            raise DataError(f"{file}: labels of time are {time.dtype}, but must be numbers")
        table = table.loc[table.index.repeat(times)].assign(time=np.tile(time, len(table)))
        shape = (values.shape[0], values.shape[1] * times, *values.shape[3:])
        values = values.reshape(shape)
    return Arranged(values, labels, table, "target" in array.coords, times)


def _named(
    array: xr.DataArray, axes: Sequence[str], file: Path, rows: Collection[int]
) -> xr.DataArray:
    """The array with its dimensions named by `axes`, by the file, or by default."""
    own = [_ALIASES.get(str(d), str(d)) for d in array.dims]
    if not axes:
        if set(own) <= set(AXES) and "stimulus" in own:
            return _renamed(array, own)
        if array.ndim > 2:
            guess = ["target", "repeat", "time"][: array.ndim - 1]
            guess.insert(next((k for k, n in enumerate(array.shape) if n in rows), 0), "stimulus")
            raise DataError(
                f"{file} has {array.ndim} axes, of shape {array.shape}: say what they are, such as"
                f" dataset.axes={','.join(guess)}"
            )
        axes = ("stimulus", "target")[: array.ndim]
    for axis in axes:
        if axis not in AXES:
            raise DataError(unknown("axis", axis, AXES, "dataset.axes"))
    if len(set(axes)) < len(axes) or "stimulus" not in axes:
        raise DataError(
            f"dataset.axes={','.join(axes)} must name each axis once, and stimulus among them"
        )
    if file.suffix == ".mat" and array.ndim < len(axes):  # MATLAB drops trailing axes of length 1
        array = array.expand_dims(
            {f"dim_{k}": 1 for k in range(array.ndim, len(axes))},
            axis=list(range(array.ndim, len(axes))),
        )
    if file.suffix == ".mat" and array.ndim == 2 and len(axes) == 1 and 1 in array.shape:
        array = array.squeeze(array.dims[array.shape.index(1)])
    if array.ndim != len(axes):
        raise DataError(
            f"{file} has {array.ndim} axes, of shape {array.shape}, but dataset.axes="
            f"{','.join(axes)} names {len(axes)}"
        )
    return _renamed(array, axes)


def _renamed(array: xr.DataArray, axes: Sequence[str]) -> xr.DataArray:
    """The array with other names of its dimensions, and what it says about stimuli and targets."""
    coords: dict[str, tuple[str, np.ndarray]] = {}
    for axis, dim in zip(axes, array.dims, strict=True):
        along = {str(n): c.values for n, c in array.coords.items() if c.dims == (dim,)}
        labels = along.get(axis, along.get(str(dim)))
        if labels is not None:
            coords[axis] = (axis, labels)
        if axis == "target":
            coords |= {n: (axis, v) for n, v in along.items() if n not in (*axes, str(dim))}
    return xr.DataArray(array.values, dims=axes, coords=coords)


def _mismatch(array: xr.DataArray, rows: Collection[int], file: Path, source: str) -> str:
    dims = [str(d) for d in array.dims]
    here = dims.index("stimulus")
    counts = " or ".join(str(r) for r in sorted(set(rows)))
    told = f"{file} has {array.shape[here]} rows (shape {array.shape}), but {source} has {counts}"
    fits = [k for k, n in enumerate(array.shape) if n in rows]
    if fits:
        dims[here], dims[fits[0]] = dims[fits[0]], dims[here]
        return f"{told}: axes look swapped: pass dataset.axes={','.join(dims)}"
    return f"{told}: bring one row per stimulus, or say which is which in a table stimuli.csv"


def _target_table(array: xr.DataArray) -> pd.DataFrame:
    count = array.sizes["target"]
    named = "target" in array.coords
    ids = [str(t) for t in array.coords["target"].values] if named else _default(count)
    columns = {
        str(n): c.values for n, c in array.coords.items() if c.dims == ("target",) and n != "target"
    }
    return pd.DataFrame(columns, index=pd.Index(ids, name="target", dtype=object))


def _default(count: int) -> list[str]:
    return [f"t{k}" for k in range(count)]


def _natural(targets: pd.DataFrame) -> np.ndarray:
    """Order by name, then time; subjects stay in the order in which they stand."""
    time = targets["time"] if "time" in targets else pd.Series(0, index=targets.index)
    keys = [(natural_key(str(t)), float(x)) for t, x in zip(targets.index, time, strict=True)]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
