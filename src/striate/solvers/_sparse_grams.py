"""The Gram matrices of every training set and of the rows it holds out, for all targets at once.

A fold's products are computed once; a training set's are the total less the fold, and both are
moved to the training set's means by rank-one corrections. Everything is a mean over rows, in
float64, so that penalties do not depend on the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import Array, double

CONSTANT = 1e-26
"""Share of the squared mean below which the variance of a column in float64 is rounding."""
STILL = 1e-13
"""Share of a feature's variance below which its variance in a training set is rounding."""


@dataclass(frozen=True)
class Products:
    """What training sets know of a block of targets; the last set has all rows.

    `mean` is that of all rows.
    """

    c: Float[Array, "training target feature"]
    held_c: Float[Array, "fold target feature"]
    held_y: Float[Array, "fold target"]
    mean: Float[Array, " target"]


class Grams:
    """Gram matrices of the training sets: one without each fold, and the last with all rows.

    Features that are constant in a training set have a row and a column of zeros there.
    """

    def __init__(
        self,
        x: Float[Array, "row feature"],
        order: np.ndarray | None,
        bounds: list[tuple[int, int]],
    ) -> None:
        xp, self.bounds = array_namespace(x), bounds
        self.rows, self.order = x.shape[0], order
        self.mean, self.x = centred(x, order)
        x = self.x
        total, variance = x.T @ x, xp.mean(x * x, axis=0)
        sums = xp.stack([xp.sum(x[a:b, :], axis=0) for a, b in bounds])
        train, held, dead, means = [], [], [], []
        for fold, (a, b) in enumerate(bounds):
            rest = self.rows - (b - a)
            part = x[a:b, :].T @ x[a:b, :]
            mean = (xp.sum(sums, axis=0) - sums[fold, :]) / rest
            train.append((total - part) / rest - mean[:, None] * mean)
            moved = sums[fold, :] - (b - a) * mean
            held.append((part - sums[fold, :][:, None] * mean - mean[:, None] * moved) / (b - a))
            means.append(mean)
            dead.append(_still(xp, train[-1], variance))
        train.append(total / self.rows)
        dead.append(_still(xp, train[-1], variance))
        means.append(xp.zeros_like(means[0]))
        self.means, self.sums, self.dead = xp.stack(means), sums, xp.stack(dead)
        gone = self.dead[:, :, None] | self.dead[:, None, :]
        self.train = xp.where(
            gone, xp.zeros((), dtype=xp.float64, device=device(x)), xp.stack(train)
        )
        self.held = xp.stack(held)

    def products(self, y: Float[Array, "row target"]) -> Products:
        """Return the products with a block of targets."""
        xp, x = array_namespace(y), self.x
        mean, y = centred(y, self.order)
        parts = xp.stack([y[a:b, :].T @ x[a:b, :] for a, b in self.bounds])
        sums = xp.stack([xp.sum(y[a:b, :], axis=0) for a, b in self.bounds])
        squares = xp.stack([xp.sum(y[a:b, :] ** 2, axis=0) for a, b in self.bounds])
        total, all_sums = xp.sum(parts, axis=0), xp.sum(sums, axis=0)
        c, held_c, held_y = [], [], []
        for fold, (a, b) in enumerate(self.bounds):
            held, rest = b - a, self.rows - (b - a)
            x_mean, y_mean = self.means[fold, :], (all_sums - sums[fold, :]) / rest
            c.append((total - parts[fold, ...]) / rest - y_mean[:, None] * x_mean)
            moved = self.sums[fold, :] - held * x_mean
            shift = sums[fold, :][:, None] * x_mean + y_mean[:, None] * moved
            held_c.append((parts[fold, ...] - shift) / held)
            moved = 2.0 * sums[fold, :] - held * y_mean
            held_y.append((squares[fold, :] - y_mean * moved) / held)
        c.append(total / self.rows)
        c = xp.where(self.dead[:, None, :], xp.zeros_like(c[0])[None, ...], xp.stack(c))
        return Products(c, xp.stack(held_c), xp.stack(held_y), mean)


def centred(
    a: Float[Array, "row column"], order: np.ndarray | None
) -> tuple[Float[Array, " column"], Float[Array, "row column"]]:
    """Return the mean and a centred copy in float64, rows in `order`; what is constant is zero."""
    xp = array_namespace(a)
    if order is not None:
        a = xp.take(a, xp.asarray(order, device=device(a)), axis=0)
    wide = double(a)
    mean = xp.mean(wide, axis=0)
    wide = wide - mean
    flat = xp.mean(wide * wide, axis=0) <= CONSTANT * mean * mean
    return mean, xp.where(flat, xp.zeros_like(mean), wide)


def _still(xp: Array, gram: Array, variance: Array) -> Array:
    """Return which features are constant in a training set, by its Gram matrix."""
    return xp.linalg.diagonal(gram) <= STILL * variance
