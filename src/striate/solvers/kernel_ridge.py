"""Ridge over any similarity between rows: it needs the kernel alone, not the features behind it.

A kernel centred exactly on its training rows, `(K + alpha) d = y - mean(y)`, predicts new rows from
their similarities to the training rows; see `_ridge_rows` for the decomposition all targets share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Int

from striate.errors import DataError
from striate.solvers._arrays import CHUNK, Array, double, on_cpu, workers
from striate.solvers._budget import Need, fitting
from striate.solvers._ridge_asked import check, check_alphas, check_folds, check_penalty, choose
from striate.solvers._ridge_blocks import GRAM_LIMIT, Blocks, Rows, need_of
from striate.solvers._ridge_closed import check_closed, closed_losses
from striate.solvers._ridge_rows import Precomputed

Name = Literal["linear", "polynomial", "rbf", "correlation"]
KERNELS: tuple[Name, ...] = ("linear", "polynomial", "rbf", "correlation")


def kernel(
    a: Float[Array, "row feature"],
    b: Float[Array, "other feature"],
    name: Name = "linear",
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
) -> Float[Array, "row other"]:
    """Return the similarity of every row of `a` to every row of `b`, in float64.

    `b` are the training rows. "linear": a'b, both about the mean of `b` (which centring takes out
    anyway); "polynomial": (gamma a'b + coef0)^degree; "rbf": exp(-gamma |a - b|^2); "correlation":
    Pearson's r between the features of two rows, 0 for rows without variance. `gamma` is one over
    the number of features where it is None, as scikit-learn's.

    Raises `DataError` for an unknown name and parameters outside their range.

    >>> kernel(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [1.0, 0.0]]), "correlation").round(6)
    array([[ 1., -1.]])
    """
    if name not in KERNELS:
        raise DataError(f"kernel {name!r}: choose one of {', '.join(KERNELS)}")
    if degree < 1 or (gamma is not None and gamma <= 0):
        raise DataError(f"degree {degree} must be 1 or more and gamma {gamma} above 0")
    xp, scale = array_namespace(a, b), gamma if gamma is not None else 1.0 / a.shape[1]
    if name == "polynomial":
        return (scale * _products(a, b, None, None) + coef0) ** degree
    if name == "correlation":
        rows = [xp.mean(m, axis=1, dtype=xp.float64)[:, None] for m in (a, b)]
        norms = [xp.sqrt(_squares(m, mean)) for m, mean in zip((a, b), rows, strict=True)]
        # a constant row keeps nothing but the rounding of its mean
        lengths = [xp.sqrt(_squares(m, None)) for m in (a, b)]
        eps = 1e-15 if a.dtype == xp.float64 else 1e-7
        alive = [n > eps * size for n, size in zip(norms, lengths, strict=True)]
        left, right = (
            xp.where(some, 1.0 / xp.where(some, n, xp.ones_like(n)), xp.zeros_like(n))
            for some, n in zip(alive, norms, strict=True)
        )
        out = _products(a, b, rows[0], rows[1])
        return xp.clip(out * left[:, None] * right, min=-1.0, max=1.0)
    mean = xp.mean(b, axis=0, dtype=xp.float64)[None, :]
    out = _products(a, b, mean, mean)
    if name == "linear":
        return out
    apart = _squares(a, mean)[:, None] + _squares(b, mean) - 2.0 * out
    return xp.exp(-scale * xp.clip(apart, min=0.0))


def _shifted(a: Array, mean: Array | None, features: slice) -> Array:
    part = double(a[:, features])
    if mean is None:
        return part
    return part - (mean if mean.shape[1] == 1 else mean[:, features])


def _products(a: Array, b: Array, mean_a: Array | None, mean_b: Array | None) -> Array:
    """Return (a - mean_a)(b - mean_b)', a few features at a time."""
    total: Any = 0.0
    for i in range(0, a.shape[1], CHUNK):
        some = slice(i, i + CHUNK)
        total = total + _shifted(a, mean_a, some) @ _shifted(b, mean_b, some).T
    return total


def _squares(a: Array, mean: Array | None) -> Array:
    xp, total = array_namespace(a), 0.0
    for i in range(0, a.shape[1], CHUNK):
        part = _shifted(a, mean, slice(i, i + CHUNK))
        total = total + xp.vecdot(part, part)
    return total


@dataclass(frozen=True)
class KernelRidgeFit:
    """A fitted kernel ridge: predictions are `k @ dual + intercept`, all in float64.

    `k` holds the similarities of new rows to the training rows. `dual` weighs training rows, and
    sums to zero. `alpha` and `loss` are as those of a ridge. Small penalties need all digits of
    `dual`, which is why float32 is not kept.
    """

    dual: Float[Array, "row target"]
    intercept: Float[Array, " target"]
    alpha: Float[Array, " target"]
    loss: Float[Array, "alpha target"]

    def predict(self, k: Float[Array, "new row"]) -> Float[Array, "new target"]:
        """Return the predictions for rows with the similarities `k`, in the type of `k`."""
        xp = array_namespace(k)
        return xp.astype(double(k) @ self.dual + self.intercept, k.dtype, copy=False)


def kernel_ridge_cv(
    k: Float[Array, "row row"],
    y: Float[Array, "row target"],
    alphas: Sequence[float | int] | np.ndarray,
    folds: Int[np.ndarray, " row"] | str,
    *,
    penalty: str | Int[np.ndarray, " _"] = "target",
    memory: int = 2 << 30,
    threads: int | None = None,
) -> KernelRidgeFit:
    """Fit a ridge in the space of a kernel, with the penalty that predicts held-out rows best.

    Minimises ||y - f(x) - b||^2 + alpha ||f||^2 in that space, the intercept b unpenalised, which
    is a ridge on any features whose products are `k`. Every training set has its own part of `k`,
    centred exactly. Computed in float64; other parameters as those of `ridge_cv`.

    - `k`: similarities of all pairs of rows, symmetric and positive semi-definite.
    - `alphas`: penalties above 0, in units of `k`.

    Raises `DataError` for a `k` that is not symmetric, penalties too small for the digits of `k`,
    and what `ridge_cv` refuses; `StriateError` when `memory` is too little.
    Saunders, Gammerman & Vovk 1998.

    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[1.0], [3.0], [5.0], [7.0]])
    >>> fit = kernel_ridge_cv(x @ x.T, y, [1e-3, 10.0], np.array([0, 0, 1, 1]))
    >>> fit.predict(np.array([[4.0]]) @ x.T).round(2).tolist(), fit.alpha.tolist()
    ([[9.0]], [0.001])
    """
    (k, y), back = on_cpu(k, y)
    check(k, y)
    xp, n = array_namespace(k), k.shape[0]
    if k.shape[1] != n:
        raise DataError(f"k has shape {tuple(k.shape)}: give similarities of all pairs of rows")
    size = float(xp.max(xp.abs(k)))
    if float(xp.max(xp.abs(k - k.T))) > (1e-4 if k.dtype == xp.float32 else 1e-9) * size:
        raise DataError("k is not symmetric: give similarities of the training rows to themselves")
    candidates, shared = check_alphas(alphas), check_penalty(penalty, y.shape[1])
    if isinstance(folds, str):
        check_closed(folds)
        order, bounds = None, [(0, n)]
    else:
        order, bounds = check_folds(folds, n)
    work = 2.0 * n * (len(bounds) + 1) * (10.0 * n**2 + n * y.shape[1])
    with workers(fitting(threads, work), gpu=not is_numpy_array(k)) as crew:
        need_of(Precomputed, n, n, len(bounds), closed=isinstance(folds, str)).check(
            memory, crew.threads
        )
        rows = _Given(k, order, bounds)
        total = rows.x
        centred = total - xp.mean(total, axis=0) - xp.mean(total, axis=1, keepdims=True)
        largest = float(xp.linalg.matrix_norm(centred + xp.mean(total)))
        del centred
        if candidates.min() <= GRAM_LIMIT * largest:
            raise DataError(
                f"the penalty {candidates.min():g} is below the digits of this kernel: use"
                f" penalties of {2 * GRAM_LIMIT * largest:.1g} and more"
            )
        tried = xp.asarray(candidates, dtype=xp.float64, device=device(k))
        blocks = Blocks(rows, y, Precomputed(total, bounds), memory, crew)
        if isinstance(folds, str):
            loss = closed_losses(blocks, tried, folds)
        else:
            loss = blocks.losses(tried)
        alpha = choose(loss, tried, shared)
        dual, level = blocks.solve(alpha)
    intercept = level - xp.mean(total, axis=0) @ dual
    if order is not None:
        dual = xp.take(dual, xp.asarray(np.argsort(order), device=device(k)), axis=0)
    loss /= n
    return KernelRidgeFit(back(dual), back(intercept), back(alpha), back(loss))


def kernel_ridge_need(rows: int, folds: int = 5, *, closed: bool = False) -> Need:
    """Return what `kernel_ridge_cv` takes of memory, beyond `k`, `y` and the result.

    `closed`: with "loo" or "gcv".

    >>> kernel_ridge_need(1000).fixed >> 20
    61
    """
    return need_of(Precomputed, rows, rows, folds, closed=closed)


class _Given(Rows):
    """A kernel in the order of the folds, in float64; it is each training set that centres it."""

    def _prepared(self, k: Float[Array, "row row"]) -> tuple[Any, Any]:
        xp = array_namespace(k)
        if self.order is not None:
            k = xp.take(xp.take(k, self.order, axis=0), self.order, axis=1)
        return double(k), xp.zeros((k.shape[1],), dtype=xp.float64, device=device(k))
