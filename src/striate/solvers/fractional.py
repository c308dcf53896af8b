"""Fractional ridge: shrinkage told as a part of the least-squares length, not as a penalty.

In the basis of the singular vectors least squares is `b = c / L` and ridge `b L / (L + alpha)`. A
fraction f asks for the alpha at which `|b L / (L + alpha)| = f |b|`, another one for each target.
Both lengths are sums over directions, so those of all targets on a grid of alphas are two products,
between whose rows a monotone curve is read backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Int

from striate.errors import DataError
from striate.solvers._arrays import (
    Array,
    Workers,
    double,
    eigh,
    gram,
    intercept_of,
    on_cpu,
    rounded,
    workers,
)
from striate.solvers._budget import Need, fitting
from striate.solvers._ridge_asked import check, check_folds
from striate.solvers._ridge_blocks import BLOCK

# Directions with less than this part of the largest variance are left out of least squares: their
# coefficients would be rounding, and their length most of the length.
LEAST = 1e-10
STEP = 0.05  # of the grid of alphas, in their logarithm: curves read from it are right to 1e-9


@dataclass(frozen=True)
class FractionalFit:
    """A fitted fractional ridge: predictions are `(x - center) @ coef + level`.

    `fraction` is the part of the least-squares length that each target has kept, `alpha` the
    penalty that does it, and `loss` the mean squared error on held-out rows under each fraction.
    """

    coef: Float[Array, "feature target"]
    center: Float[Array, " feature"]
    level: Float[Array, " target"]
    fraction: Float[Array, " target"]
    alpha: Float[Array, " target"]
    loss: Float[Array, "fraction target"]

    @property
    def intercept(self) -> Float[Array, " target"]:
        """The predictions where all features are zero."""
        return intercept_of(self.coef, self.center, self.level)

    def predict(self, x: Float[Array, "row feature"]) -> Float[Array, "row target"]:
        """Return the predictions for `x`."""
        return (x - self.center) @ self.coef + self.level


def fractional_ridge_cv(
    x: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    fractions: Sequence[float | int] | np.ndarray,
    folds: Int[np.ndarray, " row"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> FractionalFit:
    """Fit a ridge that keeps the fraction of the least-squares length that predicts best.

    For every target and fraction the coefficients have exactly that part of the Euclidean length of
    the least-squares solution (of least norm) on the same rows, about their means. The fraction of
    least squared error on held-out rows is used on all rows. Computed in float64.

    - `x`, `y`: float32 or float64, both the same; NumPy arrays or torch tensors.
    - `fractions`: in [0, 1]; 1 is least squares and 0 the mean. Of equal errors the first is
      chosen.
    - `folds`: a label per row; rows with the same label are held out together.
    - `memory`, `threads`: as for `ridge_cv`.

    Raises `DataError` for shapes that do not fit, NaN, and fractions outside [0, 1];
    `StriateError` when `memory` is too little.
    Rokem & Kay 2020, doi:10.1093/gigascience/giaa133.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> fit = fractional_ridge_cv(x, 2 * x + 1, [0.5, 1.0], np.array([0, 0, 1, 1]))
    >>> fit.coef.round(6).tolist(), fit.fraction.tolist()
    ([[2.0]], [1.0])
    """
    (x, y), back = on_cpu(x, y)
    check(x, y)
    asked = np.asarray(fractions, dtype=np.float64)
    if asked.ndim != 1 or not asked.size or not ((asked >= 0) & (asked <= 1)).all():
        raise DataError(f"fractions {fractions!r}: give at least one, all from 0 to 1")
    order, bounds = check_folds(folds, x.shape[0])
    del order
    xp, (n, p) = array_namespace(x), x.shape
    need = fractional_need(n, p, len(asked))
    work = 2.0 * n * min(n, p) * (len(bounds) + 1) * (p + len(asked) * y.shape[1])
    labels = np.unique(folds, return_inverse=True)[1]
    with workers(fitting(threads, work), gpu=not is_numpy_array(x)) as crew:
        largest = BLOCK if is_numpy_array(y) else 0
        blocks = need.batches(y.shape[1], memory, largest=largest, shares=crew.threads)
        loss = xp.zeros((len(asked), y.shape[1]), dtype=xp.float64, device=device(x))
        for fold in range(len(bounds)):
            _held_out(x, y, labels == fold, asked, loss, blocks, crew)
        chosen = xp.argmin(loss, axis=0)
        fraction = xp.take(xp.asarray(asked, dtype=xp.float64, device=device(x)), chosen)
        coef, level, alpha, mean = _refitted(x, y, asked, fraction, blocks, crew)
    loss /= n
    center, level = rounded(mean, level, coef, x.dtype)
    return FractionalFit(*map(back, (coef, center, level, fraction, alpha, loss)))


def fractional_need(rows: int, features: int, fractions: int = 10) -> Need:
    """Return what `fractional_ridge_cv` takes of memory, beyond `x`, `y` and the result.

    >>> fractional_need(9000, 1000).fixed >> 20
    320
    """
    shorter = min(rows, features)
    fixed = 8 * (3 * rows * features + rows * shorter + 6 * shorter**2)
    if features >= rows:
        fixed += 8 * features * shorter
    each = 8 * (4 * rows + 10 * shorter + features + 12 * GRID + 6 * fractions)
    return Need(f"fractional ridge of {features:,} features on {rows:,} rows", fixed, each)


GRID = 1200
"""About as many alphas as the grid has for the widest spectrum that is kept."""


@dataclass(frozen=True)
class Directions:
    """The singular directions of centred rows: variances, vectors and scores."""

    mean: Float[Array, " feature"]
    values: Float[Array, " rank"]
    vectors: Float[Array, "feature rank"]
    scores: Float[Array, "row rank"]

    def least_squares(self, y: Float[Array, "row target"]) -> Float[Array, "rank target"]:
        """Return the least-squares solution of targets about their means."""
        return (self.scores.T @ y) / self.values[:, None]


def directions(x: Float[Array, "row feature"]) -> Directions:
    """Return the directions of `x` in which there is variance, in float64."""
    xp = array_namespace(x)
    mean = xp.mean(x, axis=0, dtype=xp.float64)
    centred = double(x) - mean
    wide = x.shape[1] >= x.shape[0]
    values, vectors = eigh(gram(centred.T if wide else centred), overwrite=True)
    (alive,) = xp.nonzero(values > LEAST * values[-1])
    values, vectors = xp.take(values, alive), xp.take(vectors, alive, axis=1)
    if not wide:
        return Directions(mean, values, vectors, centred @ vectors)
    sizes = xp.sqrt(values)
    return Directions(mean, values, centred.T @ (vectors / sizes), vectors * sizes)


def penalties(
    least: Float[Array, "rank target"],
    values: Float[Array, " rank"],
    fractions: np.ndarray,
) -> Float[Array, "fraction target"]:
    """Return the penalty at which ridge has each fraction of the length of `least`.

    With the lengths l(alpha) of ridge and l(0) of least squares, log(l(0)^2 / l^2 - 1) grows with
    log(alpha) with a slope from one to two, whatever the spectrum: it is interpolated backwards by
    cubic Hermite polynomials.
    """
    xp, f = array_namespace(least), np.clip(fractions, 1e-12, 1.0)
    inside = (fractions > 0) & (fractions < 1)
    shape = (len(fractions), least.shape[1])
    out = xp.zeros(shape, dtype=xp.float64, device=device(least))
    out[np.flatnonzero(fractions == 0).tolist(), ...] = float("inf")
    if not inside.any() or not values.shape[0]:
        return out
    wanted = np.log(1.0 / f**2 - 1.0, where=inside, out=np.zeros_like(f))
    # l(0)^2 / l^2 lies between (1 + alpha / L)^2 for the largest L and for the smallest
    ratio = 1.0 / f[inside] - 1.0
    low = np.log(ratio.min() * float(values[0])) - STEP
    high = np.log(ratio.max() * float(values[-1])) + STEP
    t = np.linspace(low, high, max(3, int(np.ceil((high - low) / STEP)) + 1))
    tried = xp.exp(xp.asarray(t, dtype=xp.float64, device=device(least)))[:, None]
    keep = values / (values + tried)  # alpha by direction
    lost = tried * (2.0 * values + tried) / (values + tried) ** 2  # 1 - keep^2, without rounding
    power = least * least
    total = xp.sum(power, axis=0)
    power = power / xp.where(total > 0, total, xp.ones_like(total))
    left, gone = keep**2 @ power, lost @ power
    some = (total > 0) & (xp.min(left, axis=0) > 0)
    left = xp.where(some, left, xp.ones_like(left))
    gone = xp.where(some, gone, xp.ones_like(gone))
    fall = (2.0 * keep**2 * (1.0 - keep)) @ power
    slope = xp.where(some, fall / gone + fall / left, xp.ones_like(left))
    curve = xp.log(gone) - xp.log(left)
    columns = xp.arange(least.shape[1], device=device(least))
    for i in np.flatnonzero(inside).tolist():
        after = xp.clip(xp.sum(xp.astype(curve < wanted[i], xp.int64), axis=0), 1, len(t) - 1)
        (z0, z1), (s0, s1) = ((a[after - 1, columns], a[after, columns]) for a in (curve, slope))
        width = xp.where(some, z1 - z0, xp.ones_like(z0))
        u, h = (wanted[i] - z0) / width, float(t[1] - t[0])
        a, b = width / s0 / h, width / s1 / h  # d log(alpha) / du, in steps of the grid
        step = u * u * (3.0 - 2.0 * u) + u * (1.0 - u) * (a * (1.0 - u) - b * u)
        start = xp.take(xp.asarray(t, device=device(least)), after - 1)
        out[i, ...] = xp.where(some, xp.exp(start + h * step), xp.zeros_like(step))
    return out


def _shrunk(least: Array, values: Array, alpha: Array) -> Array:
    """Return the ridge solution with a penalty per target, in the basis of directions."""
    xp = array_namespace(least)
    finite = xp.where(xp.isfinite(alpha), alpha, xp.ones_like(alpha))
    keep = values[:, None] / (values[:, None] + finite)
    return xp.where(xp.isfinite(alpha), least * keep, xp.zeros_like(least))


def _held_out(
    x: Array,
    y: Array,
    out: np.ndarray,
    fractions: np.ndarray,
    loss: Array,
    blocks: list[tuple[int, int]],
    crew: Workers,
) -> None:
    """Add the squared errors of the rows `out`, after a fit to the others, to `loss`."""
    xp = array_namespace(x)
    inside, outside = (xp.asarray(np.flatnonzero(rows), device=device(x)) for rows in (~out, out))
    found = directions(xp.take(x, inside, axis=0))
    predictors = (double(xp.take(x, outside, axis=0)) - found.mean) @ found.vectors

    def job(block: tuple[int, int]) -> None:
        part = y[:, slice(*block)]
        known, truth = double(xp.take(part, inside, axis=0)), double(xp.take(part, outside, axis=0))
        mean = xp.mean(known, axis=0)
        least = found.least_squares(known - mean)
        alpha = penalties(least, found.values, fractions)
        for i in range(len(fractions)):
            error = predictors @ _shrunk(least, found.values, alpha[i, ...])
            error -= truth - mean
            loss[i, slice(*block)] += xp.sum(error * error, axis=0)

    crew.map(job, blocks)


def _refitted(
    x: Array,
    y: Array,
    fractions: np.ndarray,
    fraction: Array,
    blocks: list[tuple[int, int]],
    crew: Workers,
) -> tuple[Any, Any, Any, Any]:
    """Return coefficients, means of targets, penalties and means of features of all rows."""
    xp, found = array_namespace(x), directions(x)
    coef = xp.empty((x.shape[1], y.shape[1]), dtype=x.dtype, device=device(x))
    level = xp.mean(y, axis=0, dtype=xp.float64)
    alpha = xp.zeros_like(level)

    def job(block: tuple[int, int]) -> None:
        here = slice(*block)
        least = found.least_squares(double(y[:, here]) - level[here])
        each = penalties(least, found.values, fractions)
        for i, value in enumerate(fractions.tolist()):
            alpha[here] = xp.where(fraction[here] == value, each[i, ...], alpha[here])
        weights = found.vectors @ _shrunk(least, found.values, alpha[here])
        coef[:, here] = xp.astype(weights, coef.dtype, copy=False)

    crew.map(job, blocks)
    return coef, level, alpha, found.mean
