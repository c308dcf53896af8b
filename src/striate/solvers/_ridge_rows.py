"""Ridge through the training rows: a kernel when features outnumber rows, an SVD when digits do.

Both write the solutions of one training set as `w = readout' (shrink(alpha) * (U' y))`: rotate the
targets once, then every penalty is a rescaling and one product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.solvers._arrays import CHUNK, Array, Workers, double, eigh, gram


@dataclass(frozen=True)
class Block:
    """A block of targets, centred over all rows, with its rows in the order of the folds."""

    y: Float[Array, "target row"]
    sums: Float[Array, "fold target"]  # of the rows of each fold, in float64
    squares: Float[Array, "fold target"]


@runtime_checkable
class HeldOut(Protocol):
    """One training set, ready to answer for held-out rows of any target and any penalty."""

    def losses(self, block: Block, products: Any, alphas: Any) -> Any:
        """Return the summed squared error of the held-out rows, alpha by target."""
        ...


@runtime_checkable
class Solved(Protocol):
    """All rows, ready for the solution of any target and any penalty."""

    def weights(self, block: Block, alpha: Any) -> Any:
        """Return the solution with one penalty per target, target by feature."""
        ...


@runtime_checkable
class Route(Protocol):
    """A way to decompose training sets; `fold` is the one held out, None trains on all rows."""

    def kept_bytes(self) -> int:
        """Return the bytes of what is kept only because memory allows."""
        ...

    @staticmethod
    def base_bytes(rows: int, features: int) -> int:
        """Return the bytes of what all training sets share."""
        ...

    @staticmethod
    def fold_bytes(rows: int, features: int) -> int:
        """Return the bytes of decomposing one training set."""
        ...

    def products(self, block: Block) -> Any:
        """Return what the decompositions of all folds share about a block of targets."""
        ...

    def decompose(self, fold: int | None) -> HeldOut | Solved:
        """Decompose the rows outside `fold`."""
        ...


def squared_errors(
    y: Float[Array, "target row"],
    rotated: Float[Array, "target rank"],
    shrink: Float[Array, "alpha rank"],
    predictors: Float[Array, "row rank"],
) -> Float[Array, "alpha target"]:
    """Return sum over rows of (y - predictors (shrink * rotated))^2 for every penalty."""
    xp = array_namespace(y)
    dtype = predictors.dtype
    y, errors = xp.astype(y, dtype, copy=False), []
    for a in range(shrink.shape[0]):
        error = xp.astype(rotated * shrink[a], dtype, copy=False) @ predictors.T
        error -= y
        errors.append(double(xp.vecdot(error, error)))
    return xp.stack(errors)


def others(a: Float[Array, "target row"], low: int, high: int) -> Float[Array, "target rest"]:
    """Return the columns of `a` outside [low, high)."""
    xp = array_namespace(a)
    return xp.concat([a[:, :low], a[:, high:]], axis=1)


@dataclass(frozen=True)
class RowDecomposition:
    """The solutions of one training set in the basis of its rows."""

    low: int  # rows [low, high) are held out
    high: int
    vectors: Float[Array, "rest rank"]
    shrink: Callable[[Any], Any]  # penalties (alpha, 1) -> (alpha, rank)
    predictors: Float[Array, "row rank"]
    readout: Callable[[Any], Any]  # (target, rank) -> (target, feature)

    def _rotate(self, y: Float[Array, "target rest"]) -> tuple[Any, Any]:
        xp = array_namespace(y)
        mean = xp.astype(xp.mean(y, axis=1, dtype=xp.float64), y.dtype)[:, None]
        return (y - mean) @ self.vectors, mean

    def losses(
        self, block: Block, products: None, alphas: Float[Array, " alpha"]
    ) -> Float[Array, "alpha target"]:
        """Return the summed squared error of the held-out rows."""
        rotated, mean = self._rotate(others(block.y, self.low, self.high))
        held_out = block.y[:, self.low : self.high] - mean
        return squared_errors(held_out, rotated, self.shrink(alphas[:, None]), self.predictors)

    def weights(
        self, block: Block, alpha: Float[Array, " target"]
    ) -> Float[Array, "target feature"]:
        """Return the solution with one penalty per target."""
        rotated, _ = self._rotate(block.y)
        return self.readout(rotated * self.shrink(alpha[:, None]))


class ByRows:
    """What the kernel and the SVD share: the rows, and where each fold begins and ends."""

    def __init__(self, x: Float[Array, "row feature"], bounds: list[tuple[int, int]]) -> None:
        self.x, self.bounds = x, bounds

    def kept_bytes(self) -> int:
        """Return the bytes of what is kept only because memory allows: none."""
        return 0

    def products(self, block: Block) -> None:
        """Nothing: each training set rotates its own rows."""

    def _held_out(self, fold: int | None) -> tuple[int, int, Any]:
        xp, n = array_namespace(self.x), self.x.shape[0]
        low, high = (n, n) if fold is None else self.bounds[fold]
        rest = np.r_[0:low, high:n]
        return low, high, xp.asarray(rest, device=device(self.x))


class Kernel(ByRows):
    """The dual: `w = X' U (L + alpha)^-1 U' y` with `X X' = U L U'`, for p >= n.

    The kernel is computed once from all rows, in float64; each training set takes its part and
    centres it exactly. `narrow` is the type of the predictions of held-out rows.
    """

    def __init__(
        self,
        x: Float[Array, "row feature"],
        bounds: list[tuple[int, int]],
        narrow: Any,
        spare: int = 0,
        crew: Workers | None = None,
    ) -> None:
        super().__init__(x, bounds)
        self.narrow = narrow
        self.total = gram(x.T)

    @staticmethod
    def base_bytes(rows: int, features: int) -> int:
        """Return the bytes of the kernel, and of computing it."""
        return 16 * rows**2 + 16 * rows * min(features, CHUNK)

    @staticmethod
    def fold_bytes(rows: int, features: int) -> int:
        """Return the bytes of decomposing one training set."""
        return 40 * rows**2

    def decompose(self, fold: int | None) -> RowDecomposition:
        """Decompose the centred kernel of the rows outside `fold`."""
        xp = array_namespace(self.x)
        low, high, rest = self._held_out(fold)
        train = xp.take(xp.take(self.total, rest, axis=0), rest, axis=1)
        held_out = xp.take(self.total[low:high, :], rest, axis=1)
        mean = xp.mean(train, axis=0)
        grand = xp.mean(mean)
        held_out = held_out - xp.mean(held_out, axis=1, keepdims=True) - (mean - grand)
        train -= mean[:, None]
        train -= mean - grand
        values, vectors = eigh(train, overwrite=True)
        del train
        # directions without length (the mean, repeated rows) predict nothing: leave them out
        # instead of dividing rounding by a small penalty
        alive = values > values[-1] * values.shape[0] * 2.3e-16
        safe = xp.where(alive, values, xp.ones_like(values))
        keep = xp.astype(alive, xp.float64)

        held_out = held_out @ vectors
        # X'U before it meets the targets: in X' (U ...) float32 would lose small directions
        readout = self._features(vectors) if fold is None else None
        vectors = xp.astype(vectors, self.x.dtype, copy=False)
        return RowDecomposition(
            low,
            high,
            vectors,
            lambda alphas: xp.astype(keep / (safe + alphas), self.x.dtype, copy=False),
            xp.astype(held_out, self.narrow, copy=False),
            lambda scaled: scaled @ readout,
        )

    def _features(self, vectors: Float[Array, "row rank"]) -> Float[Array, "rank feature"]:
        """Return U'X, a few features at a time in float64."""
        xp, p = array_namespace(self.x), self.x.shape[1]
        out = xp.empty((vectors.shape[1], p), dtype=self.x.dtype, device=device(self.x))
        for i in range(0, p, CHUNK):
            some = slice(i, i + CHUNK)
            out[:, some] = xp.astype(vectors.T @ double(self.x[:, some]), out.dtype, copy=False)
        return out


class Precomputed(Kernel):
    """The dual of a kernel that is given, in float64; solutions are weights of its rows."""

    def __init__(self, kernel: Float[Array, "row row"], bounds: list[tuple[int, int]]) -> None:
        ByRows.__init__(self, kernel, bounds)
        self.narrow, self.total = kernel.dtype, kernel

    @staticmethod
    def base_bytes(rows: int, features: int) -> int:
        """Return the bytes of what all training sets share: none but the kernel."""
        return 0

    def _features(self, vectors: Float[Array, "row rank"]) -> Float[Array, "rank row"]:
        # directions that rounding alone keeps alive may hold the mean, which a kernel that is not
        # centred would answer to
        return (vectors - array_namespace(vectors).mean(vectors, axis=0)).T


class Svd(ByRows):
    """`w = V s / (s^2 + alpha) U' y` with `X = U s V'`; `x` must be float64.

    Several times slower than a Gram matrix or a kernel, but it does not square the condition
    number: the only right way when the penalty is below the rounding of X'X. With alpha = 0 it is
    the least-squares solution of least norm.
    """

    def __init__(self, x: Float[Array, "row feature"], bounds: list[tuple[int, int]]) -> None:
        super().__init__(x, bounds)

    @staticmethod
    def base_bytes(rows: int, features: int) -> int:
        """Return the bytes of what all training sets share: none."""
        return 0

    @staticmethod
    def fold_bytes(rows: int, features: int) -> int:
        """Return the bytes of decomposing one training set."""
        return 56 * rows * features

    def decompose(self, fold: int | None) -> RowDecomposition:
        """Decompose the centred rows outside `fold`."""
        xp = array_namespace(self.x)
        low, high, rest = self._held_out(fold)
        train = xp.take(self.x, rest, axis=0)
        mean = xp.mean(train, axis=0)
        vectors, sizes, right = xp.linalg.svd(train - mean, full_matrices=False)
        alive = sizes > sizes[0] * max(train.shape) * 2.3e-16
        safe = xp.where(alive, sizes, xp.ones_like(sizes))
        keep = xp.astype(alive, xp.float64)
        return RowDecomposition(
            low,
            high,
            vectors,
            lambda alphas: keep * safe / (safe * safe + alphas),
            (self.x[low:high, :] - mean) @ right.T,
            lambda scaled: scaled @ right,
        )
