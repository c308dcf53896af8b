"""Errors of rows left out one at a time, from a single fit to all rows.

With centred rows `Z = XV` in the eigenbasis and `s = 1 / (L + alpha)`, a row has the leverage
`h = 1/n + sum(z^2 s)`, the mean counted in, and its error when left out is `(y - Z(s c)) / (1 - h)`
with `c = Z'y`. Generalised cross-validation puts the mean leverage in the place of each. Where
features outnumber rows both ends of that fraction vanish with alpha, which cancels:
`U(s c) / sum(u^2 s)` over the eigenvectors `U` of the kernel, all but the constant one.
"""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, eigh
from striate.solvers._ridge_blocks import Blocks
from striate.solvers._ridge_primal import Primal
from striate.solvers._ridge_rows import Kernel

LEAST = 1e-9
"""Of a row's own weight in its prediction, what must be left for its error to have digits."""


def check_closed(method: str) -> None:
    """Raise a `DataError` unless `method` is one of the closed forms."""
    if method not in ("loo", "gcv"):
        raise DataError(f"folds {method!r}: choose loo, gcv, or give a label per row")


@dataclass(frozen=True)
class _Basis:
    """The centred rows in the eigenbasis of all rows."""

    scores: Float[Array, "row rank"]
    values: Float[Array, " rank"]
    dual: bool  # scores are eigenvectors of the kernel


def closed_losses(
    blocks: Blocks, alphas: Float[Array, " alpha"], method: str
) -> Float[Array, "alpha target"]:
    """Return the squared errors of rows left out one at a time, summed over rows.

    `method` is "loo", or "gcv" for the mean leverage in the place of each row's own.
    """
    xp = array_namespace(alphas)
    basis, n = _basis(blocks), blocks.y.shape[0]
    shrink = 1.0 / (basis.values + alphas[:, None])
    if method == "gcv":
        if basis.dual:
            left = xp.sum(shrink, axis=1) / n
        else:
            left = 1.0 - (1.0 + xp.sum(basis.values * shrink, axis=1)) / n
        left = left[:, None]
    else:
        left = shrink @ (basis.scores**2).T  # alpha by row
        left = left if basis.dual else 1.0 - 1.0 / n - left
    if not basis.dual and float(xp.min(left)) < LEAST:
        raise DataError(
            f"the penalty {float(xp.min(alphas))} lets rows predict themselves, which leaves no"
            f" digits for {method!r}: use larger penalties, or folds"
        )
    losses = xp.zeros((alphas.shape[0], blocks.y.shape[1]), dtype=xp.float64, device=alphas.device)

    def job(block: tuple[int, int]) -> None:
        y = blocks.rows.block(blocks.y, *block)[0].y.T
        rotated = basis.scores.T @ (y - xp.mean(y, axis=0))
        for a in range(alphas.shape[0]):
            error = basis.scores @ (shrink[a, :][:, None] * rotated)
            error = error if basis.dual else y - xp.mean(y, axis=0) - error
            losses[a, slice(*block)] = xp.sum((error / left[a, :][:, None]) ** 2, axis=0)

    blocks.crew.map(job, blocks.blocks)
    return losses


def _basis(blocks: Blocks) -> _Basis:
    x, route = blocks.rows.x, blocks.route
    xp, n = array_namespace(x), x.shape[0]
    if isinstance(route, Primal):
        blocks.whole = route.decompose(None)
        return _Basis((x - xp.mean(x, axis=0)) @ blocks.whole.vectors, blocks.whole.values, False)
    if isinstance(route, Kernel):
        total = route.total
        mean = xp.mean(total, axis=0)
        total = total - mean - (mean - xp.mean(mean))[:, None]
        # the constant direction at the end, well apart, where other eigenvectors do not mix with it
        total += 2.0 * xp.linalg.trace(total) / n + 1.0 / n
        values, vectors = eigh(total, overwrite=True)
        return _Basis(vectors[:, :-1], xp.clip(values[:-1], min=0.0), True)
    if x.shape[1] >= n:
        raise DataError(
            'the smallest penalty is below the rounding of the features\' products, which "loo" and'
            ' "gcv" cannot do with more features than rows: use larger penalties, or folds'
        )
    vectors, sizes, _ = xp.linalg.svd(x - xp.mean(x, axis=0), full_matrices=False)
    (alive,) = xp.nonzero(sizes > sizes[0] * n * 2.3e-16)
    sizes = xp.take(sizes, alive)
    return _Basis(xp.take(vectors, alive, axis=1) * sizes, sizes**2, False)
