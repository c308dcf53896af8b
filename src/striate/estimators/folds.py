"""What `cv` of an estimator means: how many folds, a label for every row, or a splitter."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from striate.errors import DataError


def folds_of_rows(cv: Any, rows: int, closed: Sequence[str] = ()) -> Any:
    """Return a fold label for every row, or the closed form that was asked for by name.

    A number makes folds of rows side by side, as scikit-learn's `KFold`; a splitter of
    scikit-learn must hold out every row once. Raises `DataError` for anything else.

    >>> folds_of_rows(2, 5).tolist()
    [0, 0, 0, 1, 1]
    """
    known = "a number of folds, a label for every row, a splitter that holds out every row once"
    known += "".join(f', "{name}"' for name in closed)
    if isinstance(cv, str):
        if cv in closed:
            return cv
        raise DataError(f"cv = {cv!r} is unknown: give {known}")
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        if cv < 2:
            raise DataError(f"cv = {cv} makes no folds: give at least 2, or {known}")
        parts = np.array_split(np.arange(rows), min(int(cv), rows))
        return np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    if hasattr(cv, "split"):
        return _held_out(cv, rows)
    try:
        labels = np.unique(np.asarray(cv), return_inverse=True)[1]
    except TypeError as error:
        raise DataError(f"cv = {cv!r} is unknown: give {known}") from error
    if np.shape(cv) != (rows,):
        raise DataError(f"cv has shape {np.shape(cv)} for {rows} rows: give {known}")
    return labels


def _held_out(splitter: Any, rows: int) -> np.ndarray:
    folds, times = np.zeros(rows, dtype=int), np.zeros(rows, dtype=int)
    for k, (_, test) in enumerate(splitter.split(np.zeros((rows, 1)))):
        folds[test], times[test] = k, times[test] + 1
    if (times != 1).any():
        raise DataError(
            f"cv = {splitter!r} holds out row {int(np.argmax(times != 1))}"
            f" {int(times[times != 1][0])} times: give a splitter that holds out every row once,"
            " such as KFold"
        )
    return folds
