"""Ridge through the features: one eigendecomposition of X'X serves all targets and penalties.

With the training Gram `X'X = V L V'` and `c = V'X'y`, the solution in the eigenbasis is
`b = c / (L + alpha)`, and its error on held-out rows needs no predictions:
`|y - Xw|^2 = y'y - 2 b'V'X'y + b'M b` with `M = V'X'X V` of the held-out rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import CHUNK, Array, Workers, double, eigh, gram
from striate.solvers._ridge_rows import Block, squared_errors
from striate.solvers._upper import times_upper, upper_product

ROUGH = 1e-7
"""Squared errors that rounding may add to held-out rows, as a part of the squares of the target."""


class RoughError(Exception):
    """Products in float32 are too rough for a training set that varies less than its fold does."""


@dataclass(frozen=True)
class PrimalDecomposition:
    """The solutions of one training set in the eigenbasis of its Gram matrix."""

    route: Primal
    fold: int | None
    mean: Float[Array, " feature"]  # of the training rows
    values: Float[Array, " feature"]
    vectors: Float[Array, "feature feature"]
    # the held-out rows in the eigenbasis: themselves if they are few, else (half) their Gram matrix
    predictors: Float[Array, "row feature"] | None
    quadratic: Float[Array, "feature feature"] | None

    def _rotate(
        self, total: Float[Array, "target feature"], sums: Float[Array, " target"]
    ) -> Float[Array, "target feature"]:
        """Return V'X'y about the means, from X'y and the sums of y over the training rows."""
        xp = array_namespace(total)
        kind = total.dtype
        shift = xp.astype(sums, kind)[:, None] * xp.astype(self.mean, kind)
        return xp.subtract(total, shift) @ self.vectors

    def check(self, smallest: float) -> None:
        """Raise a `RoughError` where float32 loses the errors under the smallest penalty.

        Rounding of X'y, spread over all directions, grows by 1 / (L + alpha): that is harmless
        where held-out rows vary as little as the training set does, and not elsewhere.
        """
        xp = array_namespace(self.values)
        if self.fold is None or self.route.x.dtype == xp.float64:
            return
        if self.predictors is not None:
            held_out = xp.vecdot(self.predictors, self.predictors, axis=0)
        else:
            held_out = xp.linalg.diagonal(self.quadratic)
        low, high = self.route.bounds[self.fold]
        grown = xp.sum(double(held_out) / (self.values + smallest) ** 2) * xp.mean(self.values)
        rounding = xp.finfo(self.route.x.dtype).eps / 2
        if float(grown) * rounding**2 * self.route.x.shape[0] / (high - low) > ROUGH:
            raise RoughError

    def losses(
        self,
        block: Block,
        products: Float[Array, "part target feature"],
        alphas: Float[Array, " alpha"],
    ) -> Float[Array, "alpha target"]:
        """Return the summed squared error of the held-out rows."""
        xp = array_namespace(block.y)
        assert self.fold is not None
        low, high = self.route.bounds[self.fold]
        inside = xp.sum(block.sums, axis=0) - block.sums[self.fold, ...]
        rotated = self._rotate(products[-1, ...] - products[self.fold, ...], inside)
        mean = inside / (block.y.shape[1] - (high - low))
        shrink = 1.0 / (self.values + alphas[:, None])
        narrow = xp.astype(shrink, rotated.dtype, copy=False)
        if self.predictors is not None:
            held_out = block.y[:, low:high] - xp.astype(mean, block.y.dtype)[:, None]
            return squared_errors(held_out, rotated, narrow, self.predictors)
        assert self.quadratic is not None

        # X'y of the held-out rows about the training means: two rank-one corrections
        sums = block.sums[self.fold, ...]
        x_shift = self.route.sums[self.fold, ...] - (high - low) * self.mean
        left = xp.astype(xp.stack([mean, sums], axis=1), products.dtype)
        cross = left @ xp.astype(xp.stack([-x_shift, -self.mean]), products.dtype)
        cross += products[self.fold, ...]
        cross = double(rotated) * (cross @ self.vectors)
        loss = -2.0 * (shrink @ cross.T)
        loss += block.squares[self.fold, ...] - mean * (2.0 * sums - (high - low) * mean)
        for a in range(shrink.shape[0]):
            b = xp.astype(rotated * narrow[a], self.quadratic.dtype, copy=False)
            loss[a, :] += double(xp.vecdot(times_upper(b, self.quadratic), b))
        return loss

    def weights(
        self, block: Block, alpha: Float[Array, " target"]
    ) -> Float[Array, "target feature"]:
        """Return the solution with one penalty per target."""
        xp = array_namespace(block.y)
        total = self.route.products(block)[-1, ...]
        return self.weights_of(total, xp.sum(block.sums, axis=0), alpha)

    def weights_of(
        self,
        total: Float[Array, "target feature"],
        sums: Float[Array, " target"],
        alpha: Float[Array, " target"],
    ) -> Float[Array, "target feature"]:
        """Return the solution from Y'X of all rows and the sums of y over them."""
        rotated = self._rotate(total, sums)
        shrink = 1.0 / (self.values + alpha[:, None])
        xp = array_namespace(total)
        return (rotated * xp.astype(shrink, rotated.dtype, copy=False)) @ self.vectors.T


class Primal:
    """The Gram matrix of each fold, computed once; a training Gram is the total less one fold.

    Products with the targets and the rotation have the type of `x`, Gram matrices and
    decompositions are float64; `narrow` is the type of quadratic forms and predictions.
    """

    def __init__(
        self,
        x: Float[Array, "row feature"],
        bounds: list[tuple[int, int]],
        narrow: Any,
        spare: int,
        crew: Workers,
    ) -> None:
        xp, p = array_namespace(x), x.shape[1]
        self.x, self.bounds, self.narrow = x, bounds, narrow
        self.sums = xp.stack(
            [xp.sum(x[low:high, :], axis=0, dtype=xp.float64) for low, high in bounds]
        )
        self._grams: list[Any] | None = None
        if 8 * p * p * len(bounds) <= spare // 4:
            self._grams = crew.map(lambda rows: gram(x[slice(*rows), :]), bounds)
            self.total: Any = sum(self._grams[1:], start=self._grams[0])
        else:
            self.total = gram(x)

    def kept_bytes(self) -> int:
        """Return the bytes of the Gram matrices of folds, where there is memory for them."""
        return 0 if self._grams is None else 8 * self.x.shape[1] ** 2 * len(self.bounds)

    @staticmethod
    def base_bytes(rows: int, features: int) -> int:
        """Return the bytes of the Gram matrix, and of computing it."""
        return 16 * features**2 + 8 * features * min(rows, CHUNK)

    @staticmethod
    def fold_bytes(rows: int, features: int) -> int:
        """Return the bytes of decomposing one training set."""
        return 40 * features**2

    def products(self, block: Block) -> Float[Array, "part target feature"]:
        """Return Y'X of each fold, and of all rows at the end."""
        xp = array_namespace(self.x)
        shape = (len(self.bounds) + 1, block.y.shape[0], self.x.shape[1])
        out = xp.empty(shape, dtype=self.x.dtype, device=device(self.x))
        for fold, (low, high) in enumerate(self.bounds):
            out[fold, ...] = block.y[:, low:high] @ self.x[low:high, :]
        out[-1, ...] = xp.sum(out[:-1, ...], axis=0)
        return out

    def gram_of(self, fold: int) -> Float[Array, "feature feature"]:
        """Return X'X of the rows of one fold: kept if there is memory for all, else again."""
        low, high = self.bounds[fold]
        return gram(self.x[low:high, :]) if self._grams is None else self._grams[fold]

    def decompose(self, fold: int | None) -> PrimalDecomposition:
        """Decompose the centred Gram matrix of the rows outside `fold`."""
        xp, rows = array_namespace(self.x), self.x.shape[0]
        low, high = (rows, rows) if fold is None else self.bounds[fold]
        held_out = high - low
        sums = xp.sum(self.sums, axis=0)
        if fold is not None:
            sums = sums - self.sums[fold, ...]
        mean = sums / (rows - held_out)
        train = sums[:, None] * -mean
        train += self.total
        if fold is not None:
            train -= self.gram_of(fold)
        values, vectors = eigh(train, overwrite=True)
        del train
        values = xp.clip(values, min=0.0)  # rounding can take a zero below zero

        predictors = quadratic = None
        if 0 < held_out <= values.shape[0]:
            predictors = (double(self.x[low:high, :]) - mean) @ vectors
            predictors = xp.astype(predictors, self.narrow, copy=False)
        elif fold is not None:
            centred = self.sums[fold, ...][:, None] * mean
            centred = held_out * mean[:, None] * mean - centred - centred.T
            centred += self.gram_of(fold)
            centred = centred @ vectors
            # b'Mb = b'Ub with U the upper triangle of M, doubled off the diagonal: half the work
            quadratic = upper_product(vectors, centred, self.narrow)
            del centred
            quadratic += xp.triu(quadratic, k=1)
        vectors = xp.astype(vectors, self.x.dtype, copy=False)
        return PrimalDecomposition(self, fold, mean, values, vectors, predictors, quadratic)
