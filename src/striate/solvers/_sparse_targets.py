"""A block of targets through its penalties: the grid, held-out errors, the choice, the refit."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import Array, Workers
from striate.solvers._coordinate_batched import descend_all
from striate.solvers._sparse_grams import Grams, Products

NONE = float(np.finfo(np.float64).resolution)
"""The largest penalty of a target that no feature has to do with, as in scikit-learn.

Features or targets far below one have smaller ones.
"""

AT_ONCE = 1 << 17
"""Numbers that the coefficients of some targets at all penalties may take, to stay in the cache."""
STRIDE = 4
"""Penalties of the grid that the last fit passes at once, on its way to the chosen one."""


def padded(features: int) -> int:
    """Return the length of rows of as many features, which end with zeros."""
    return -(-features // 16) * 16


def at_once(features: int, n_alphas: int) -> int:
    """Return how many targets are worked on at once."""
    return max(1, AT_ONCE // max(features * n_alphas, 1))


@dataclass(frozen=True)
class Asked:
    """Shares of l1 to try, and penalties: given, or `n_alphas` down to `eps` times the largest."""

    ratios: Float[np.ndarray, " ratio"]
    alphas: Float[np.ndarray, " alpha"] | None
    n_alphas: int
    eps: float

    @property
    def count(self) -> int:
        """Return the number of penalties of a target."""
        return self.n_alphas if self.alphas is None else self.alphas.size

    def grid(
        self, largest: Float[Array, " each"], ratio: float, size: Float[Array, " each"]
    ) -> Float[Array, "each alpha"]:
        """Return the penalties, from large to small, where `largest` is the greatest |X'y| / n.

        `size` is what it is where a feature explains all of y, up to a small factor.
        """
        xp = array_namespace(largest)
        if self.alphas is None:
            top = np.asarray(largest.tolist()) / ratio
            alive = top > NONE * np.minimum(np.asarray(size.tolist()), 1.0)
            top, low = np.where(alive, top, NONE), np.where(alive, top * self.eps, NONE)
            grid = np.geomspace(top, low, self.n_alphas, axis=1)
        else:
            grid = np.repeat(self.alphas[None], largest.shape[0], axis=0)
        return xp.asarray(np.ascontiguousarray(grid), device=device(largest))


@dataclass(frozen=True)
class Found:
    """The fit of a block of targets; predictions are about the means of all rows."""

    coef: Float[Array, "feature target"]
    mean: Float[Array, " target"]
    alpha: Float[Array, " target"]
    l1_ratio: Float[Array, " target"]
    alphas: Float[Array, "alpha target"]
    loss: Float[Array, "alpha target"]
    fallbacks: int
    loose: int


def each_alone(
    grams: Grams, products: Products, asked: Asked, crew: Workers, compiled: bool
) -> Found:
    """Every target with its own penalty and its own features."""
    xp, c = array_namespace(products.c), products.c
    last = c.shape[0] - 1
    largest = xp.max(xp.abs(c[last, ...]), axis=1)
    size = _spread(grams) * xp.sqrt(xp.max(products.held_y, axis=0))
    solve = _compiled if compiled else _batched
    held = (grams.held, products.held_c, products.held_y)
    status = np.zeros(c.shape[1], dtype=np.int64)
    best: Any = None
    for ratio in asked.ratios.tolist():
        grid = asked.grid(largest, ratio, size)
        ratios = xp.full_like(largest, ratio)
        counts = np.full(c.shape[1], asked.count)
        train, parts = grams.train[:last, ...], c[:last, ...]
        loss, _ = solve(train, parts, grid, ratios, counts, held, status, crew)
        loss = loss / last
        least = xp.min(loss, axis=1)
        if best is None:
            best = least, loss, grid, ratios
        else:
            better = least < best[0]
            new = (least, loss, grid, ratios)
            best = tuple(
                xp.where(better if a.ndim == 1 else better[:, None], a, b)
                for a, b in zip(new, best, strict=True)
            )
    _, loss, grid, ratios = best
    chosen = xp.argmin(loss, axis=1)
    alpha = xp.take_along_axis(grid, chosen[:, None], axis=1)[:, 0]
    # no errors are asked for on the way to the chosen penalty: a few steps lead there, too
    steps = xp.arange(asked.count // STRIDE + 1, device=device(c))[None, :] * STRIDE
    places = xp.clip(steps + chosen[:, None] % STRIDE, max=asked.count - 1)
    way = xp.take_along_axis(grid, places, axis=1)
    counts = np.asarray((chosen // STRIDE).tolist()) + 1
    train, whole = grams.train[last:, ...], c[last:, ...]
    _, coef = solve(train, whole, way, ratios, counts, None, status, crew)
    loose = int((status == 2).sum())
    fallbacks = int((status > 0).sum())
    return Found(coef.T, products.mean, alpha, ratios, grid.T, loss.T, fallbacks, loose)


def _spread(grams: Grams) -> Float[Array, ""]:
    """Return the largest standard deviation of a feature."""
    xp = array_namespace(grams.train)
    return xp.sqrt(xp.max(xp.linalg.diagonal(grams.train[-1, ...])))


def _compiled(
    train: Float[np.ndarray, "training feature feature"],
    c: Float[np.ndarray, "training target feature"],
    grid: Float[np.ndarray, "target alpha"],
    ratios: Float[np.ndarray, " target"],
    counts: np.ndarray,
    held: tuple[Any, Any, Any] | None,
    status: np.ndarray,
    crew: Workers,
) -> tuple[Float[np.ndarray, "target alpha"], Float[np.ndarray, "target feature"]]:
    """Return summed held-out errors and coefficients, by exact active sets."""
    from striate.solvers._lasso_paths import walk_all

    (sets, targets, p), steps = c.shape, grid.shape[1]
    loss, coef = np.zeros(grid.shape), np.zeros((targets, p))
    wide = np.zeros((sets, p, padded(p)))
    wide[..., :p] = train
    turns = max(-(-targets // at_once(p, steps)), min(targets, crew.threads))
    edges = np.linspace(0, targets, turns + 1).astype(int).tolist()

    def job(bounds: tuple[int, int]) -> None:
        some = slice(*bounds)
        paths = np.empty((bounds[1] - bounds[0], steps, p))
        for k in range(sets):
            asked = grid[some], ratios[some], counts[some]
            walk_all(wide[k], c[k, some], *asked, paths, status[some])
            if held is not None:
                loss[some] += errors(paths, held[0][k], held[1][k, some], held[2][k, some])
        if held is None:
            coef[some] = np.take_along_axis(paths, counts[some, None, None] - 1, axis=1)[:, 0]

    crew.map(job, pairwise(edges))
    return loss, coef


def errors(
    paths: Float[np.ndarray, "target alpha feature"],
    gram: Float[np.ndarray, "feature feature"],
    c: Float[np.ndarray, "target feature"],
    y: Float[np.ndarray, " target"],
) -> Float[np.ndarray, "target alpha"]:
    """Return `y - 2 c'w + w'Gw`, the mean squared errors on rows held out."""
    used = paths.any(axis=(0, 1))
    if 2 * np.count_nonzero(used) < used.size:
        paths, gram, c = paths[..., used], gram[np.ix_(used, used)], c[:, used]
    products = paths @ gram - 2.0 * c[:, None, :]
    return np.maximum(y[:, None] + np.einsum("tap,tap->ta", products, paths), 0.0)


def _batched(
    train: Array,
    c: Array,
    grid: Array,
    ratios: Array,
    counts: np.ndarray,
    held: tuple[Array, Array, Array] | None,
    status: np.ndarray,
    crew: Workers,
) -> tuple[Float[Array, "target alpha"], Float[Array, "target feature"]]:
    """Return the same by coordinate descent on all targets at once."""
    loss, coef, calm = descend_all(train, c, grid, ratios, counts, held)
    np.maximum(status, np.where(calm, 1, 2), out=status)
    return array_namespace(c).sum(loss, axis=0), coef[0, ...]


def together(
    grams: Grams, products: Products, asked: Asked, crew: Workers, compiled: bool
) -> Found:
    """All targets with one penalty and the same features."""
    xp, c = array_namespace(products.c), products.c
    last, targets, p = c.shape[0] - 1, c.shape[1], c.shape[2]
    largest = xp.sqrt(xp.max(xp.sum(c[last, ...] ** 2, axis=0)))[None]
    size = _spread(grams) * xp.sqrt(xp.max(xp.sum(products.held_y, axis=1)))[None]
    rotation = None
    held_c, held_y = products.held_c, xp.sum(products.held_y, axis=1)
    if targets > p:  # c' = Q R: as many targets as features, whose rows have the same lengths
        rotation, c = xp.linalg.qr(c)
        held_c = xp.matrix_transpose(rotation[:last, ...]) @ held_c
    solve = _jointly_compiled if compiled else _jointly_batched
    best: Any = None
    loose = 0
    for ratio in asked.ratios.tolist():
        grid = asked.grid(largest, ratio, size)[0, :]
        held = (grams.held, held_c, held_y)
        loss, _, calm = solve(
            grams.train[:last, ...], c[:last, ...], grid, ratio, asked.count, held, crew
        )
        loose += not calm
        loss = xp.mean(loss, axis=0) / targets
        if best is None or float(xp.min(loss)) < float(xp.min(best[0])):
            best = loss, grid, ratio
    loss, grid, ratio = best
    count = int(xp.argmin(loss)) + 1
    _, coef, calm = solve(grams.train[last:, ...], c[last:, ...], grid, ratio, count, None, crew)
    loose += not calm
    coef = coef[0, ...]
    if rotation is not None:
        coef = rotation[last, ...] @ coef
    ones = xp.ones_like(products.mean)
    loose = targets if loose else 0
    return Found(
        coef.T,
        products.mean,
        ones * grid[count - 1],
        ones * ratio,
        grid[:, None] * ones,
        loss[:, None] * ones,
        loose,
        loose,
    )


def _jointly_compiled(
    train: Float[np.ndarray, "training feature feature"],
    c: Float[np.ndarray, "training target feature"],
    grid: Float[np.ndarray, " alpha"],
    ratio: float,
    count: int,
    held: tuple[Any, Any, Any] | None,
    crew: Workers,
) -> tuple[Any, Any, bool]:
    """Return held-out errors (fold, alpha), coefficients of each training set, and if at rest."""
    from striate.solvers._lasso_joint import walk_jointly

    sets, targets, p = c.shape
    loss, coef = np.zeros((sets, grid.size)), np.zeros((sets, p, targets))

    def job(k: int) -> int:
        by_feature = np.ascontiguousarray(c[k].T)
        gram, held_c, held_y = train[k, :0], by_feature[:0], 0.0
        if held is not None:
            gram, held_c = held[0][k], np.ascontiguousarray(held[1][k].T)
            held_y = float(held[2][k])
        told = (gram, held_c, held_y, loss[k], coef[k])
        status: int = walk_jointly(train[k], by_feature, grid, ratio, count, *told)
        return status

    status = crew.map(job, range(sets))
    return loss, coef.transpose(0, 2, 1), max(status) == 0


def _jointly_batched(
    train: Array,
    c: Array,
    grid: Array,
    ratio: float,
    count: int,
    held: tuple[Array, Array, Array] | None,
    crew: Workers,
) -> tuple[Any, Any, bool]:
    """Return the same by coordinate descent on all training sets at once."""
    xp = array_namespace(c)
    if held is not None:  # the squares of all targets, counted with the first
        first = xp.zeros((c.shape[0], c.shape[1]), dtype=c.dtype, device=device(c))
        first[:, 0] = held[2]
        held = held[0], held[1], first
    ratios = xp.full((1,), ratio, dtype=xp.float64, device=device(c))
    counts = np.array([count])
    loss, coef, calm = descend_all(train, c, grid[None, :], ratios, counts, held, joint=True)
    return loss[:, 0, :], coef, bool(calm.all())
