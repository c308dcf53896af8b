"""Which axis is which: responses brought to row × target (× repeat), with time a label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from striate.data import OnDisk, natural_key
from striate.datasets import opened
from striate.errors import DataError, some, unknown

AXES = ("stimulus", "target", "time", "repeat")
_ALIASES = {"row": "stimulus"}


@dataclass(frozen=True, eq=False)
class Arranged:
    """Responses as (stimulus, target[, repeat]) with what the file itself says about them.

    `labels` name the stimuli of the rows, if the file does; `table` holds the labels of targets,
    which are `named` by the file or by their place, and may be `ordered`. `times` repeat the
    targets of the file. Values may be `lazy`: too large to be read at once.
    """

    values: OnDisk
    labels: tuple[str, ...] | None
    table: pd.DataFrame
    named: bool
    times: int
    ordered: bool = False
    lazy: bool = False

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
        renamed = table is not None and not targets.index.equals(self.table.index)
        if renamed or (not self.ordered and (self.named or table is not None)):
            order = _natural(targets)
            if not np.array_equal(order, np.arange(len(order))):
                values, targets = taken(values, targets=order), targets.iloc[order]
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


def taken(
    values: OnDisk, rows: np.ndarray | None = None, targets: np.ndarray | None = None
) -> OnDisk:
    """Other rows or targets of an array; a row -1 is NaN.

    >>> taken(OnDisk.of(np.eye(2)), rows=np.array([1, -1])).read(np.arange(2), np.arange(2))
    array([[ 0.,  1.],
           [nan, nan]])
    """
    row = np.arange(values.shape[0]) if rows is None else rows
    target = np.arange(values.shape[1]) if targets is None else targets

    def read(asked: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        places = row[asked]
        known = np.flatnonzero(places >= 0)
        if len(known) == len(places):
            return values.read(places, target[wanted])
        found = np.full((len(asked), len(wanted), *values.shape[2:]), np.nan, values.dtype)
        if len(known):
            found[known] = values.read(places[known], target[wanted])
        return found

    shape = (len(row), len(target), *values.shape[2:])
    return OnDisk(shape, values.dtype, read, values.files)


def arrange(
    array: xr.DataArray,
    axes: Sequence[str],
    rows: Collection[int],
    file: Path,
    source: str,
    times: Sequence[float] = (),
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
    times
        Labels of the axis ``time``: one for each sample, or the first one and the step. Default:
        what the file says, else the samples' numbers.

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
    labels = tuple(map(str, array.coords["stimulus"].values)) if labelled else None
    table, samples = _target_table(array), array.sizes.get("time", 1)
    if "time" in array.dims:
        time = _times(array, times, file)
        table = table.loc[table.index.repeat(samples)].assign(time=np.tile(time, len(table)))
    elif len(times):
        raise DataError(f"dataset.times labels an axis `time`, but {file} has {_told(array)}")
    return Arranged(
        _flattened(array, file),
        labels,
        table,
        "target" in array.coords,
        samples,
        bool(array.attrs.get("ordered")),
        bool(array.attrs.get("on_disk")),
    )


def _times(array: xr.DataArray, times: Sequence[float], file: Path) -> np.ndarray:
    count = array.sizes["time"]
    if len(times) == count:
        return np.asarray(times, dtype=float)
    if len(times) == 2:
        # Sums of steps are told as people write them.
        return np.round(times[0] + times[1] * np.arange(count), 9)
    if len(times):
        raise DataError(
            f"dataset.times has {len(times)} labels, but {file} has {count} samples in time: give"
            " one for each, or the first one and the step"
        )
    time = array.coords["time"].values if "time" in array.coords else np.arange(count)
    if time.dtype.kind not in "iuf":
        raise DataError(f"{file}: labels of time are {time.dtype}, but must be numbers")
    return time


def _told(array: xr.DataArray) -> str:
    return f"the axes {', '.join(map(str, array.dims))}"


def _flattened(array: xr.DataArray, file: Path) -> OnDisk:
    """Values as stimulus, target × time[, repeat], of which what is asked for is read."""
    order = [a for a in AXES if a in array.dims]
    variable, times = array.variable, array.sizes.get("time", 1)
    targets, repeats = array.sizes.get("target", 1), [array.sizes[a] for a in order[-1:]]
    repeats = repeats if "repeat" in order else []
    shape = (array.sizes["stimulus"], targets * times, *repeats)

    dtype = array.dtype.newbyteorder("=")

    def read(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        whole, turn = np.unique(columns // times, return_inverse=True)
        asked = {"stimulus": _run(rows)} | ({"target": _run(whole)} if "target" in order else {})
        part = variable.isel(asked).load().transpose(*order).values
        part = part.reshape(len(rows), len(whole) * times, *repeats)
        place = turn * times + columns % times
        part = part if np.array_equal(place, np.arange(part.shape[1])) else part[:, place]
        return np.array(part, dtype=dtype)

    return OnDisk(shape, dtype, read, (str(file),) if array.attrs.get(opened.ON_DISK) else ())


def _run(places: np.ndarray) -> slice | np.ndarray:
    """Places that follow each other as a slice, which is read at once."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return slice(int(places[0]), int(places[0]) + len(places))
    return places


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
    bare = array.drop_vars(list(array.coords)).variable
    named = xr.Variable(axes, bare._data)  # what lies on disk stays there
    return xr.DataArray(named, coords=coords, attrs=array.attrs)


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
    count = array.sizes.get("target", 1)
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
