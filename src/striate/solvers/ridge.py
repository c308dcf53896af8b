"""Ridge regression of many targets on the same features, each with the penalty that predicts best.

One decomposition per fold serves all targets and all penalties, and the targets are rotated into it
once; see `_ridge_primal` and `_ridge_rows` for the equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Int

from striate.errors import DataError
from striate.solvers._arrays import Array, intercept_of, on_cpu, rounded, workers
from striate.solvers._budget import Need, fitting
from striate.solvers._ridge_asked import (
    check,
    check_alphas,
    check_folds,
    check_penalty,
    check_size,
    choose,
    sized,
)
from striate.solvers._ridge_blocks import Blocks, mend, need_of, prepare
from striate.solvers._ridge_closed import check_closed, closed_losses
from striate.solvers._ridge_primal import Primal, RoughError
from striate.solvers._ridge_rows import Kernel


@dataclass(frozen=True)
class RidgeFit:
    """A fitted ridge: predictions are `(x - center) @ coef + level`.

    `center` are the means of the training features, and `level` what is predicted there, the means
    of the targets: features far from zero would leave float32 no digits for
    `x @ coef + intercept`, which is the same. All have the type of the input. `alpha` is the
    penalty of each target and `loss` its mean squared error on held-out rows under each penalty
    that was tried (None where none was chosen), both in float64.
    """

    coef: Float[Array, "feature target"]
    center: Float[Array, " feature"]
    level: Float[Array, " target"]
    alpha: Float[Array, " target"]
    loss: Float[Array, "alpha target"] | None = None

    @property
    def intercept(self) -> Float[Array, " target"]:
        """The predictions where all features are zero."""
        return intercept_of(self.coef, self.center, self.level)

    def predict(self, x: Float[Array, "row feature"]) -> Float[Array, "row target"]:
        """Return the predictions for `x`."""
        return (x - self.center) @ self.coef + self.level


def ridge_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    alphas: Sequence[float | int] | np.ndarray,
    folds: Int[np.ndarray, " row"] | str,
    *,
    penalty: str | Int[np.ndarray, " _"] = "target",
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
    - `folds`: a label per row; rows with the same label are held out together. "loo" leaves out
      one row at a time, and "gcv" is its rotation-invariant form (Golub, Heath & Wahba 1979,
      doi:10.1080/00401706.1979.10489751): both in closed form, in float64, the mean counted among
      what is fitted, and both too hopeful where rows depend on each other.
    - `penalty`: one alpha per "target", one "global" alpha with the least summed error, or a label
      per target: targets with the same label, such as those of a region, share their alpha.
    - `memory`: bytes to take beyond `x`, `y` and the result; see `ridge_need`. It changes results
      by rounding only.
    - `threads`: workers on the CPU; None means as many as BLAS would use.

    Raises `DataError` for shapes that do not fit, NaN, fewer than two folds, a negative penalty,
    or penalties too small for "loo" and "gcv"; `StriateError` when `memory` is too little.
    Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634.

    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1.0], [3.0], [5.0], [7.0]])
    >>> fit = ridge_cv(x, y, [1e-3, 10.0], np.array([0, 0, 1, 1]))
    >>> fit.coef.round(2).tolist(), fit.intercept.round(2).tolist(), fit.alpha.tolist()
    ([[2.0]], [1.0], [0.001])
    """
    (x, y), back = on_cpu(x, y)
    check(x, y)
    check_size(x)
    y, size = sized(y)
    candidates, shared = check_alphas(alphas), check_penalty(penalty, y.shape[1])
    if isinstance(folds, str):
        check_closed(folds)
        order, bounds = None, [(0, x.shape[0])]
    else:
        order, bounds = check_folds(folds, x.shape[0])
    xp = array_namespace(x)
    tried = xp.asarray(candidates, dtype=xp.float64, device=device(x))
    smallest, threads = float(candidates.min()), fitting(threads, _operations(x, y, len(bounds)))
    with workers(threads, gpu=not is_numpy_array(x)) as crew:
        closed = isinstance(folds, str)
        kind = xp.float64 if closed else x.dtype

        def begin(work: Any) -> Blocks:
            several = None if closed else candidates
            kinds = {"work": work, "narrow": kind, "alphas": several}
            rows, route = prepare(x, order, bounds, smallest, memory, crew, **kinds)
            return Blocks(rows, y, route, memory, crew)

        blocks = begin(kind)
        if isinstance(folds, str):
            loss = closed_losses(blocks, tried, folds)
        else:
            loss = None
            with suppress(RoughError):
                loss = blocks.losses(tried)
            if loss is None:
                del blocks  # its memory, before as much is asked for again
                blocks = begin(xp.float64)
                loss = blocks.losses(tried)
            if kind == xp.float32:
                mend(loss, tried, x, order, blocks)
        if size is not None:
            loss *= size * size
        alpha = choose(loss, tried, shared)
        coef, level = blocks.solve(alpha, resume=not closed)
    loss /= x.shape[0]
    coef, center, level = _typed(x, blocks.rows.mean, coef, level, size)
    return RidgeFit(back(coef), back(center), back(level), back(alpha), back(loss))


def ridge_need(rows: int, features: int, folds: int = 5, *, closed: bool = False) -> Need:
    """Return what `ridge_cv` and `ridge` take of memory, beyond `x`, `y` and the result.

    `closed`: with "loo" or "gcv". Penalties below the digits of a Gram
    matrix, zero included, take more.

    >>> ridge_need(9000, 1000).fixed >> 20
    187
    """
    kind = Primal if features < rows else Kernel
    return need_of(kind, rows, features, folds, closed=closed)


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
    check(x, y)
    check_size(x)
    y, size = sized(y)
    xp = array_namespace(x)
    if not isinstance(alpha, (int, float)):
        (alpha,), _ = on_cpu(alpha)
    each = xp.asarray(alpha, dtype=xp.float64, device=device(x))
    if each.ndim and each.shape[0] != y.shape[1]:
        raise DataError(
            f"{each.shape[0]} penalties for {y.shape[1]} targets: give one, or one per target"
        )
    smallest = float(check_alphas([float(xp.min(each)), float(xp.max(each))]).min())
    each = xp.asarray(xp.broadcast_to(each, (y.shape[1],)), copy=True)
    threads = fitting(threads, _operations(x, y, 0))
    with workers(threads, gpu=not is_numpy_array(x)) as crew:
        bounds, kind = [(0, x.shape[0])], x.dtype
        rows, route = prepare(x, None, bounds, smallest, memory, crew, work=kind, narrow=kind)
        coef, level = Blocks(rows, y, route, memory, crew).solve(each)
    coef, center, level = _typed(x, rows.mean, coef, level, size)
    return RidgeFit(back(coef), back(center), back(level), back(each))


def _typed(
    x: Array, mean: Array, coef: Array, level: Array, size: Array | None
) -> tuple[Array, Array, Array]:
    """Return coefficients, center and level in the type of `x`, and in the units of the targets."""
    center, level = rounded(mean, level, coef, x.dtype)
    if size is not None:
        coef, level = coef * size, level * size
    xp = array_namespace(x)
    return xp.astype(coef, x.dtype, copy=False), center, xp.astype(level, x.dtype, copy=False)


def _operations(x: Array, y: Array, folds: int) -> float:
    n, p = x.shape
    return 2.0 * min(n, p) * (folds + 1) * (n * p + n * y.shape[1])
