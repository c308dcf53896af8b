"""Every block of targets through every training set, as much at once as memory and cores allow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.solvers._arrays import Array, Workers, double
from striate.solvers._ridge_primal import Primal
from striate.solvers._ridge_rows import Block, Kernel, Route, Svd

# Penalties relative to the size of X'X below which float32 products with the targets, and below
# which float64 Gram matrices, run out of digits.
SINGLE_LIMIT = 1e-8
GRAM_LIMIT = 1e-11
# A float32 quadratic form loses a loss that is this small a part of the target's own variance.
TINY_LOSS = 1e-4
# Targets per block: the block's arrays then stay in the processor's cache.
BLOCK = 512


class Rows:
    """The rows of x, centred, those of a fold side by side; and how to bring y in that order.

    `order` is None where folds are side by side already. `dtype` is what to compute in.
    """

    def __init__(
        self,
        x: Float[Array, "row feature"],
        order: np.ndarray | None,
        bounds: list[tuple[int, int]],
        dtype: Any,
    ) -> None:
        xp = array_namespace(x)
        self.bounds, self.dtype = bounds, dtype
        self.order = None if order is None else xp.asarray(order, device=device(x))
        self.x, self.mean = self._centred(x)
        # what rounding left of the mean: exact intercepts want it back
        self.mean += xp.mean(self.x, axis=0, dtype=xp.float64)

    def _centred(self, a: Array) -> tuple[Array, Array]:
        xp = array_namespace(a)
        mean = xp.astype(xp.mean(a, axis=0, dtype=xp.float64), self.dtype)
        a = a if self.order is None else xp.take(a, self.order, axis=0)
        return xp.astype(a, self.dtype, copy=False) - mean, double(mean)

    def block(self, y: Float[Array, "row target"], low: int, high: int) -> tuple[Block, Any]:
        """Return targets [low, high) as a block, and their means."""
        xp = array_namespace(y)
        centred, mean = self._centred(y[:, low:high])
        centred = xp.asarray(centred.T, copy=True, order="C") if is_numpy_array(y) else centred.T
        parts = [centred[:, a:b] for a, b in self.bounds]
        sums = xp.stack([xp.sum(part, axis=1, dtype=xp.float64) for part in parts])
        squares = xp.stack([double(xp.vecdot(part, part)) for part in parts])
        return Block(centred, sums, squares), mean


class Blocks:
    """All blocks of targets through one route."""

    def __init__(
        self,
        rows: Rows,
        y: Float[Array, "row target"],
        route: Route,
        memory: int,
        crew: Workers,
    ) -> None:
        self.rows, self.y, self.route, self.memory, self.crew = rows, y, route, memory, crew
        n, p = rows.x.shape
        # bytes of one target: itself, its products with x, and a few arrays as long as a solution
        each = 8 * (3 * n + (len(rows.bounds) + 6) * min(p, n) + p)
        most = max(1, memory // 2 // crew.threads // each)
        most = min(BLOCK, most) if is_numpy_array(y) else most
        count = max(1, -(-y.shape[1] // most))
        if y.shape[1] >= 64:  # an equal share for every worker
            count = -(-count // crew.threads) * crew.threads
        edges = np.linspace(0, y.shape[1], count + 1).astype(int).tolist()
        self.blocks = [(a, b) for a, b in pairwise(edges) if a < b]
        self.wave = max(1, min(len(rows.bounds), memory // 2 // route.fold_bytes))

    def losses(self, alphas: Float[Array, " alpha"]) -> Float[Array, "alpha target"]:
        """Return the squared error of the held-out rows, summed over rows and folds."""
        xp, folds = array_namespace(alphas), range(len(self.rows.bounds))
        shape = (alphas.shape[0], self.y.shape[1])
        total = xp.zeros(shape, dtype=xp.float64, device=device(alphas))
        self.variance = xp.zeros(shape[1:], dtype=xp.float64, device=device(alphas))
        for start in range(0, len(folds), self.wave):  # as many folds as memory holds at once
            wave = self.crew.map(self.route.decompose, folds[start : start + self.wave])

            def job(block: tuple[int, int], wave: list[Any] = wave) -> None:
                targets, _ = self.rows.block(self.y, *block)
                products = self.route.products(targets)
                self.variance[slice(*block)] = xp.sum(targets.squares, axis=0)
                for fold in wave:
                    total[:, slice(*block)] += fold.losses(targets, products, alphas)

            self.crew.map(job, self.blocks)
        return total

    def solve(
        self, alpha: Float[Array, " target"]
    ) -> tuple[Float[Array, "feature target"], Float[Array, " target"]]:
        """Return the coefficients and intercepts of all rows with these penalties."""
        x, y = self.rows.x, self.y
        xp = array_namespace(x)
        coef = xp.empty((x.shape[1], y.shape[1]), dtype=y.dtype, device=device(x))
        intercept = xp.empty((y.shape[1],), dtype=y.dtype, device=device(x))
        whole = self.route.decompose(None)

        def job(block: tuple[int, int]) -> None:
            targets, mean = self.rows.block(y, *block)
            weights = whole.weights(targets, alpha[slice(*block)])
            mean = mean + xp.sum(targets.sums, axis=0) / y.shape[0]
            mean = mean - double(weights) @ self.rows.mean
            coef[:, slice(*block)] = xp.astype(weights, y.dtype, copy=False).T
            intercept[slice(*block)] = xp.astype(mean, y.dtype, copy=False)

        self.crew.map(job, self.blocks)
        return coef, intercept


def prepare(
    x: Float[Array, "row feature"],
    order: np.ndarray | None,
    bounds: list[tuple[int, int]],
    smallest: float,
    memory: int,
    *,
    work: Any,
    narrow: Any,
) -> tuple[Rows, Route]:
    """Return the rows and the cheapest route with digits enough for the smallest penalty.

    `work` and `narrow` are the types to begin with, for the sums over rows and for the errors of
    held-out rows.
    """
    xp = array_namespace(x)
    rows = Rows(x, order, bounds, work)
    if smallest > 0:
        route: Primal | Kernel
        if x.shape[1] < x.shape[0]:
            route = Primal(rows.x, bounds, narrow, memory)
        else:
            route = Kernel(rows.x, bounds, narrow)
        # the norm bounds the largest eigenvalue from above, by at most sqrt(size)
        relative = smallest / max(float(xp.linalg.matrix_norm(route.total)), 1e-300)
        if work == xp.float32 and relative < SINGLE_LIMIT:
            return prepare(x, order, bounds, smallest, memory, work=xp.float64, narrow=narrow)
        if relative > GRAM_LIMIT:
            return rows, route
    if work == xp.float32:
        rows = Rows(x, order, bounds, xp.float64)
    return rows, Svd(rows.x, bounds)


def mend(
    loss: Float[Array, "alpha target"],
    alphas: Float[Array, " alpha"],
    x: Float[Array, "row feature"],
    order: np.ndarray | None,
    blocks: Blocks,
) -> None:
    """Compute again in float64, in place, the losses too small for float32."""
    xp = array_namespace(loss)
    (tiny,) = xp.nonzero(xp.min(loss, axis=0) < TINY_LOSS * blocks.variance)
    if tiny.shape[0] == 0:
        return
    smallest, wide = float(xp.min(alphas)), xp.float64
    rows, route = prepare(
        x,
        order,
        blocks.rows.bounds,
        smallest,
        blocks.memory,
        work=wide,
        narrow=wide,
    )
    y = xp.take(blocks.y, tiny, axis=1)
    loss[:, tiny] = Blocks(rows, y, route, blocks.memory, blocks.crew).losses(alphas)
