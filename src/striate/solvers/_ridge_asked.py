"""What a ridge is asked: shapes, penalties and folds, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, double


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


RANGE = 1e12
"""Largest float32, and one over the smallest, whose squares and their inverses fit in float32."""


def check_size(x: Float[Array, "row feature"]) -> None:
    """Raise a `DataError` when products of float32 features would overflow, or become zero."""
    xp = array_namespace(x)
    if x.dtype != xp.float32:
        return
    largest = max(float(xp.max(x)), -float(xp.min(x)))
    if largest and not 1.0 / RANGE <= largest <= RANGE:
        raise DataError(
            f"the largest value of x is {largest:.1e}, whose square float32 cannot hold: multiply"
            " x to lie between 1e-12 and 1e12 (and penalties by the square), or use float64"
        )


def unit_of(x: Float[Array, "row feature"], most: float = 100.0) -> float:
    """Return the power of two at the largest value of `x`; 1 where that is near one, or zero."""
    xp = array_namespace(x)
    largest = max(float(xp.max(x)), -float(xp.min(x)))
    if not largest or 1.0 / most <= largest <= most:
        return 1.0
    return float(2.0 ** np.floor(np.log2(largest)))


def sized(
    y: Float[Array, "row target"], most: float = RANGE
) -> tuple[Float[Array, "row target"], Float[Array, " target"] | None]:
    """Return float32 targets between 1 / `most` and `most`, and what each was divided by.

    That is a power of two, which changes no digit, while float32 may not hold squares of others.
    None, and `y` itself, where all are so already.
    """
    xp = array_namespace(y)
    if y.dtype != xp.float32:
        return y, None
    largest = double(xp.maximum(xp.max(y, axis=0), -xp.min(y, axis=0)))
    inside = (largest == 0) | ((largest >= 1.0 / most) & (largest <= most))
    if bool(xp.all(inside)):
        return y, None
    ones = xp.ones_like(largest)
    power = xp.where(inside, ones, 2.0 ** xp.floor(xp.log2(xp.where(inside, ones, largest))))
    # in two steps: one over a denormal is more than float32 holds
    root = xp.where(inside, ones, 2.0 ** xp.floor(xp.log2(power) / 2.0))
    return y / xp.astype(root, y.dtype) / xp.astype(power / root, y.dtype), power


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
