"""Weights of bands and penalties are judged by held-out errors, of many targets at once.

A draw is a weight for every band. Its held-out errors come from one product of each fold with the
other rows of the targets, for every penalty that is computed; see `_banded_kernel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import Array, Workers, double
from striate.solvers._banded_kernel import Kernels
from striate.solvers._penalty_grid import skeleton

BLOCK = 512
"""Targets whose predictions are made at once, so that they stay in the processor's cache."""
MISSED = 1e-5
"""What mixed predictions in float32 may miss, in units of the spread of a target."""
Group = tuple[list[int], list[int], Any]
"""Penalties that are computed, those that are mixed from them, and how."""


@dataclass(frozen=True)
class Found:
    """What a search found: candidates (weights of bands), and their held-out errors.

    `loss` is summed over rows and folds, and infinite where a target did not try a candidate;
    `alpha` is the penalty that has this loss.
    """

    gamma: Float[np.ndarray, "draw band"]
    loss: Float[Array, "draw target"]
    alpha: Float[Array, "draw target"]


class Turned:
    """Targets, centred, each with its rows twice: what is behind a fold and before it lies in line.

    `twice` is target by row, `means` are those of the training rows of every fold.
    """

    def __init__(self, twice: Array, means: Array, bounds: list[tuple[int, int]]) -> None:
        self.twice, self.means, self.bounds = twice, means, bounds
        self.rows = twice.shape[1] // 2

    @classmethod
    def of(cls, y: Float[Array, "row target"], bounds: list[tuple[int, int]]) -> Turned:
        """Return the targets in the columns of `y`, whose folds lie in the ranges `bounds`."""
        xp, n = array_namespace(y), y.shape[0]
        twice = xp.empty((y.shape[1], 2 * n), dtype=y.dtype, device=device(y))
        twice[:, :n] = y.T
        twice[:, n:] = y.T
        means = [xp.mean(twice[:, b : n + a], axis=1, dtype=xp.float64) for a, b in bounds]
        return cls(twice, xp.astype(xp.stack(means), y.dtype, copy=False), bounds)

    def only(self, members: Array) -> Turned:
        """Return some of the targets."""
        xp = array_namespace(self.twice)
        taken = xp.take(self.twice, members, axis=0), xp.take(self.means, members, axis=1)
        return Turned(*taken, self.bounds)

    def __len__(self) -> int:
        return int(self.twice.shape[0])

    def fold(self, fold: int, part: slice) -> tuple[Array, Array]:
        """Return training rows, and held-out rows about the mean of these; target by row."""
        low, high = self.bounds[fold]
        truth = self.twice[part, low:high] - self.means[fold, part][:, None]
        return self.twice[part, high : self.rows + low], truth


def ranges(count: int, most: int) -> list[slice]:
    """Return `count` things in as few slices of at most `most` as possible."""
    edges = np.linspace(0, count, max(1, -(-count // most)) + 1).astype(int).tolist()
    return [slice(a, b) for a, b in pairwise(edges) if a < b]


def grouped(
    alphas: Float[np.ndarray, " alpha"], top: float, tolerance: float, *, together: bool
) -> list[Group]:
    """Return penalties in groups: all in one, or each alone where memory is short."""
    if not together:
        return [([a], [], np.zeros((0, 1))) for a in range(alphas.size)]
    kept, mix = skeleton(alphas, top, tolerance)
    return [(kept, [a for a in range(alphas.size) if a not in kept], mix)]


def fold_losses(
    predictors: Sequence[Array], group: Group, targets: Turned, fold: int
) -> Float[Array, "alpha target"]:
    """Return the squared error of a fold under the penalties of a group: computed ones, then mixed.

    `predictors` are those of this fold, one for each computed penalty.
    """
    y, (kept, rest, mix) = targets.twice, group
    xp = array_namespace(y)
    mix = xp.asarray(mix, dtype=y.dtype, device=device(y))
    loss = xp.empty((len(kept) + len(rest), len(targets)), dtype=xp.float64, device=device(y))
    for part in ranges(len(targets), BLOCK):
        train, truth = targets.fold(fold, part)
        made = xp.empty((len(kept), *truth.shape), dtype=y.dtype, device=device(y))
        for k, w in enumerate(predictors):
            made[k, ...] = train @ w
        if rest:
            mixes = xp.reshape(mix @ xp.reshape(made, (len(kept), -1)), (-1, *truth.shape))
            made = xp.concat([made, mixes])
        for k in range(made.shape[0]):
            error = truth - made[k, ...]
            loss[k, part] = double(xp.vecdot(error, error))
    return loss


def draw_losses(
    kernels: Kernels,
    targets: Turned,
    gamma: Float[np.ndarray, " band"],
    alphas: Float[np.ndarray, " alpha"],
    *,
    together: bool = True,
) -> Float[Array, "fold alpha target"]:
    """Return the squared error of every fold under every penalty."""
    y, folds = targets.twice, len(targets.bounds)
    xp = array_namespace(y)
    shape = (folds, alphas.size, len(targets))
    total = xp.zeros(shape, dtype=xp.float64, device=device(y))
    mixed = kernels.mix(gamma)
    tolerance = MISSED if y.dtype == xp.float32 else 0.0
    for group in grouped(alphas, mixed.top, tolerance, together=together):
        each = [kernels.predictors(mixed, float(alphas[a]), y.dtype) for a in group[0]]
        for fold in range(folds):
            total[fold, [*group[0], *group[1]], :] = fold_losses(
                [w[fold] for w in each], group, targets, fold
            )
    return total


def exhaustive(
    kernels: Kernels,
    targets: Turned,
    draws: Float[np.ndarray, "draw band"],
    alphas: Float[np.ndarray, " alpha"],
    crew: Workers,
    *,
    local: bool,
    together: bool,
) -> Found:
    """Try every penalty with every draw on every target."""
    xp = array_namespace(targets.twice)
    tried = xp.asarray(alphas, device=device(targets.twice))

    def job(gamma: np.ndarray) -> tuple[Any, Any]:
        loss = draw_losses(kernels, targets, gamma, alphas, together=together)
        return chosen(xp.sum(loss, axis=0), tried, local=local)

    done = crew.map(job, list(draws))
    return Found(draws, xp.stack([d[0] for d in done]), xp.stack([d[1] for d in done]))


def chosen(
    loss: Float[Array, "alpha target"], alphas: Float[Array, " alpha"], *, local: bool
) -> tuple[Any, Any]:
    """Return the least loss of every target, and the first penalty that has it."""
    xp = array_namespace(loss)
    if not local:
        best = int(xp.argmin(xp.sum(loss, axis=1)))
        return loss[best, :], xp.broadcast_to(alphas[best], (loss.shape[1],))
    return xp.min(loss, axis=0), xp.take(alphas, xp.argmin(loss, axis=0))
