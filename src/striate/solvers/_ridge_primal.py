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

from striate.solvers._arrays import Array, double, eigh, gram
from striate.solvers._ridge_rows import Block, squared_errors

STRIP = 128  # columns of a triangular matrix to multiply at once


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
        self, block: Block, products: Float[Array, "fold target feature"]
    ) -> tuple[Float[Array, "target feature"], Float[Array, " target"]]:
        """Return V'X'y of the centred training rows, and their mean."""
        xp = array_namespace(block.y)
        total, sums = xp.sum(products, axis=0), xp.sum(block.sums, axis=0)
        rows = block.y.shape[1]
        if self.fold is not None:
            low, high = self.route.bounds[self.fold]
            total -= products[self.fold, ...]
            sums -= block.sums[self.fold, ...]
            rows -= high - low
        mean = sums / rows
        total -= xp.astype(sums[:, None] * self.mean, total.dtype, copy=False)
        return total @ self.vectors, mean

    def losses(
        self,
        block: Block,
        products: Float[Array, "fold target feature"],
        alphas: Float[Array, " alpha"],
    ) -> Float[Array, "alpha target"]:
        """Return the summed squared error of the held-out rows."""
        xp = array_namespace(block.y)
        rotated, mean = self._rotate(block, products)
        shrink = 1.0 / (self.values + alphas[:, None])
        assert self.fold is not None
        low, high = self.route.bounds[self.fold]
        narrow = xp.astype(shrink, rotated.dtype, copy=False)
        if self.predictors is not None:
            held_out = block.y[:, low:high] - xp.astype(mean, block.y.dtype)[:, None]
            return squared_errors(held_out, rotated, narrow, self.predictors)
        assert self.quadratic is not None

        # X'y of the held-out rows about the training means: two rank-one corrections
        sums = block.sums[self.fold, ...]
        x_shift = self.route.sums[self.fold, ...] - (high - low) * self.mean
        shift = mean[:, None] * x_shift + sums[:, None] * self.mean
        cross = products[self.fold, ...] - xp.astype(shift, products.dtype, copy=False)
        cross = double(rotated) * double(cross @ self.vectors)
        loss = -2.0 * (shrink @ cross.T)
        loss += block.squares[self.fold, ...] - mean * (2.0 * sums - (high - low) * mean)
        upper, size = self.quadratic, self.quadratic.shape[0]
        for a in range(shrink.shape[0]):
            b = xp.astype(rotated * narrow[a], upper.dtype, copy=False)
            for start in range(0, size, STRIP):  # below the diagonal there is nothing to multiply
                strip = slice(start, min(start + STRIP, size))
                product = b[:, : strip.stop] @ upper[: strip.stop, strip]
                loss[a, :] += double(xp.vecdot(product, b[:, strip]))
        return loss

    def weights(
        self, block: Block, alpha: Float[Array, " target"]
    ) -> Float[Array, "target feature"]:
        """Return the solution with one penalty per target."""
        xp = array_namespace(block.y)
        rotated, _ = self._rotate(block, self.route.products(block))
        shrink = 1.0 / (self.values + alpha[:, None])
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
        memory: int,
    ) -> None:
        xp, p = array_namespace(x), x.shape[1]
        self.x, self.bounds, self.narrow = x, bounds, narrow
        self.sums = xp.stack(
            [xp.sum(x[low:high, :], axis=0, dtype=xp.float64) for low, high in bounds]
        )
        self.fold_bytes = 32 * p * p
        self._grams: list[Any] | None = None
        if 8 * p * p * len(bounds) <= memory // 4:
            self._grams = [gram(x[low:high, :]) for low, high in bounds]
            self.total: Any = sum(self._grams[1:], start=self._grams[0])
        else:
            self.total = gram(x)

    def products(self, block: Block) -> Float[Array, "fold target feature"]:
        """Return Y'X of each fold."""
        xp = array_namespace(self.x)
        shape = (len(self.bounds), block.y.shape[0], self.x.shape[1])
        out = xp.empty(shape, dtype=self.x.dtype, device=device(self.x))
        for fold, (low, high) in enumerate(self.bounds):
            out[fold, ...] = block.y[:, low:high] @ self.x[low:high, :]
        return out

    def gram_of(self, fold: int) -> Float[Array, "feature feature"]:
        """Return X'X of the rows of one fold: kept if there is memory for all, else again."""
        low, high = self.bounds[fold]
        return gram(self.x[low:high, :]) if self._grams is None else self._grams[fold]

    def decompose(self, fold: int | None) -> PrimalDecomposition:
        """Decompose the centred Gram matrix of the rows outside `fold`."""
        xp, rows = array_namespace(self.x), self.x.shape[0]
        sums, train = xp.sum(self.sums, axis=0), self.total
        low, high = (rows, rows) if fold is None else self.bounds[fold]
        if fold is not None:
            sums = sums - self.sums[fold, ...]
            train = train - self.gram_of(fold)
        mean = sums / (rows - (high - low))
        values, vectors = eigh(train - sums[:, None] * mean)
        values = xp.clip(values, min=0.0)  # rounding can take a zero below zero

        predictors = quadratic = None
        held_out = high - low
        if 0 < held_out <= values.shape[0]:
            predictors = (double(self.x[low:high, :]) - mean) @ vectors
            predictors = xp.astype(predictors, self.narrow, copy=False)
        elif fold is not None:
            cross = self.sums[fold, ...][:, None] * mean
            centred = self.gram_of(fold) - cross - cross.T + held_out * mean[:, None] * mean
            quadratic = vectors.T @ (centred @ vectors)
            # b'Mb = b'Ub with U the upper triangle of M, doubled off the diagonal: half the work
            quadratic = xp.triu(quadratic) + xp.triu(quadratic, k=1)
            quadratic = xp.astype(quadratic, self.narrow, copy=False)
        vectors = xp.astype(vectors, self.x.dtype, copy=False)
        return PrimalDecomposition(self, fold, mean, values, vectors, predictors, quadratic)
