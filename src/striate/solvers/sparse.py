"""Lasso and elastic net for thousands of targets on the same features, each with its own penalty.

All targets share the Gram matrices of the training sets, so that rows are visited once; what
remains of a target are its products with the features. `_lasso_knots` and
`_lasso_paths` solve for them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, intercept_of, on_cpu, rounded, workers
from striate.solvers._budget import Need, fitting
from striate.solvers._ridge_asked import check, check_alphas, check_folds
from striate.solvers._sparse_grams import Grams
from striate.solvers._sparse_targets import AT_ONCE, Asked, Found, each_alone, padded, together

Ratio = float | int | Sequence[float]


@dataclass(frozen=True)
class SparseFit:
    """A fitted sparse regression: predictions are `(x - center) @ coef + level`.

    `coef`, `center` (the means of the features) and `level` (of the targets) have the type of the
    input, all else is float64. `alpha` and `l1_ratio`
    are the chosen penalties; `alphas` are those that were tried for each target with its
    `l1_ratio`, from largest to smallest, and `loss` is the mean squared error on held-out rows.
    `fallbacks` targets needed coordinate descent somewhere; `loose` of them did not come to rest.
    """

    coef: Float[Array, "feature target"]
    center: Float[Array, " feature"]
    level: Float[Array, " target"]
    alpha: Float[Array, " target"]
    l1_ratio: Float[Array, " target"]
    alphas: Float[Array, "alpha target"]
    loss: Float[Array, "alpha target"]
    fallbacks: int = 0
    loose: int = 0

    @property
    def intercept(self) -> Float[Array, " target"]:
        """The predictions where all features are zero."""
        return intercept_of(self.coef, self.center, self.level)

    def predict(self, x: Float[Array, "row feature"]) -> Float[Array, "row target"]:
        """Return the predictions for `x`."""
        return (x - self.center) @ self.coef + self.level


def lasso_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    folds: np.ndarray,
    *,
    alphas: Sequence[float | int] | np.ndarray | None = None,
    n_alphas: int = 100,
    eps: float = 1e-3,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> SparseFit:
    """Fit a lasso to every target, with the penalty that predicts held-out rows best.

    Minimises ||y - Xw - b||^2 / (2 n) + alpha ||w||_1 for every target, as scikit-learn's
    `LassoCV` does: its penalties, its choice by the mean over folds of their mean squared errors
    (of equal ones the largest penalty), its refit on all rows.

    - `x`, `y`: float32 or float64, both the same; NumPy arrays or torch tensors, and the result is
      of the same kind. Computed in float64.
    - `folds`: a label per row; rows with the same label are held out together.
    - `alphas`: penalties to choose from. None: `n_alphas` for each target, from the smallest that
      sets all its coefficients to zero down to `eps` times that, evenly on a logarithmic scale.
    - `memory`: bytes to take beyond `x`, `y` and the result; see `sparse_need`.
    - `threads`: workers on the CPU; None means as many as BLAS would use.

    The first call compiles for some seconds. Raises `DataError` for shapes that do not fit, NaN,
    fewer than two folds, penalties that are none; `StriateError` when `memory` is too little.
    Tibshirani 1996, doi:10.1111/j.2517-6161.1996.tb02080.x; the path of exact active sets is that
    of Efron et al. 2004, doi:10.1214/009053604000000067.

    >>> x, y = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [3.0, 1.0]]), np.arange(4.0)[:, None]
    >>> fit = lasso_cv(x, y, np.array([0, 1, 1, 0]), alphas=[0.5, 0.125])
    >>> fit.coef.round(2).tolist(), fit.alpha.tolist()
    ([[0.9], [0.0]], [0.125])
    """
    asked = _asked(alphas, n_alphas, eps, 1.0)
    return _fit(x, y, folds, asked, memory, threads, joint=False)


def elastic_net_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    folds: np.ndarray,
    *,
    l1_ratio: Ratio = 0.5,
    alphas: Sequence[float | int] | np.ndarray | None = None,
    n_alphas: int = 100,
    eps: float = 1e-3,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> SparseFit:
    """Fit an elastic net to every target, with the penalty that predicts held-out rows best.

    Minimises ||y - Xw - b||^2 / (2 n) + alpha (r ||w||_1 + (1 - r) ||w||^2 / 2) with r the
    `l1_ratio`, above 0 and at most 1; of several, each target gets the best. Else as `lasso_cv`,
    with the penalties and the choice of scikit-learn's `ElasticNetCV`.
    Zou & Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x.

    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.arange(4.0)[:, None]
    >>> fit = elastic_net_cv(x, y, np.array([0, 1, 1, 0]), alphas=[0.5, 0.25])
    >>> fit.coef.round(2).tolist(), fit.alpha.tolist()
    ([[0.82]], [0.25])
    """
    asked = _asked(alphas, n_alphas, eps, l1_ratio)
    return _fit(x, y, folds, asked, memory, threads, joint=False)


def multitask_elastic_net_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    folds: np.ndarray,
    *,
    l1_ratio: Ratio = 0.5,
    alphas: Sequence[float | int] | np.ndarray | None = None,
    n_alphas: int = 100,
    eps: float = 1e-3,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> SparseFit:
    """Fit an elastic net whose targets use the same features, with one penalty for all of them.

    Minimises ||Y - XW - b||^2 / (2 n) + alpha (r sum_j ||w_j|| + (1 - r) ||W||^2 / 2), w_j the
    coefficients of feature j over targets, as scikit-learn's `MultiTaskElasticNetCV`. More targets
    than features cost no more than as many: the penalty sees only norms over targets, which are
    rotated into the span of X'Y. Parameters, result and errors as for `elastic_net_cv`.
    Obozinski, Taskar & Jordan 2010, doi:10.1007/s11222-008-9111-x.

    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.arange(4.0)[:, None] * [1.0, 2.0]
    >>> fit = multitask_elastic_net_cv(x, y, np.array([0, 1, 1, 0]), alphas=[0.5, 0.25])
    >>> fit.coef.round(2).tolist(), fit.alpha.tolist()
    ([[0.87, 1.74]], [0.25, 0.25])
    """
    asked = _asked(alphas, n_alphas, eps, l1_ratio)
    return _fit(x, y, folds, asked, memory, threads, joint=True)


def sparse_need(
    rows: int,
    features: int,
    folds: int = 3,
    n_alphas: int = 100,
    *,
    threads: int = 1,
    joint: bool = False,
) -> Need:
    """Return what the solvers here take of memory, beyond `x`, `y` and the result.

    `joint`: for targets that share their features, all of which are worked on at once.

    >>> sparse_need(900, 100).fixed >> 20
    7
    """
    square = features * padded(features)
    fixed = 4 * rows * features + (8 * folds + 8 + 4 * threads) * square
    fixed = 8 * (fixed + 2 * threads * max(AT_ONCE, n_alphas * features))
    each = 8 * (4 * rows + (5 * folds + 6) * features + 4 * n_alphas)
    name = "multi-task elastic net" if joint else "lasso"
    return Need(f"{name} of {features:,} features on {rows:,} rows", fixed, each)


def _asked(
    alphas: Sequence[float | int] | np.ndarray | None, n_alphas: int, eps: float, l1_ratio: Ratio
) -> Asked:
    """Return what is to be tried, or raise a `DataError`."""
    ratios = np.atleast_1d(np.asarray(l1_ratio, dtype=np.float64))
    if ratios.ndim != 1 or not ratios.size or not ((ratios > 0) & (ratios <= 1)).all():
        raise DataError(f"l1_ratio {l1_ratio!r} must be above 0 and at most 1: use ridge_cv for 0")
    if alphas is not None:
        return Asked(ratios, np.sort(check_alphas(alphas))[::-1].copy(), 0, 0.0)
    if n_alphas < 1 or not 0 < eps < 1:
        raise DataError(
            f"n_alphas = {n_alphas} and eps = {eps}: give at least one penalty, and as eps the"
            " smallest as a share of the largest, between 0 and 1"
        )
    return Asked(ratios, None, n_alphas, eps)


def _fit(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    folds: np.ndarray,
    asked: Asked,
    memory: int,
    threads: int | None,
    *,
    joint: bool,
) -> SparseFit:
    (x, y), back = on_cpu(x, y)
    check(x, y)
    order, bounds = check_folds(np.asarray(folds), x.shape[0])
    compiled = is_numpy_array(x) and find_spec("numba") is not None
    (rows, features), targets, tried = x.shape, y.shape[1], asked.count
    work = 20.0 * targets * tried * len(bounds) * features * min(rows, features)
    with workers(fitting(threads, work), gpu=not is_numpy_array(x)) as crew:
        need = sparse_need(rows, features, len(bounds), tried, threads=crew.threads, joint=joint)
        if joint:
            need.check(memory, targets)
            ranges = [(0, targets)]
        else:
            ranges = need.batches(targets, memory)
        grams = Grams(x, order, bounds)
        found: list[Found] = []
        for low, high in ranges:
            products = grams.products(y[:, low:high])
            solve = together if joint else each_alone
            found.append(solve(grams, products, asked, crew, compiled))
    xp = array_namespace(x)

    def beside(name: str) -> Array:
        parts = [getattr(f, name) for f in found]
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)

    coef = xp.astype(beside("coef"), x.dtype, copy=False)
    center, level = rounded(grams.mean, beside("mean"), coef, x.dtype)
    return SparseFit(
        back(coef),
        back(center),
        back(level),
        back(beside("alpha")),
        back(beside("l1_ratio")),
        back(beside("alphas")),
        back(beside("loss")),
        fallbacks=sum(f.fallbacks for f in found),
        loose=sum(f.loose for f in found),
    )
