"""Weights that mix the predictions of several members, for thousands of targets at once.

All that a least-squares mix needs from the rows is each target's Gram matrix of its members, so the
cost after one pass over the rows does not depend on their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Int
from scipy.optimize import nnls

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, on_cpu, workers

BLOCK = 128  # targets whose rows are copied to float64 at once, by one thread


@dataclass(frozen=True)
class Blend:
    """A mix of members: `sum over members of weights * predictions, plus intercept`."""

    weights: Float[Array, "member target"]
    intercept: Float[Array, " target"]

    def predict(self, predictions: Float[Array, "member row target"]) -> Float[Array, "row target"]:
        """Return the mixed predictions."""
        out = self.intercept + self.weights[0] * predictions[0]
        for member in range(1, self.weights.shape[0]):
            out += self.weights[member] * predictions[member]
        return out


def mean(predictions: Float[Array, "member row target"]) -> Blend:
    """Return the blend that averages its members: 1 / members each, and no intercept.

    >>> mean(np.zeros((4, 3, 2))).weights[:, 0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    xp = array_namespace(predictions)
    members = predictions.shape[0]
    zeros = xp.zeros_like(predictions[:, 0, :])
    return Blend(zeros + 1.0 / members, zeros[0])


def nonnegative(
    predictions: Float[Array, "member row target"],
    y: Float[Array, "row target"],
    *,
    l2: float | int = 0.0,
) -> Blend:
    """Return the non-negative weights with the least squared error, for each target its own.

    Minimises ||y - sum_m w_m p_m - b||^2 + l2 ||w||^2 over w >= 0 and a free intercept b. Fit it on
    predictions of rows that the members did not train on. With l2 = 0 no single member, however
    scaled, and no average of members has a smaller squared error on these rows. The result has
    the type of `predictions` (NumPy arrays or tensors on the CPU). Raises `DataError` for NaN, for
    shapes that differ, and for a negative `l2`. Breiman 1996, "Stacked regressions",
    doi:10.1007/BF00117832; the method is that of Lawson & Hanson 1974 on Gram matrices (Bro & de
    Jong 1997).

    >>> a, b = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [0.0], [1.0]])
    >>> blend = nonnegative(np.stack([a, b]), 0.5 * a + 2.0)
    >>> blend.weights.round(9).tolist(), blend.intercept.round(9).tolist()
    ([[0.5], [0.0]], [2.0])
    """
    (predictions, y), back = on_cpu(predictions, y)
    _check(predictions, y, l2)
    members, _, targets = predictions.shape
    weights = np.empty((members, targets), dtype=predictions.dtype)
    intercept = np.empty(targets, dtype=predictions.dtype)

    def job(low: int) -> None:
        block = slice(low, low + BLOCK)
        p = np.array(predictions[:, :, block].transpose(2, 0, 1), dtype=np.float64, order="C")
        t = np.array(y[:, block].T, dtype=np.float64, order="C")
        p_mean, t_mean = p.mean(axis=2), t.mean(axis=1)
        p -= p_mean[:, :, None]
        t -= t_mean[:, None]
        gram = p @ p.transpose(0, 2, 1)
        # a constant member leaves only the rounding of its mean, and says nothing beside b
        useful = np.diagonal(gram, axis1=1, axis2=2) > 1e-26 * p.shape[2] * p_mean**2
        gram += l2 * np.eye(members)
        solved = nonnegative_from_grams(gram, (p @ t[:, :, None])[:, :, 0], useful)
        weights[:, block] = solved.T
        intercept[block] = t_mean - (solved * p_mean).sum(axis=1)

    with workers(None) as crew:
        crew.map(job, range(0, targets, BLOCK))
    return Blend(back(weights), back(intercept))


def nonnegative_from_grams(
    grams: Float[np.ndarray, "target member member"],
    products: Float[np.ndarray, "target member"],
    useful: Bool[np.ndarray, "target member"],
) -> Float[np.ndarray, "target member"]:
    """Return argmin over w >= 0 of w'Gw - 2 f'w for every target; members not `useful` get 0.

    Lawson and Hanson's method with all targets in step: each round lets in the member with the
    steepest descent, solves for the members that are in, and steps back to the boundary where
    that made one negative.

    >>> g, f = np.array([[[2.0, 0.0], [0.0, 1.0]]]), np.array([[4.0, -1.0]])
    >>> nonnegative_from_grams(g, f, np.ones((1, 2), dtype=bool)).round(9).tolist()
    [[2.0, 0.0]]
    """
    targets, members = products.shape
    size = np.sqrt(np.diagonal(grams, axis1=1, axis2=2))
    size = np.where(useful & (size > 0), size, 1.0)
    g = grams / (size[:, :, None] * size[:, None, :])  # now of unit diagonal: one tolerance fits
    f = np.where(useful, products / size, 0.0)
    # the descent that is left at the optimum is rounding of f
    tolerance = 1e-13 * members * np.abs(f).max(axis=1)
    w = np.zeros_like(f)
    inside = np.zeros(f.shape, dtype=bool)
    shut = ~useful
    todo = np.arange(targets)
    for _ in range(6 * members):
        slope = f[todo] - np.einsum("tij,tj->ti", g[todo], w[todo])
        slope[inside[todo] | shut[todo]] = -np.inf
        enters = slope.argmax(axis=1)
        descends = slope[np.arange(todo.size), enters] > tolerance[todo]
        todo, enters = todo[descends], enters[descends]
        if not todo.size:
            break
        inside[todo, enters] = True
        stuck = _solve_inside(g, f, w, inside, todo, enters)
        shut[todo] = ~useful[todo]
        shut[todo[stuck], enters[stuck]] = True
    for t in todo:  # a Gram matrix without the digits for the method in step
        values, vectors = np.linalg.eigh(g[t])
        root = np.sqrt(np.clip(values, values[-1] * 1e-15, None))
        w[t] = nnls(root[:, None] * vectors.T, (vectors.T @ f[t]) / root)[0]
    return _at_least_as_good(g, f, w, useful) / size


def _solve_inside(
    g: Float[np.ndarray, "all member member"],
    f: Float[np.ndarray, "all member"],
    w: Float[np.ndarray, "all member"],
    inside: Bool[np.ndarray, "all member"],
    todo: Int[np.ndarray, " target"],
    entered: Int[np.ndarray, " target"],
) -> Bool[np.ndarray, " target"]:
    """Move `w` to the least squares of the members inside, letting out those that reach zero.

    Changes `w` and `inside`; returns where the member that entered did not move.
    """
    nudge = 4 * np.finfo(np.float64).eps  # keeps the matrix of twin members invertible
    stuck = np.zeros(todo.size, dtype=bool)
    index, first = np.arange(todo.size), True
    while index.size:
        rows = todo[index]
        free = inside[rows]
        matrix = np.where(free[:, :, None] & free[:, None, :], g[rows], 0.0)
        diagonal = np.arange(f.shape[1])
        matrix[:, diagonal, diagonal] += np.where(free, nudge, 1.0)
        aim = np.linalg.solve(matrix, np.where(free, f[rows], 0.0)[:, :, None])[:, :, 0]
        if first:  # rounding alone can turn it back: shut it out until something else moves
            stuck = aim[index, entered] <= 0
            inside[todo[stuck], entered[stuck]] = False
            index, aim, rows, free = index[~stuck], aim[~stuck], rows[~stuck], free[~stuck]
            first = False
        negative = free & (aim <= 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(negative, w[rows] / (w[rows] - aim), np.inf).min(axis=1)
        step = np.minimum(reach, 1.0)[:, None]
        moved = w[rows] + step * (aim - w[rows])
        out = negative & (moved <= 1e-15 * np.abs(aim).max(axis=1, keepdims=True))
        moved[out] = 0.0
        w[rows] = moved
        inside[rows] &= ~out
        index = index[negative.any(axis=1)]
    return stuck


def _at_least_as_good(
    g: Float[np.ndarray, "target member member"],
    f: Float[np.ndarray, "target member"],
    w: Float[np.ndarray, "target member"],
    useful: Bool[np.ndarray, "target member"],
) -> Float[np.ndarray, "target member"]:
    """Return `w`, or the best single member where rounding has made that one better."""
    members = f.shape[1]
    objective = np.einsum("ti,tij,tj->t", w, g, w) - 2 * (f * w).sum(axis=1)
    best = np.where(useful, f, 0.0).argmax(axis=1)
    gain = np.clip(f[np.arange(best.size), best], 0.0, None)
    single = np.eye(members)[best] * gain[:, None]
    return np.where((objective > -(gain**2))[:, None], single, w)


def _check(predictions: np.ndarray, y: np.ndarray, l2: float) -> None:
    members, rows, targets = predictions.shape
    if y.shape != (rows, targets):
        raise DataError(
            f"predictions are for {rows} rows of {targets} targets but y has shape {y.shape}: "
            f"give both the same rows and targets"
        )
    if 0 in (members, rows, targets):
        raise DataError(f"predictions of shape {predictions.shape} hold nothing to blend")
    if not (np.isfinite(l2) and l2 >= 0):
        raise DataError(f"the penalty l2 = {l2} is not a finite number >= 0: give one, or 0")
    check_finite("y", y, "target")
    for member in range(members):
        check_finite(f"the prediction of member {member}", predictions[member], "target")
