"""The dual without training sets: inverses of one kernel predict the held-out rows of every fold.

With `A = (K + alpha)^-1` of all rows, the rows of a fold v are predicted from the other rows t as
`-A_vv^-1 A_vt y_t` (the inverse of a block matrix), so that no training set is decomposed. A row
and a column of ones beside K would hold the intercept; as K is centred, they take one number off A.
Close penalties share their predictions; see `_penalty_grid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import Array, Workers, double
from striate.solvers._inverses import SINGLE, IndefiniteError, inverse, largest, mirrored, raised
from striate.solvers._inverses import times as lower_times
from striate.solvers._penalty_grid import skeleton
from striate.solvers._ridge_rows import Block, ByRows, HeldOut, Kernel, Solved, others

MISSED = 1e-6
"""What mixed predictions may miss, of the spread of a target."""


@dataclass(frozen=True)
class FoldInverse:
    """What predicts the rows [low, high) of one fold, for every penalty that is computed."""

    route: Inverses
    low: int
    high: int
    predictors: list[Float[Array, "rest held_out"]]

    def losses(
        self, block: Block, products: None, alphas: Float[Array, " alpha"]
    ) -> Float[Array, "alpha target"]:
        """Return the summed squared error of the held-out rows."""
        y, route = block.y, self.route
        xp = array_namespace(y)
        train = others(y, self.low, self.high)
        mean = xp.astype(xp.mean(train, axis=1, dtype=xp.float64), y.dtype)[:, None]
        truth = y[:, self.low : self.high] - mean
        made = xp.empty((len(route.kept), *truth.shape), dtype=y.dtype, device=device(y))
        for k, predictor in enumerate(self.predictors):
            made[k, ...] = train @ predictor
        loss = xp.empty((alphas.shape[0], y.shape[0]), dtype=xp.float64, device=device(y))
        mix = xp.asarray(route.mix, dtype=y.dtype, device=device(y))
        mixed = xp.reshape(mix @ xp.reshape(made, (len(route.kept), -1)), (-1, *truth.shape))
        for which, predicted in ((route.kept, made), (route.rest, mixed)):
            for k, a in enumerate(which):
                error = predicted[k, ...]
                error -= truth
                loss[a, :] = double(xp.vecdot(error, error))
        return loss


@dataclass(frozen=True)
class WholeInverse:
    """The solutions of all rows."""

    route: Inverses

    def weights(
        self, block: Block, alpha: Float[Array, " target"]
    ) -> Float[Array, "target feature"]:
        """Return the solution with one penalty per target."""
        xp = array_namespace(block.y)
        dual = xp.empty_like(block.y)
        for one in xp.unique_values(alpha):
            (here,) = xp.nonzero(alpha == one)
            dual[here, :] = lower_times(self.route.inverse_of(float(one)), block.y[here, :])
        # what rounding left of the constant direction
        dual -= xp.mean(dual, axis=1)[:, None]
        return dual @ self.route.x


class Inverses(ByRows):
    """A kernel whose training sets are not decomposed; float32 throughout where digits allow."""

    def __init__(self, kernel: Kernel, alphas: Float[np.ndarray, " alpha"], crew: Workers) -> None:
        super().__init__(kernel.x, kernel.bounds)
        self.kernel, total, self.alphas = kernel, kernel.total, alphas
        xp, n = array_namespace(total), total.shape[0]
        mean = xp.mean(total, axis=0)
        total -= mean[:, None]
        total -= mean - xp.mean(mean)
        # ones are an eigenvector without length; with the mean length they cost no digits
        self.total, self.level = total, float(xp.linalg.trace(total)) / n or 1.0
        self.top = max(largest(total), self.level)
        self._kept: dict[float, Any] = {}
        self._lock = Lock()
        least = self._least(float(alphas.min()))
        self.single = least + float(alphas.min()) >= SINGLE * self.top
        least = least / 2 if self.single else 0.0
        self.kept, self.mix = skeleton(alphas, self.top, MISSED, least)
        self.rest = [a for a in range(alphas.size) if a not in self.kept]
        made = crew.map(self._predictors, [float(alphas[a]) for a in self.kept])
        self._folds = [list(each) for each in zip(*made, strict=True)]

    @staticmethod
    def fits(rows: int, alphas: int, spare: int, threads: int) -> bool:
        """Return whether what this keeps fits into `spare` bytes beside a `Kernel`."""
        return rows**2 * (8 * alphas + 24 * threads) <= spare // 2

    @staticmethod
    def base_bytes(rows: int, features: int) -> int:
        """Return the bytes of the kernel, and of computing it."""
        return Kernel.base_bytes(rows, features)

    @staticmethod
    def fold_bytes(rows: int, features: int) -> int:
        """Return the bytes of decomposing all rows, where that is needed."""
        return Kernel.fold_bytes(rows, features)

    def kept_bytes(self) -> int:
        """Return the bytes of inverses and predictors."""
        return 8 * self.x.shape[0] ** 2 * self.alphas.size

    def _least(self, alpha: float) -> float:
        """Return about the least eigenvalue of the kernel, or 0 where float32 cannot tell."""
        try:
            lower = self.inverse_of(alpha)
        except IndefiniteError:
            self._kept.clear()
            return 0.0
        return max(0.0, 1.0 / largest(mirrored(lower)) - alpha)

    def inverse_of(self, alpha: float) -> Float[Array, "row row"]:
        """Return the lower triangle of `(K + alpha)^-1` in the type of `x`, computed once."""
        with self._lock:
            found = self._kept.get(alpha)
        if found is None:
            found = self._kept[alpha] = self._inverse(alpha, self.x.dtype)
        return found

    def _inverse(self, alpha: float, kind: Any) -> Float[Array, "row row"]:
        xp, n = array_namespace(self.total), self.total.shape[0]
        work = xp.astype(self.total, kind, copy=True)
        work += self.level / n
        return inverse(raised(work, alpha))

    def _predictors(self, alpha: float) -> list[Float[Array, "rest held_out"]]:
        """Return what predicts each fold from the rows outside it, less their mean."""
        xp, n = array_namespace(self.total), self.total.shape[0]
        if self.single:
            lower = self.inverse_of(alpha)
        else:
            narrow = alpha >= SINGLE * self.top
            lower = self._inverse(alpha, self.x.dtype if narrow else xp.float64)
        ones = 1.0 / (n * (alpha + self.level))
        found = []
        for low, high in self.bounds:
            inner = lower[low:high, low:high] - ones
            cross = xp.concat([lower[low:high, :low].T, lower[high:, low:high]], axis=0)
            w = (cross - ones) @ mirrored(inverse(inner))
            found.append(xp.astype(-w - 1.0 / w.shape[0], self.x.dtype, copy=False))
        return found

    def decompose(self, fold: int | None) -> HeldOut | Solved:
        """Return what predicts the rows of `fold`, or the solutions of all rows."""
        if fold is not None:
            return FoldInverse(self, *self.bounds[fold], self._folds[fold])
        # in small directions float32 inverses have no digits to solve with
        return WholeInverse(self) if self.single else self.kernel.decompose(None)


def without_training_sets(
    route: Kernel, alphas: Float[np.ndarray, " alpha"], spare: int, crew: Workers
) -> Kernel | Inverses:
    """Return the route by inverses if it fits into `spare` bytes and has the digits."""
    folds, n = route.bounds, route.x.shape[0]
    if len(folds) < 2 or not Inverses.fits(n, alphas.size, spare, crew.threads):
        return route
    try:
        return Inverses(route, alphas, crew)
    except IndefiniteError:
        return route
