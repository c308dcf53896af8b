"""Principal components of matrices of any size: exact by the smaller Gram matrix, or randomised.

An exact fit decomposes X X' (row × row) where features outnumber rows and X'X elsewhere, both
summed in float64 over blocks of rows; nothing needs the whole matrix at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, eigh, on_cpu
from striate.solvers._budget import Need
from striate.solvers._row_blocks import PIECE, Read, Source, means, ranges

Solver: TypeAlias = Literal["auto", "exact", "randomized"]

FLAT = 1e-12
"""Variance, in parts of that of the first component, below which a direction is rounding."""
STEEP = 1e-6
"""Variance, likewise, below which a Gram matrix has too few digits for a direction."""
POWERS = 7
"""Power iterations of the randomised solver."""


@dataclass(frozen=True)
class Components:
    """Principal components: scores are `(x - mean) @ basis`.

    `basis` has orthonormal columns and the type of the input; `mean` and `variance` (of each
    component, over rows - 1) are in float64, and `total` is the variance of all columns together.
    """

    mean: Float[Array, " feature"]
    basis: Float[Array, "feature component"]
    variance: Float[Array, " component"]
    total: float


def principal_components(
    x: Float[Array, "row feature"],
    count: float | int,
    *,
    solver: Solver = "auto",
    seed: int = 0,
    memory: int = 2 << 30,
) -> Components:
    """Return the principal components of the rows of `x`, those of largest variance first.

    - `x`: float32 or float64, a NumPy array or a torch tensor; the result is of the same kind.
    - `count`: how many, at most rows - 1 and features; below 1 the share of variance to reach.
      Directions with less than 1e-12 of the variance of the first are rounding and left out.
    - `solver`: "exact"; "randomized" (Halko, Martinsson & Tropp 2011, doi:10.1137/090771806), with
      four power iterations; "auto" is exact unless rows and features are both above 5,000 and the
      components few.
    - `seed`: of the randomised solver.
    - `memory`: bytes for everything but `x` and the result.

    The sign of a component makes its entry of largest size positive. Raises `DataError` for NaN,
    for fewer than two rows and where nothing varies, `StriateError` where `memory` is too small.

    >>> found = principal_components(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]), 1)
    >>> (found.basis * 5**0.5).round(9).tolist(), round(found.total, 9)
    ([[1.0], [2.0]], 5.0)
    """
    (x,), back = on_cpu(x)
    if x.ndim != 2:
        raise DataError(f"x has shape {tuple(x.shape)}: it must be two-dimensional")
    rows, features = x.shape
    need = components_need(rows, features, count, solver=solver)
    need.check(memory)
    piece = min(PIECE, max(0, memory - need.fixed) // 4)
    source = Source(lambda part: x[part, :], rows, features, max(rows, 1), max(rows, 1), piece)
    found = _found(source, count, solver, seed)
    return Components(back(found.mean), back(found.basis), back(found.variance), found.total)


def streamed_components(
    read: Read,
    rows: int,
    features: int,
    count: float | int,
    *,
    solver: Solver = "auto",
    seed: int = 0,
    memory: int = 2 << 30,
    itemsize: int = 8,
) -> Components:
    """Return the principal components of a matrix that is too large to be held.

    `read(slice(i, j))` returns rows i to j, and is called for every row once for the means and
    then: twice where features are fewer than rows; about as often as the matrix is larger than
    `memory` where an exact fit has more features than rows; ten times by the randomised solver.
    Blocks are chosen so that all temporaries, and three copies of the block that is read, stay
    within `memory`; `itemsize` is the bytes of one number that is read. Everything else as for
    `principal_components`.

    >>> x = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
    >>> streamed_components(lambda part: x[part], 3, 2, 1).variance.round(9).tolist()
    [5.0]
    """
    need = components_need(rows, features, count, solver=solver, itemsize=itemsize)
    need.check(memory)
    left = memory - need.fixed
    # a quarter for reading and its copies, half for the rows that are multiplied with them
    small = max(1, left // (2 * need.each))
    large = max(small, left // (2 * itemsize * features))
    piece = min(PIECE, left // 24)
    source = Source(read, rows, features, min(small, rows), min(large, rows), piece)
    return _found(source, count, solver, seed)


def components_need(
    rows: int, features: int, count: float | int, *, solver: Solver = "auto", itemsize: int = 8
) -> Need:
    """Return the bytes that a fit takes: `each` is for one row of the blocks that are read."""
    least = min(rows, features)
    if _exact(count, least, solver):
        kept = least if count < 1 else min(int(count), least)
        fixed = 8 * (4 * least * least + 2 * kept * features)
    else:
        fixed = 8 * 4 * _wide(int(count), least) * (rows + features)
    what = f"pca of {features:,} features on {rows:,} rows"
    return Need(what, fixed=fixed + 24 * features, each=8 * itemsize * features)


def _exact(count: float | int, least: int, solver: Solver) -> bool:
    if solver == "randomized" and count < 1:
        raise DataError(
            f"{count} of the variance cannot be found by the randomised solver: ask for a number"
            ' of components, or take solver = "exact"'
        )
    few = 1 <= count <= 0.3 * least
    return solver == "exact" or (solver == "auto" and not (few and least > 5000))


def _wide(count: int, least: int) -> int:
    """Directions that the randomised solver follows: some more than are asked for."""
    return min(least, count + max(10, count // 4))


def _found(source: Source, count: float | int, solver: Solver, seed: int) -> Components:
    rows, features = source.rows, source.features
    if rows < 2 or features < 1:
        raise DataError(
            f"x has {rows} rows and {features} features: principal components need at least two"
            " rows and one feature"
        )
    if not count > 0:
        raise DataError(f"{count} components: ask for 1 or more, or a share of variance below 1")
    most = min(rows - 1, features)
    count = min(int(count), most) if count >= 1 else count
    mean, kind = means(source)
    source = replace(source, mean=mean)
    if not _exact(count, min(rows, features), solver):
        basis, sizes, total = _randomised(source, int(count), seed)
    elif rows <= features:
        basis, sizes, total = _by_rows(source, count)
    else:
        basis, sizes, total = _by_features(source, count)
    xp = array_namespace(basis)
    if sizes.shape[0] and float(sizes[-1]) < STEEP * float(sizes[0]):
        basis, sizes = _sharpened(source, basis)
    basis *= xp.where(xp.max(basis, axis=0) >= -xp.min(basis, axis=0), 1.0, -1.0)
    basis = xp.astype(basis, kind, copy=False)
    return Components(mean, basis, sizes / (rows - 1), total / (rows - 1))


def _by_rows(source: Source, count: float | int) -> tuple[Array, Array, float]:
    """X X' = U L U' and basis = X'U L^(-1/2)."""
    values, vectors, total = _leading(_row_gram(source), count, source)
    basis = source.transposed_times(vectors)
    basis /= array_namespace(values).sqrt(values)
    return basis, values, total


def _row_gram(source: Source) -> Float[Array, "row row"]:
    mean = source.mean
    xp, n = array_namespace(mean), source.rows
    gram = xp.zeros((n, n), dtype=xp.float64, device=device(mean))
    for kept in ranges(n, source.large):
        held = source.held(kept)
        for at in source.columns(held.shape[0]):
            piece = source.centred(held, at)
            gram[kept, kept] += piece @ piece.T
        for part, block in source.blocks(kept.start):
            for at in source.columns(held.shape[0] + block.shape[0]):
                gram[kept, part] += source.centred(held, at) @ source.centred(block, at).T
        gram[: kept.start, kept] = gram[kept, : kept.start].T
    return gram


def _by_features(source: Source, count: float | int) -> tuple[Array, Array, float]:
    """X'X = V L V' and basis = V."""
    xp, p = array_namespace(source.mean), source.features
    gram = xp.zeros((p, p), dtype=xp.float64, device=device(source.mean))
    for _, block in source.blocks():
        for part in ranges(block.shape[0], max(1, source.piece // (8 * p))):
            piece = source.centred(block[part, :], slice(0, p))
            gram += piece.T @ piece
    values, vectors, total = _leading(gram, count, source)
    return vectors, values, total


def _leading(
    gram: Float[Array, "n n"], count: float | int, source: Source
) -> tuple[Float[Array, " k"], Float[Array, "n k"], float]:
    """Return the largest eigenvalues, descending, their vectors, and the sum of all."""
    xp, n = array_namespace(gram), gram.shape[0]
    total = float(xp.sum(xp.linalg.diagonal(gram)))
    _check_varies(total, source)
    if is_numpy_array(gram) and 1 <= count < 0.25 * n:
        values, vectors = scipy.linalg.eigh(
            gram, subset_by_index=[n - int(count), n - 1], driver="evr", check_finite=False
        )
    else:
        values, vectors = eigh(gram)
    values, vectors = xp.flip(values, axis=0), xp.flip(vectors, axis=1)
    if count < 1:
        reached = xp.cumulative_sum(xp.clip(values, min=0.0)) < count * total
        count = int(xp.sum(xp.astype(reached, xp.int64))) + 1
    real = int(xp.sum(xp.astype(values > FLAT * values[0], xp.int64)))
    kept = min(int(count), real, source.rows - 1)
    return values[:kept], xp.asarray(vectors[:, :kept], copy=True), total


def _randomised(source: Source, count: int, seed: int) -> tuple[Array, Array, float]:
    """Follow a random subspace through powers of X'X, and decompose X within it."""
    mean = source.mean
    xp = array_namespace(mean)
    total = 0.0
    for _, block in source.blocks():
        for at in source.columns(block.shape[0]):
            piece = source.centred(block, at)
            total += float(xp.sum(piece * piece))
    _check_varies(total, source)
    wide = _wide(count, min(source.rows, source.features))
    drawn = np.random.default_rng(seed).standard_normal((source.features, wide))
    basis = xp.asarray(drawn, device=device(mean))
    for _ in range(POWERS):
        rows, _ = xp.linalg.qr(source.times(basis))
        basis, _ = xp.linalg.qr(source.transposed_times(rows))
    basis, sizes = _sharpened(source, basis)
    real = int(xp.sum(xp.astype(sizes > FLAT * sizes[0], xp.int64)))
    kept = min(count, real)
    return basis[:, :kept], sizes[:kept], total


def _sharpened(source: Source, basis: Float[Array, "feature k"]) -> tuple[Array, Array]:
    """Return the principal directions within the span of `basis`, and their sums of squares.

    The scores are decomposed themselves, without squaring their condition number.
    """
    xp = array_namespace(basis)
    for _ in range(2):  # the second time takes what rounding left of the first
        lower = xp.linalg.cholesky(basis.T @ basis)
        _turn(basis, xp.linalg.inv(lower).T, source)
    _, triangle = xp.linalg.qr(source.times(basis))
    _, sizes, right = xp.linalg.svd(triangle, full_matrices=False)
    _turn(basis, right.T, source)
    return basis, sizes * sizes


def _turn(basis: Float[Array, "feature k"], by: Float[Array, "k k"], source: Source) -> None:
    """Multiply in place, a few features at a time."""
    for at in source.columns(basis.shape[1]):
        basis[at, :] = basis[at, :] @ by


def _check_varies(total: float, source: Source) -> None:
    mean: Array = source.mean
    xp = array_namespace(mean)
    if not total > 1e-28 * source.rows * float(xp.sum(mean * mean)):
        raise DataError(
            f"none of the {source.features} features varies over the {source.rows} rows, so there"
            " are no principal components: leave the space out"
        )
