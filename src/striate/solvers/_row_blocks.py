"""A matrix whose rows are read in blocks that fit into memory, and its products with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, double

Read: TypeAlias = Callable[[slice], Array]
"""Rows of a matrix, row × feature; reading may take three times the memory of what is returned."""

PIECE = 1 << 24
"""The most bytes of a piece of columns in float64: it should stay near the processor."""


def ranges(count: int, most: int) -> Iterator[slice]:
    """Return slices of at most `most` that cover `count`."""
    for start in range(0, count, most):
        yield slice(start, min(start + most, count))


@dataclass(frozen=True, eq=False)
class Source:
    """Rows to be read: `small` of them at a time, `large` of them kept side by side.

    Whatever is computed from them is centred by `mean` and counted in float64, a piece of columns
    at a time, so that there is never a whole copy in float64.
    """

    read: Read
    rows: int
    features: int
    small: int
    large: int
    piece: int = PIECE
    mean: Float[Array, " feature"] | None = None

    def blocks(self, stop: int | None = None) -> Iterator[tuple[slice, Array]]:
        """Every block of rows, up to `stop`, and where it lies."""
        for part in ranges(self.rows if stop is None else stop, self.small):
            yield part, self._rows(part)

    def held(self, part: slice) -> Array:
        """Rows as one array, gathered in small blocks."""
        if part.stop - part.start <= self.small:
            return self._rows(part)
        out = None
        for start in range(part.start, part.stop, self.small):
            piece = slice(start, min(start + self.small, part.stop))
            block = self._rows(piece)
            if out is None:
                xp, shape = array_namespace(block), (part.stop - part.start, self.features)
                out = xp.empty(shape, dtype=block.dtype, device=device(block))
            out[piece.start - part.start : piece.stop - part.start, :] = block
        return out

    def _rows(self, part: slice) -> Array:
        block = self.read(part)
        if tuple(block.shape) != (part.stop - part.start, self.features):
            raise DataError(
                f"rows {part.start} to {part.stop} were read with shape {tuple(block.shape)}, not"
                f" ({part.stop - part.start}, {self.features}): give blocks of one matrix"
            )
        return block

    def columns(self, rows: int) -> Iterator[slice]:
        """Pieces of columns for blocks of so many rows."""
        return ranges(self.features, max(1, self.piece // (8 * rows)))

    def centred(self, block: Array, columns: slice) -> Float[Array, "row column"]:
        """A piece of columns of some rows, minus their mean, in float64."""
        return double(block[:, columns]) - self.mean[columns]  # type: ignore[index]

    def times(self, right: Float[Array, "feature k"]) -> Float[Array, "row k"]:
        """Return the centred matrix times another, in float64."""
        xp = array_namespace(right)
        out = xp.zeros((self.rows, right.shape[1]), dtype=xp.float64, device=device(right))
        for part, block in self.blocks():
            for at in self.columns(block.shape[0]):
                out[part, :] += self.centred(block, at) @ right[at, :]
        return out

    def transposed_times(self, left: Float[Array, "row k"]) -> Float[Array, "feature k"]:
        """Return the transposed centred matrix times another, in float64."""
        xp = array_namespace(left)
        out = xp.zeros((self.features, left.shape[1]), dtype=xp.float64, device=device(left))
        for part, block in self.blocks():
            # smaller pieces: the tall product would push larger ones out of the cache
            for at in self.columns(4 * max(block.shape[0], left.shape[1])):
                out[at, :] += self.centred(block, at).T @ left[part, :]
        return out


def means(source: Source) -> tuple[Float[Array, " feature"], Any]:
    """Return the mean of every column in float64, and the type of the matrix.

    Raises `DataError` for types other than float32 and float64, and for NaN and infinity.
    """
    total = kind = None
    for part, block in source.blocks():
        xp = array_namespace(block)
        if str(block.dtype).removeprefix("torch.") not in ("float32", "float64"):
            raise DataError(f"x is {block.dtype}: convert it to float32 or float64")
        with np.errstate(all="ignore"):
            added = xp.sum(block, axis=0, dtype=xp.float64)
            sound = bool(xp.isfinite(xp.sum(added)))
        if not sound:
            check_finite(f"x, from row {part.start} on,", block, "feature")
        total, kind = added if total is None else total + added, block.dtype
    return total / source.rows, kind  # type: ignore[operator]
