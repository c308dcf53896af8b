"""Every block of targets through every training set, as much at once as memory and cores allow."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.solvers._arrays import Array, Workers, double
from striate.solvers._budget import Need
from striate.solvers._ridge_inverse import Inverses, without_training_sets
from striate.solvers._ridge_primal import Primal, PrimalDecomposition
from striate.solvers._ridge_rows import Block, Kernel, Precomputed, Route, Svd

# Penalties relative to the size of X'X below which float32 products with the targets, and below
# which float64 Gram matrices, run out of digits.
SINGLE_LIMIT = 1e-8
GRAM_LIMIT = 1e-11
# The former where a training set has hardly more rows than there are features: held-out rows then
# vary where it does not, and there the penalty alone keeps what rounding left small.
SHORT, SHORT_LIMIT = 1.2, 1e-4
# A float32 quadratic form loses a loss that is this small a part of the target's own variance.
TINY_LOSS = 1e-4
# Targets per block: the block's arrays then stay in the processor's cache.
BLOCK = 512


def need_of(
    route: type[Route],
    rows: int,
    features: int,
    folds: int,
    *,
    closed: bool = False,
) -> Need:
    """Return what a ridge takes by a route, beyond `x`, `y` and the result.

    One decomposition at a time; `closed` says that rows are left out in closed form.
    """
    # x centred, in both types where losses are tiny; the kernel keeps U'X as well
    copies = (16 if route in (Kernel, Inverses) else 12) * rows * features
    shorter = min(rows, features)
    each = 8 * (3 * rows + (folds + 6) * shorter + features)
    fixed = copies + route.base_bytes(rows, features) + route.fold_bytes(rows, features)
    if closed:
        fixed, each = fixed + 24 * rows * shorter, each + 24 * rows
    what = f"ridge of {features:,} features on {rows:,} rows"
    if route is Precomputed:
        what, fixed = f"kernel ridge on {rows:,} rows", fixed - copies + 24 * rows**2
    return Need(what, fixed, each)


class Rows:
    """The rows of x, centred, those of a fold side by side; and how to bring y in that order.

    `order` is None where folds are side by side already. `dtype` is what to compute in.
    """

    def __init__(
        self,
        x: Float[Array, "row feature"],
        order: np.ndarray | None,
        bounds: list[tuple[int, int]],
        dtype: Any = None,
    ) -> None:
        xp = array_namespace(x)
        self.bounds, self.dtype = bounds, dtype or xp.float64
        self.order = None if order is None else xp.asarray(order, device=device(x))
        self.x, self.mean = self._prepared(x)

    def _prepared(self, x: Array) -> tuple[Array, Array]:
        xp = array_namespace(x)
        x, mean = self._centred(x)
        # what rounding left of the mean: exact intercepts want it back
        return x, mean + xp.mean(x, axis=0, dtype=xp.float64)

    def _centred(self, a: Array) -> tuple[Array, Array]:
        xp = array_namespace(a)
        mean = xp.astype(xp.mean(a, axis=0, dtype=xp.float64), self.dtype)
        if self.order is None:
            return xp.astype(a, self.dtype, copy=False) - mean, double(mean)
        a = xp.astype(xp.take(a, self.order, axis=0), self.dtype, copy=False)
        a -= mean
        return a, double(mean)

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
        folds = len(rows.bounds)
        need = need_of(type(route), n, p, folds)
        need.check(memory, crew.threads)
        # half of what is left is for more training sets at once, the last one being all rows
        spare = (memory - need.fixed - crew.threads * need.each - route.kept_bytes()) // 2
        self.wave = 1 + max(0, min(folds, spare // route.fold_bytes(n, p)))
        fixed = need.fixed + route.kept_bytes() + (self.wave - 1) * route.fold_bytes(n, p)
        self.blocks = Need(need.what, fixed, need.each).batches(
            y.shape[1], memory, largest=BLOCK if is_numpy_array(y) else 0, shares=crew.threads
        )
        xp = array_namespace(rows.x)
        kind = rows.x.dtype if isinstance(route, Precomputed) else y.dtype
        # target by feature in memory, as blocks of targets are solved
        self.coef = xp.empty((y.shape[1], p), dtype=kind, device=device(rows.x)).T
        self.whole: Any = None
        # of every target X'y of all rows, in the place of the coefficients to come: for the refit
        self.resumes = isinstance(route, Primal) and rows.x.dtype == y.dtype and folds > 1
        self.sums = xp.empty((y.shape[1],), dtype=xp.float64, device=device(rows.x))
        self.level = xp.empty_like(self.sums)

    def losses(self, alphas: Float[Array, " alpha"]) -> Float[Array, "alpha target"]:
        """Return the squared error of the held-out rows, summed over rows and folds."""
        xp, folds = array_namespace(alphas), [*range(len(self.rows.bounds)), None]
        shape = (alphas.shape[0], self.y.shape[1])
        total = xp.zeros(shape, dtype=xp.float64, device=device(alphas))
        self.variance = xp.zeros(shape[1:], dtype=xp.float64, device=device(alphas))
        for start in range(0, len(folds) - 1, self.wave):  # as many as memory holds at once
            wave = self.crew.map(self.route.decompose, folds[start : start + self.wave])
            if start + self.wave >= len(folds):
                self.whole = wave.pop()
            for fold in wave:
                if isinstance(fold, PrimalDecomposition):
                    fold.check(float(xp.min(alphas)))
            job = partial(self._through, wave, alphas, total, first=start == 0)
            self.crew.map(job, self.blocks)
        return total

    def _through(
        self,
        wave: list[Any],
        alphas: Float[Array, " alpha"],
        total: Float[Array, "alpha target"],
        block: tuple[int, int],
        *,
        first: bool,
    ) -> None:
        """Add the losses of one block of targets in the folds of a wave to `total`."""
        xp, here = array_namespace(total), slice(*block)
        targets, mean = self.rows.block(self.y, *block)
        products = self.route.products(targets)
        if first:
            self.variance[here] = xp.sum(targets.squares, axis=0)
        if first and self.resumes:
            self.coef[:, here] = products[-1, ...].T
            self.sums[here] = xp.sum(targets.sums, axis=0)
            self.level[here] = mean + self.sums[here] / self.y.shape[0]
        for fold in wave:
            total[:, here] += fold.losses(targets, products, alphas)

    def solve(
        self, alpha: Float[Array, " target"], *, resume: bool = False
    ) -> tuple[Float[Array, "feature target"], Float[Array, " target"]]:
        """Return the coefficients of all rows with these penalties, and the targets' means.

        `resume` goes on where `losses` stopped, so that X'y need not be computed again.
        """
        y, xp = self.y, array_namespace(self.y)
        whole: Any = self.whole or self.route.decompose(None)
        self.whole = None
        resume = resume and self.resumes

        def job(block: tuple[int, int]) -> None:
            here = slice(*block)
            if resume:
                weights = whole.weights_of(self.coef[:, here].T, self.sums[here], alpha[here])
            else:
                targets, mean = self.rows.block(y, *block)
                weights = whole.weights(targets, alpha[here])
                self.level[here] = mean + xp.sum(targets.sums, axis=0) / y.shape[0]
            self.coef[:, here] = xp.astype(weights, self.coef.dtype, copy=False).T

        self.crew.map(job, self.blocks)
        return self.coef, self.level


def prepare(
    x: Float[Array, "row feature"],
    order: np.ndarray | None,
    bounds: list[tuple[int, int]],
    smallest: float,
    memory: int,
    crew: Workers,
    *,
    work: Any,
    narrow: Any,
    alphas: Float[np.ndarray, " alpha"] | None = None,
) -> tuple[Rows, Route]:
    """Return the rows and the cheapest route with digits enough for the smallest penalty.

    `work` and `narrow` are the types to begin with, for the sums over rows and for the errors of
    held-out rows. `alphas` are the penalties to try on held-out rows, if there are several.
    """
    xp, (n, p) = array_namespace(x), x.shape
    kind: type[Primal] | type[Kernel] = Primal if p < n else Kernel
    need = need_of(kind, n, p, len(bounds))
    need.check(memory, crew.threads)
    shortest = n - max(b - a for a, b in bounds) if len(bounds) > 1 else n
    short = kind is Primal and shortest < SHORT * p
    single = SHORT_LIMIT if short else SINGLE_LIMIT
    for dtype in (work, xp.float64) if work == xp.float32 else (work,):
        if smallest <= 0:
            break
        rows = Rows(x, order, bounds, dtype)
        route = kind(rows.x, bounds, narrow, memory - need.fixed, crew)
        # the norm bounds the largest eigenvalue from above, by at most sqrt(size)
        relative = smallest / max(float(xp.linalg.matrix_norm(route.total)), 1e-300)
        if relative > (single if dtype == xp.float32 else GRAM_LIMIT):
            if alphas is not None and isinstance(route, Kernel) and narrow == xp.float32 == dtype:
                spare = memory - need.fixed
                return rows, without_training_sets(route, alphas, spare, crew)
            return rows, route
        del rows, route
    need_of(Svd, n, p, len(bounds)).check(memory, crew.threads)
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
        blocks.crew,
        work=wide,
        narrow=wide,
    )
    y = xp.take(blocks.y, tiny, axis=1)
    loss[:, tiny] = Blocks(rows, y, route, blocks.memory, blocks.crew).losses(alphas)
