"""What a ridge is asked: shapes, penalties and folds, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite


def check(x: Array, y: Array) -> None:
    """Raise a `DataError` when `x` and `y` are no finite matrices over the same rows."""
    for name, a in (("x", x), ("y", y)):
        if a.ndim != 2:
            raise DataError(f"{name} has shape {tuple(a.shape)}: it must be two-dimensional")
        if str(a.dtype).removeprefix("torch.") not in ("float32", "float64"):
            raise DataError(f"{name} is {a.dtype}: convert it to float32 or float64")
    if x.dtype != y.dtype:
        raise DataError(f"x is {x.dtype} but y is {y.dtype}: convert one to the type of the other")
    if x.shape[0] != y.shape[0] or x.shape[0] < 2:
        raise DataError(
            f"x has {x.shape[0]} rows and y has {y.shape[0]}: give both the same rows, at least two"
        )
    if 0 in (x.shape[1], y.shape[1]):
        raise DataError(f"x has {x.shape[1]} features and y {y.shape[1]} targets: give some")
    check_finite("x", x, "feature")
    check_finite("y", y, "target")


def check_alphas(alphas: Sequence[float | int] | np.ndarray) -> Float[np.ndarray, " alpha"]:
    """Return the penalties as an array, or raise a `DataError`."""
    candidates = np.asarray(alphas, dtype=np.float64)
    if candidates.ndim != 1 or candidates.size == 0:
        raise DataError(f"alphas {alphas!r} is not a list of penalties: give at least one")
    bad = candidates[~(np.isfinite(candidates) & (candidates >= 0))]
    if bad.size:
        raise DataError(f"the penalty {bad[0]} is not a finite number >= 0: remove it")
    return candidates


def check_folds(folds: np.ndarray, rows: int) -> tuple[np.ndarray | None, list[tuple[int, int]]]:
    """Return the order that puts rows of a fold side by side (None: they are), and their ranges."""
    if folds.shape != (rows,):
        raise DataError(f"folds has shape {folds.shape} for {rows} rows: give one label per row")
    labels, counts = np.unique(folds, return_counts=True)
    if labels.size < 2:
        raise DataError(f"all rows are in fold {labels[0]}: give at least two folds")
    ends = np.cumsum(counts).tolist()
    bounds = list(zip([0, *ends[:-1]], ends, strict=True))
    order = np.argsort(folds, kind="stable")
    return (None if np.array_equal(order, np.arange(rows)) else order), bounds


def check_penalty(penalty: str | np.ndarray, targets: int) -> np.ndarray | None:
    """Return which penalty each target has, by number; None: each its own."""
    if isinstance(penalty, str):
        if penalty not in ("target", "global"):
            raise DataError(
                f"penalty {penalty!r}: choose target, global, or give a label per target"
            )
        return None if penalty == "target" else np.zeros(targets, dtype=int)
    labels = np.asarray(penalty)
    if labels.shape != (targets,):
        raise DataError(
            f"penalty has shape {labels.shape} for {targets} targets: give one label per target"
        )
    return np.unique(labels, return_inverse=True)[1]


def choose(
    loss: Float[Array, "alpha target"],
    tried: Float[Array, " alpha"],
    shared: np.ndarray | None,
) -> Float[Array, " target"]:
    """Return the penalty of least loss of every target, summed over those that share one."""
    xp = array_namespace(loss)
    if shared is not None:
        labels = xp.asarray(shared, device=device(loss))
        # each label by itself: a difference of running sums would lose small ones beside large
        if is_numpy_array(loss):
            order = np.argsort(shared, kind="stable")
            starts = np.searchsorted(shared[order], np.arange(int(shared.max()) + 1))
            summed = np.add.reduceat(loss[:, order], starts, axis=1)
        else:
            summed = xp.zeros((loss.shape[0], int(shared.max()) + 1), dtype=loss.dtype)
            summed = summed.to(device(loss)).index_add_(1, labels, loss)
        loss = xp.take(summed, labels, axis=1)
    return xp.take(tried, xp.argmin(loss, axis=0))
