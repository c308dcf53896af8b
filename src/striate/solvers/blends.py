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
from striate.solvers._arrays import Array, on_cpu, workers
from striate.solvers._budget import fitting
from striate.solvers.ensemble import member_grams

BLOCK = 256  # targets that take the steps of the method together, in one thread

PIVOTS = 8
"""Rounds of exchanging many members at once; the few targets left go on one by one."""


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
    memory: int = 2 << 30,
    threads: int | None = None,
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
    if not (np.isfinite(l2) and l2 >= 0):
        raise DataError(f"the penalty l2 = {l2} is not a finite number >= 0: give one, or 0")
    (predictions, y), back = on_cpu(predictions, y)
    grams = member_grams(predictions, y, memory=memory, threads=threads)
    members, _, targets = predictions.shape
    weights = np.empty((members, targets), dtype=predictions.dtype)

    def job(low: int) -> None:
        some = grams.at(slice(low, low + BLOCK))
        full = some.dense() + l2 * np.eye(members)
        weights[:, low : low + BLOCK] = nonnegative_from_grams(
            full, some.products.T, ~some.idle.T
        ).T

    with workers(fitting(threads, 10.0 * members**3 * targets)) as crew:
        crew.map(job, range(0, targets, BLOCK))
    intercept = y.mean(axis=0, dtype=np.float64) - (weights * grams.means).sum(axis=0)
    return Blend(back(weights), back(intercept.astype(predictions.dtype)))


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
    w, inside = _pivoted(g, f, useful, tolerance)
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


def _pivoted(
    g: Float[np.ndarray, "target member member"],
    f: Float[np.ndarray, "target member"],
    useful: Bool[np.ndarray, "target member"],
    tolerance: Float[np.ndarray, " target"],
) -> tuple[Float[np.ndarray, "target member"], Bool[np.ndarray, "target member"]]:
    """Where to begin: weights, and which members are in; nothing where that is not feasible.

    Exchanges all members on the wrong side at once (Kim & Park 2011, doi:10.1137/110821172), which
    mostly ends at the optimum in a few rounds but has no proof of that.
    """
    w, inside = np.zeros_like(f), np.array(useful & (f > tolerance[:, None]), dtype=bool)
    todo = np.flatnonzero(inside.any(axis=1))
    feasible = np.array(~inside.any(axis=1))
    for _ in range(PIVOTS):
        if not todo.size:
            break
        w[todo] = _least_squares(g[todo], f[todo], inside[todo])
        descent = f[todo] - np.einsum("tij,tj->ti", g[todo], w[todo])
        negative = inside[todo] & (w[todo] <= 0)
        wrong = negative | (useful[todo] & ~inside[todo] & (descent > tolerance[todo, None]))
        feasible[todo] = ~negative.any(axis=1)
        left = wrong.any(axis=1)
        todo, wrong = todo[left], wrong[left]
        last = inside[todo]
        inside[todo] = last ^ wrong
    inside[todo] = last if todo.size else inside[todo]  # the members that `w` is of
    w[~feasible], inside[~feasible] = 0.0, False
    return w, inside


def _least_squares(
    g: Float[np.ndarray, "target member member"],
    f: Float[np.ndarray, "target member"],
    free: Bool[np.ndarray, "target member"],
) -> Float[np.ndarray, "target member"]:
    """Weights of the members that are `free`; 0 for the others."""
    nudge = 4 * np.finfo(np.float64).eps  # keeps the matrix of twin members invertible
    matrix = np.where(free[:, :, None] & free[:, None, :], g, 0.0)
    diagonal = np.arange(f.shape[1])
    matrix[:, diagonal, diagonal] += np.where(free, nudge, 1.0)
    return np.asarray(np.linalg.solve(matrix, np.where(free, f, 0.0)[:, :, None])[:, :, 0])


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
    stuck = np.zeros(todo.size, dtype=bool)
    index, first = np.arange(todo.size), True
    while index.size:
        rows = todo[index]
        free = inside[rows]
        aim = _least_squares(g[rows], f[rows], free)
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
