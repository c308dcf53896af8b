"""How alike two sets of RDMs are: centre each vector once, then multiply all by all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from jaxtyping import Float, Num

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, on_cpu, workers
from striate.solvers._budget import fitting
from striate.solvers.blends import nonnegative

CHUNK = 4096
"""Pairs that are centred and multiplied at once, while they lie in the cache."""
ON_GPU = 1 << 22
SHORT = 20_000
"""Pairs up to which products are not worth a compiled loop."""
FEW = 16
"""Rows of one set up to which a compiled loop is faster than BLAS."""


def pearson(
    a: Float[Array, "layer pair"], b: Float[Array, "subject pair"], *, threads: int | None = None
) -> Float[Array, "layer subject"]:
    """Return the Pearson correlation of every row of `a` with every row of `b`.

    r = z_a'z_b, each row centred and of unit length; sums are taken in float64. Raises `DataError`
    for NaN and for constant rows, whose correlation is undefined.

    >>> pearson(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0], [3.0, 2.0, 1.0]])).round(9)
    array([[ 1., -1.]])
    """
    (a, b), back = on_cpu(a, b)
    check_pairs(a, b)
    first = min(CHUNK, a.shape[1])
    # about the mean of the first few, so that every value is fetched once; exact after the fact
    names = "the first set of RDMs", "the second set of RDMs"
    pilots = means(a[:, :first], names[0]), means(b[:, :first], names[1])
    *sums, rest_a, rest_b = products(a, b, pilots, totals=True, threads=threads)
    if not _all_finite(sums[0]):
        check_finite(names[0], a, "pair")
        check_finite(names[1], b, "pair")
    n = a.shape[1]
    middles = pilots[0] + rest_a / n, pilots[1] + rest_b / n
    sums = [
        sums[0] - rest_a[:, None] * rest_b / n,
        sums[1] - rest_a * rest_a / n,
        sums[2] - rest_b * rest_b / n,
    ]
    if any(_drifted(rest, size, n) for rest, size in ((rest_a, sums[1]), (rest_b, sums[2]))):
        sums = products(a, b, middles, threads=threads)
    return back(cosines(sums, middles, a, "constant"))


def cosine(
    a: Float[Array, "layer pair"], b: Float[Array, "subject pair"], *, threads: int | None = None
) -> Float[Array, "layer subject"]:
    """Return the cosine of the angle between every row of `a` and every row of `b`.

    a'b / (|a| |b|): for dissimilarities whose zero means something, such as crossnobis distances.
    Raises `DataError` for NaN and for rows of zeros.

    >>> cosine(np.array([[1.0, 2.0, 2.0]]), np.array([[2.0, 4.0, 4.0], [0.0, 1.0, -1.0]])).round(9)
    array([[1., 0.]])
    """
    (a, b), back = on_cpu(a, b)
    check_pairs(a, b)
    sums = products(a, b, None, threads=threads)
    if not all(map(_all_finite, sums)):
        check_finite("the first set of RDMs", a, "pair")
        check_finite("the second set of RDMs", b, "pair")
    return back(cosines(sums, None, a, "zero"))


def nonnegative_layers(
    layers: Float[Array, "layer pair"], target: Float[Array, " pair"]
) -> tuple[Float[Array, " layer"], float]:
    """Return non-negative weights of layers, and the intercept, that best predict a target RDM.

    Least squares of the standardised layers onto the standardised target (weighted RSA;
    Khaligh-Razavi & Kriegeskorte 2014, doi:10.1371/journal.pcbi.1003915), returned in the units
    they came in: the prediction is `weights @ layers + intercept`. Errors as for `pearson`.

    >>> layers = np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 2.0]])
    >>> weights, intercept = nonnegative_layers(layers, np.array([1.0, 4.0, 7.0]))
    >>> weights.round(9).tolist(), round(intercept, 9)
    ([3.0, 0.0], 1.0)
    """
    (layers, target), back = on_cpu(layers, target)
    check_pairs(layers, target[None])
    standard = _unit(layers, "layers"), _unit(target[None], "the target")
    blend = nonnegative(standard[0][:, :, None], standard[1].T)
    lengths = [
        np.linalg.norm(rows - rows.mean(axis=1)[:, None], axis=1)
        for rows in (layers.astype(np.float64), target[None].astype(np.float64))
    ]
    weights = blend.weights[:, 0] * (lengths[1][0] / lengths[0])
    intercept = float(
        target.mean(dtype=np.float64) - weights @ layers.mean(axis=1, dtype=np.float64)
    )
    return back(weights.astype(layers.dtype, copy=False)), intercept


def check_pairs(a: Array, b: Array) -> None:
    """Raise `DataError` unless two sets of RDMs have the same number of pairs, at least two."""
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"the RDMs have {a.shape[1]} and {b.shape[1]} pairs: give both the same stimuli"
        )
    if a.shape[1] < 2:
        raise DataError(
            f"the RDMs have {a.shape[1]} pairs, too few to compare: give at least three stimuli"
        )


def means(rows: Float[Array, "layer pair"], name: str) -> Float[Array, " layer"]:
    """Return the mean of every row in float64; raises `DataError` for NaN and infinities."""
    xp = array_namespace(rows)
    middle = xp.mean(rows, axis=1, dtype=xp.float64)
    if not _all_finite(middle):
        check_finite(name, rows, "pair")
    return middle


def products(
    a: Num[Array, "layer pair"],
    b: Num[Array, "subject pair"],
    middles: tuple[Float[Array, " layer"], Float[Array, " subject"]] | None,
    weights: Float[Array, " pair"] | None = None,
    *,
    totals: bool = False,
    threads: int | None = None,
) -> list[Array]:
    """Return a'b, |a|^2 and |b|^2 of all rows in float64, minus `middles`, entries times `weights`.

    With `totals`, the sums of both rows' entries come after. A few thousand pairs at a time, so
    that every value is fetched from memory once.
    """
    xp = array_namespace(a)
    cpu = is_numpy_array(a)
    long = cpu and weights is None and a.shape[1] > SHORT and min(len(a), len(b)) <= FEW
    if long and a.flags.c_contiguous and b.flags.c_contiguous:
        from striate.solvers._moments import moments

        return moments(a, b, middles, threads)[: 5 if totals else 3]
    step = CHUNK if cpu else ON_GPU

    def part(start: int) -> list[Array]:
        now = slice(start, start + step)
        z = [xp.astype(rows[:, now], xp.float64, copy=False) for rows in (a, b)]
        if middles is not None:
            z = [rows - middle[:, None] for rows, middle in zip(z, middles, strict=True)]
        if weights is not None:
            z = [rows * weights[now] for rows in z]
        found = [z[0] @ z[1].T, xp.linalg.vecdot(z[0], z[0]), xp.linalg.vecdot(z[1], z[1])]
        return found + ([xp.sum(rows, axis=1) for rows in z] if totals else [])

    starts = range(0, a.shape[1], step)
    work = 2.0 * a.shape[1] * (a.shape[0] + 2) * (b.shape[0] + 2)
    # to look for BLAS and limit it takes milliseconds, more than a small comparison does
    if not cpu or fitting(threads, work) == 1:
        found = [part(start) for start in starts]
    else:
        with workers(fitting(threads, work)) as pool:
            found = pool.map(part, starts)
    return [_total(column) for column in zip(*found, strict=True)]


def cosines(
    sums: Sequence[Array],
    middles: tuple[Array, Array] | None,
    like: Array,
    flat: str,
) -> Float[Array, "layer subject"]:
    """Return a'b / (|a| |b|) in the type of `like`; raises `DataError` for a row without length."""
    xp = array_namespace(like)
    n = like.shape[1]
    for k, name in enumerate("ab"):
        size = sums[1 + k]
        # a constant row leaves only the rounding of its mean
        least = 0.0 if middles is None else (1e-13 * middles[k]) ** 2 * n
        short = size <= least
        if bool(xp.any(short)):
            row = int(xp.argmax(xp.astype(short, xp.int64)))
            raise DataError(
                f"row {row} of {name} is {flat}, so its similarity to others is undefined: leave it"
                " out"
            )
    values = sums[0] / xp.sqrt(sums[1])[:, None] / xp.sqrt(sums[2])
    return xp.astype(xp.clip(values, min=-1.0, max=1.0), like.dtype, copy=False)


def _total(parts: Sequence[Array]) -> Array:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _drifted(rest: Array, size: Array, n: int) -> bool:
    """Whether a mean lay so far from its pilot that digits were lost."""
    xp = array_namespace(rest)
    return bool(xp.any(rest * rest > 100.0 * n * size))


def _all_finite(a: Array) -> bool:
    xp = array_namespace(a)
    return bool(xp.all(xp.isfinite(a)))


def _unit(rows: Float[np.ndarray, "layer pair"], name: str) -> Float[np.ndarray, "layer pair"]:
    """Return the rows in float64, centred and of unit length."""
    z = rows.astype(np.float64) - means(rows, f"{name} of RDMs")[:, None]
    norm = np.linalg.norm(z, axis=1)
    flat = norm <= 1e-13 * np.linalg.norm(rows.astype(np.float64), axis=1)
    if flat.any():
        raise DataError(
            f"row {int(flat.argmax())} of {name} is constant, so its correlation is undefined:"
            " leave it out"
        )
    return np.asarray(z / norm[:, None])
