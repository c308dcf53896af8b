"""Ridge regression of many targets on the same features, each with the penalty that predicts best.

One decomposition per fold serves all targets and all penalties, and the targets are rotated into it
once; see `_ridge_primal` and `_ridge_rows` for the equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Int

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, on_cpu, workers
from striate.solvers._ridge_blocks import Blocks, mend, prepare


@dataclass(frozen=True)
class RidgeFit:
    """A fitted ridge: predictions are `x @ coef + intercept`.

    `coef` and `intercept` have the type of the input. `alpha` is the penalty of each target and
    `loss` its mean squared error on held-out rows under each penalty that was tried (None where
    none was chosen), both in float64.
    """

    coef: Float[Array, "feature target"]
    intercept: Float[Array, " target"]
    alpha: Float[Array, " target"]
    loss: Float[Array, "alpha target"] | None = None

    def predict(self, x: Float[Array, "row feature"]) -> Float[Array, "row target"]:
        """Return the predictions for `x`."""
        return x @ self.coef + self.intercept


def ridge_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    alphas: Sequence[float | int] | np.ndarray,
    folds: Int[np.ndarray, " row"],
    *,
    penalty: Literal["target", "global"] = "target",
    memory: int = 2 << 30,
    threads: int | None = None,
) -> RidgeFit:
    """Fit a ridge with the penalty that predicts held-out rows best.

    Minimises ||y - Xw - b||^2 + alpha ||w||^2 for every target, the intercept b unpenalised and
    every training set centred exactly. For each `alpha` the rows of each fold are predicted from
    the other folds; the alpha of least squared error, pooled over all rows, is used on all rows.
    The choice is that of himalaya's and scikit-learn's `RidgeCV` over the same folds, for folds of
    equal size (those average over folds, this pools over rows).

    - `x`, `y`: float32 or float64, both the same; NumPy arrays or torch tensors, and the result is
      of the same kind. Tensors on a GPU are worked on there.
    - `alphas`: penalties to choose from, in units of x^2; 0 is least squares of least norm. Of
      penalties with equal errors the first is chosen.
    - `folds`: a label per row; rows with the same label are held out together.
    - `penalty`: one alpha per "target", or one "global" alpha with the least summed error.
    - `memory`: bytes for temporary arrays, beyond a centred copy of `x` (in float64 where penalties
      are tiny) and the result. It changes results by rounding only.
    - `threads`: workers on the CPU; None means as many as BLAS would use.

    Raises `DataError` for shapes that do not fit, NaN, fewer than two folds, a negative penalty.
    Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634.

    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1.0], [3.0], [5.0], [7.0]])
    >>> fit = ridge_cv(x, y, [1e-3, 10.0], np.array([0, 0, 1, 1]))
    >>> fit.coef.round(2).tolist(), fit.intercept.round(2).tolist(), fit.alpha.tolist()
    ([[2.0]], [1.0], [0.001])
    """
    (x, y), back = on_cpu(x, y)
    _check(x, y)
    candidates = _check_alphas(alphas)
    order, bounds = _check_folds(folds, x.shape[0])
    xp = array_namespace(x)
    tried = xp.asarray(candidates, dtype=xp.float64, device=device(x))
    with workers(threads, gpu=not is_numpy_array(x)) as crew:
        smallest, kind = float(candidates.min()), x.dtype
        rows, route = prepare(x, order, bounds, smallest, memory, work=kind, narrow=kind)
        blocks = Blocks(rows, y, route, memory, crew)
        loss = blocks.losses(tried)
        if kind == xp.float32:
            mend(loss, tried, x, order, blocks)
        summed = loss if penalty == "target" else xp.sum(loss, axis=1, keepdims=True)
        alpha = xp.take(tried, xp.argmin(summed, axis=0))
        alpha = xp.broadcast_to(alpha, (y.shape[1],))
        coef, intercept = blocks.solve(alpha)
    loss = loss / x.shape[0]
    return RidgeFit(back(coef), back(intercept), back(xp.asarray(alpha, copy=True)), back(loss))


def ridge(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    alpha: float | int | Float[Array, " target"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> RidgeFit:
    """Fit a ridge with a given penalty, one for all targets or one for each.

    Minimises ||y - Xw - b||^2 + alpha ||w||^2, the intercept b unpenalised; alpha = 0 gives the
    least-squares solution of least norm. Parameters, result and errors as for `ridge_cv`.

    >>> fit = ridge(np.array([[-1.0], [1.0]]), np.array([[0.0], [4.0]]), alpha=2.0)
    >>> fit.coef.tolist(), fit.intercept.tolist()
    ([[1.0]], [2.0])
    """
    (x, y), back = on_cpu(x, y)
    _check(x, y)
    xp = array_namespace(x)
    if not isinstance(alpha, (int, float)):
        (alpha,), _ = on_cpu(alpha)
    each = xp.asarray(alpha, dtype=xp.float64, device=device(x))
    if each.ndim and each.shape[0] != y.shape[1]:
        raise DataError(
            f"{each.shape[0]} penalties for {y.shape[1]} targets: give one, or one per target"
        )
    smallest = float(_check_alphas([float(xp.min(each)), float(xp.max(each))]).min())
    each = xp.asarray(xp.broadcast_to(each, (y.shape[1],)), copy=True)
    with workers(threads, gpu=not is_numpy_array(x)) as crew:
        bounds, kind = [(0, x.shape[0])], x.dtype
        rows, route = prepare(x, None, bounds, smallest, memory, work=kind, narrow=kind)
        coef, intercept = Blocks(rows, y, route, memory, crew).solve(each)
    return RidgeFit(back(coef), back(intercept), back(each))


def _check(x: Array, y: Array) -> None:
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


def _check_alphas(alphas: Sequence[float | int] | np.ndarray) -> np.ndarray:
    candidates = np.asarray(alphas, dtype=np.float64)
    if candidates.ndim != 1 or candidates.size == 0:
        raise DataError(f"alphas {alphas!r} is not a list of penalties: give at least one")
    bad = candidates[~(np.isfinite(candidates) & (candidates >= 0))]
    if bad.size:
        raise DataError(f"the penalty {bad[0]} is not a finite number >= 0: remove it")
    return candidates


def _check_folds(folds: np.ndarray, rows: int) -> tuple[np.ndarray | None, list[tuple[int, int]]]:
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
