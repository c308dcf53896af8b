"""The weights of members with the highest mean correlation over a group of targets.

The objective does not change when all weights are multiplied by a positive number, so bounds count
by the directions they allow: ``(0, 1)`` are the non-negative ones, and any bounds with 0 inside
are all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import OptimizeResult, differential_evolution, minimize

from striate.errors import DataError
from striate.solvers._arrays import Workers, workers
from striate.solvers._budget import fitting
from striate.solvers.blends import nonnegative_from_grams
from striate.solvers.ensemble import (
    LOST,
    Grams,
    correlations,
    correlations_of,
    member_correlations,
)

BLOCK = 512  # targets at once: their part of the population's products stays in the cache


@dataclass(frozen=True)
class Found:
    """Weights of a group of targets: they sum to 1 (−1 where negative ones prevail).

    Their mix correlates with `value` in the mean.

    `beaten` says that the search ended below the mean of all members, or the best one, and that
    this is returned instead; `evaluations` counts objectives.
    """

    weights: Float[np.ndarray, " member"]
    value: float
    evaluations: int
    beaten: bool = False


def correlation_weights(
    grams: Grams,
    *,
    bounds: tuple[float | int, float | int] = (0.0, 1.0),
    method: Literal["gradient", "evolution"] = "gradient",
    starts: int = 8,
    seed: int = 0,
    tol: float = 0.01,
    maxiter: int = 1000,
    popsize: int = 15,
    polish: bool = True,
    threads: int | None = None,
) -> Found:
    """Return the weights whose ensemble has the highest mean correlation over the targets.

    ``gradient`` climbs from `starts` points by L-BFGS-B with the analytic gradient: the best of
    all members alike, each alone, the least squares of all targets, and random mixes by `seed`.
    ``evolution`` is SciPy's differential evolution (Storn & Price 1997,
    doi:10.1023/A:1008202821328) with its `tol`, `maxiter` and `popsize`, which takes the same way
    as on the correlations themselves; `polish` then climbs from its end. At the customary `tol` of
    0.01 it stops as soon as all candidates score alike, which may be far from the top.

    `bounds` hold in the search, so for directions only: its weights are then divided by their sum,
    or, where that is next to nothing, by the sum of their sizes, and may leave them.
    The result is never worse on these rows than all members alike or, where `bounds` allow, the
    best one alone.
    Targets and members without variance count as a correlation of 0. Raises `DataError` for
    bounds without a positive weight between them.

    >>> rng = np.random.default_rng(0)
    >>> p = rng.standard_normal((2, 50, 8))
    >>> from striate.solvers.ensemble import member_grams
    >>> correlation_weights(member_grams(p, 3 * p[0] + p[1])).weights.round(3).tolist()
    [0.75, 0.25]
    """
    low, high = _checked(bounds)
    members = len(grams.variances)
    if members == 1:
        return Found(np.ones(1), float(correlations(grams, np.ones(1)).mean()), 1)
    with _opened(grams, threads) as objective:
        plain = _plain_sets(members, low, high)
        if method == "evolution":
            ends = [_evolve(objective, low, high, seed, tol, maxiter, popsize).x]
            if polish:
                ends.append(objective.climb(ends[0], low, high))
        else:
            first = _first(objective, grams, plain, low, high, starts, seed)
            ends = [objective.climb(w, low, high) for w in first]
        found = np.stack([*ends, *plain])
        values = objective.values(found)
    # the search first: only what is truly better takes its place
    best_end, best_plain = values[: len(ends)].argmax(), len(ends) + values[len(ends) :].argmax()
    beaten = bool(values[best_plain] > values[best_end])
    chosen = best_plain if beaten else best_end
    weights = normalised(found[chosen])
    return Found(weights, float(values[chosen]), objective.evaluations, beaten)


def evolution(
    grams: Grams,
    *,
    bounds: tuple[float | int, float | int] = (0.0, 1.0),
    seed: int = 0,
    tol: float = 0.01,
    maxiter: int = 1000,
    popsize: int = 15,
    threads: int | None = None,
) -> OptimizeResult:
    """Return what SciPy's differential evolution of minus the mean correlation ends with.

    The weights ``x`` are as found: neither divided by their sum, nor compared with plain mixes.
    All candidates of a generation are evaluated together, in single precision where no weight may
    be negative. See `correlation_weights`.

    >>> p = np.random.default_rng(0).standard_normal((2, 50, 8))
    >>> from striate.solvers.ensemble import member_grams
    >>> bool(evolution(member_grams(p, 3 * p[0] + p[1]), maxiter=50).fun < -0.99)
    True
    """
    low, high = _checked(bounds)
    with _opened(grams, threads) as objective:
        return _evolve(objective, low, high, seed, tol, maxiter, popsize)


def target_weights(
    grams: Grams, *, bounds: tuple[float | int, float | int] = (0.0, 1.0)
) -> Float[np.ndarray, "member target"]:
    """Return the weights with the highest correlation for every target on its own.

    They need no search: among non-negative weights it is the direction of the non-negative least
    squares, among all weights that of the least squares. They sum to 1 for every target (see
    `correlation_weights`), and are never worse than all members alike, or the best one.

    >>> y = np.array([[0.0], [1.0], [2.0]])
    >>> from striate.solvers.ensemble import member_grams
    >>> target_weights(member_grams(np.stack([y, -y]), y)).tolist()
    [[1.0], [0.0]]
    """
    low, _ = _checked(bounds)
    if low > 0:
        raise DataError(
            f"bounds = {list(bounds)}: a target's own weights need a lower bound of 0 or less;"
            ' let a group share its weights (each = "group")'
        )
    edges = range(0, len(grams.squares), BLOCK)
    parts = [_own_weights(grams.at(slice(k, k + BLOCK)), low) for k in edges]
    return np.concatenate(parts, axis=1)


def normalised(weights: Float[np.ndarray, " member"]) -> Float[np.ndarray, " member"]:
    """Return weights over their sum; a negative sum keeps its sign, so that r does not turn.

    >>> normalised(np.array([3.0, -1.0])).tolist(), normalised(np.array([1.0, -1.0])).tolist()
    ([1.5, -0.5], [0.5, -0.5])
    """
    total, size = abs(weights.sum()), np.abs(weights).sum()
    return np.asarray(weights / (total if total > 1e-3 * size else size or 1.0))


def _checked(bounds: tuple[float | int, float | int]) -> tuple[float, float]:
    low, high = map(float, bounds)
    if not (np.isfinite([low, high]).all() and low < high and high > 0):
        raise DataError(
            f"bounds = {list(bounds)} of the weights: give a lower one and a higher, positive one,"
            " such as [0, 1]"
        )
    return low, high


def _own_weights(grams: Grams, low: float) -> Float[np.ndarray, "member target"]:
    useful = ~grams.idle.T
    size = np.sqrt(np.where(useful, grams.variances.T, 1.0))
    gram, product = grams.dense() / (size[:, :, None] * size[:, None, :]), grams.products.T / size
    if low < 0:
        diagonal = np.arange(len(grams.variances))
        # twin members share their weight, for all the digits that correlations have
        gram[:, diagonal, diagonal] += np.where(useful, 1e-10, 1.0)
        found = np.linalg.solve(gram, product[:, :, None])[:, :, 0] / size
    else:
        found = nonnegative_from_grams(gram, product, useful) / size
    own = member_correlations(grams)
    alone = np.eye(len(own))[own.argmax(axis=0)]
    alike = np.full(found.shape, 1 / found.shape[1])
    options = np.stack([found, alone, alike])
    scores = np.stack([correlations_of(grams, np.ascontiguousarray(w.T)) for w in options])
    scores[0][~found.any(axis=1)] = -np.inf  # nothing helps: then the best that there is
    chosen = options[scores.argmax(axis=0), np.arange(len(found))]
    return np.stack([normalised(w) for w in chosen], axis=1)


def _evolve(
    objective: _Objective,
    low: float,
    high: float,
    seed: int,
    tol: float,
    maxiter: int,
    popsize: int,
) -> OptimizeResult:
    members = len(objective.own)
    narrow = objective.narrow() if low >= 0 else objective
    before = narrow.evaluations
    found = differential_evolution(
        lambda w: -narrow.values(w.T),
        [(low, high)] * members,
        tol=tol,
        maxiter=maxiter,
        popsize=popsize,
        seed=np.random.default_rng(seed),
        polish=False,
        updating="deferred",
        vectorized=True,
    )
    found.nfev = narrow.evaluations - before  # of candidates, as without vectorizing
    if narrow is not objective:
        objective.evaluations += found.nfev
    return found


def _plain_sets(members: int, low: float, high: float) -> np.ndarray:
    """All members alike, then each alone where a weight may be 0."""
    alike = np.full((1, members), max(low, high / 2))
    return np.concatenate([alike, high * np.eye(members)]) if low <= 0 else alike


def _first(
    objective: _Objective,
    grams: Grams,
    plain: np.ndarray,
    low: float,
    high: float,
    starts: int,
    seed: int,
) -> np.ndarray:
    """Where to climb from: the best of plain mixes, least squares and chance; alike always."""
    members = plain.shape[1]
    draws = np.random.default_rng(seed).dirichlet(np.ones(members), starts)
    least = objective.least_squares()
    some = np.concatenate([plain[1:], least[None], draws])
    some = np.clip(high * some / np.abs(some).max(axis=1, keepdims=True), low, high)
    order = np.argsort(-objective.values(some), kind="stable")[: max(starts - 1, 0)]
    return np.concatenate([plain[:1], some[order]])


@contextmanager
def _opened(grams: Grams, threads: int | None) -> Iterator[_Objective]:
    with workers(fitting(threads, 720.0 * grams.covariances.size)) as crew:
        yield _Objective.of(grams, crew)


class _Objective:
    """The mean correlation of weights, and its gradient, a cacheful of targets at a time."""

    def __init__(
        self,
        own: Float[np.ndarray, "member target"],
        pairs: Float[np.ndarray, "pair target"],
        products: Float[np.ndarray, "member target"],
        targets: int,
        crew: Workers,
    ) -> None:
        self.own, self.pairs, self.products = own, pairs, products
        self.targets, self.crew = targets, crew
        self.above = np.triu_indices(len(own), 1)
        self.blocks = [slice(k, k + BLOCK) for k in range(0, own.shape[1], BLOCK)]
        # what a sum may lose of its terms before the rest is rounding
        self.tiny = LOST if own.dtype == np.float64 else 1e-4
        self.evaluations = 0

    @classmethod
    def of(cls, grams: Grams, crew: Workers) -> _Objective:
        """Of the targets that vary, scaled so that members have a variance of about 1."""
        kept = ~grams.flat & ~grams.idle.all(axis=0)
        some = grams if kept.all() else grams.at(kept)
        size = some.variances.mean(axis=0)
        return cls(
            some.variances / size,
            some.covariances / size,
            some.products / np.sqrt(size * some.squares),
            len(kept),
            crew,
        )

    def narrow(self) -> _Objective:
        """The same in single precision, which no sum of non-negative parts will notice."""
        own, pairs, products = (a.astype(np.float32) for a in (self.own, self.pairs, self.products))
        return _Objective(own, pairs, products, self.targets, self.crew)

    def values(self, weights: Float[np.ndarray, "sets member"]) -> Float[np.ndarray, " sets"]:
        """The objective of many sets of weights, as products of matrices."""
        self.evaluations += len(weights)
        i, j = self.above
        w = np.ascontiguousarray(weights, dtype=self.own.dtype)
        squared, crossed = w**2, 2 * w[:, i] * w[:, j]

        def job(block: slice) -> np.ndarray:
            own, power = squared @ self.own[:, block], crossed @ self.pairs[:, block]
            power += own
            own *= self.tiny
            lost = power <= own
            if lost.any():
                power[lost] = np.inf
            np.sqrt(power, out=power)
            found = w @ self.products[:, block]
            found /= power
            return np.asarray(found.sum(axis=1, dtype=np.float64))

        total = np.zeros(len(w))
        for part in self.crew.map(job, self.blocks):
            total += part
        return total / self.targets

    def gradient(self, w: Float[np.ndarray, " member"]) -> tuple[float, np.ndarray]:
        """The objective and its slope: mean of c / sqrt(q) - (w'c) Gw / q^1.5, with q = w'Gw."""
        self.evaluations += 1
        i, j = self.above
        squared, crossed = w**2, 2 * w[i] * w[j]

        def job(block: slice) -> tuple[Any, ...]:
            own_block, pairs, products = (
                a[:, block] for a in (self.own, self.pairs, self.products)
            )
            own = squared @ own_block
            power = own + crossed @ pairs
            power[power <= self.tiny * own] = np.inf
            up = 1 / np.sqrt(power)
            r = (w @ products) * up
            down = r * up * up  # an ensemble without variance pulls nowhere
            return r.sum(), products @ up, own_block @ down, pairs @ down

        value, up, own, pairs = 0.0, np.zeros(len(w)), np.zeros(len(w)), np.zeros(len(i))
        for part in self.crew.map(job, self.blocks):
            value += part[0]
            up += part[1]
            own += part[2]
            pairs += part[3]
        gram = np.diag(own)
        gram[i, j] = gram[j, i] = pairs
        return value / self.targets, (up - gram @ w) / self.targets

    def climb(self, w: Float[np.ndarray, " member"], low: float, high: float) -> np.ndarray:
        """The top that L-BFGS-B reaches from `w`."""

        def slope(x: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.gradient(x)
            return -value, -gradient

        options = {"ftol": 1e-12, "gtol": 1e-8, "maxiter": 500}
        found = minimize(
            slope, w, jac=True, method="L-BFGS-B", bounds=[(low, high)] * len(w), options=options
        )
        return np.asarray(found.x)

    def least_squares(self) -> np.ndarray:
        """Non-negative weights of the least squared error over all targets, each of size 1."""
        members = len(self.own)
        i, j = self.above
        # every target's members at the size of their mean, so that no target drowns the others
        gram = np.diag(self.own.sum(axis=1))
        gram[i, j] = gram[j, i] = self.pairs.sum(axis=1)
        useful = np.diag(gram) > 0
        found = nonnegative_from_grams(gram[None], self.products.sum(axis=1)[None], useful[None])[0]
        return found if found.any() else np.ones(members)
