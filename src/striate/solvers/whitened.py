"""How alike RDMs are once the errors of distances, which share stimuli, are made independent."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, double, on_cpu, workers
from striate.solvers._budget import Need, fitting
from striate.solvers.distances import from_pairs, stimuli_of
from striate.solvers.similarity import check_pairs, cosines, means, products

SHORT = 20_000
"""Pairs up to which sums are not worth a compiled loop."""


def whitened_need(rows: int, stimuli: int) -> Need:
    """Return what whitening with a full covariance takes: `rows` matrices, and two for each more.

    >>> whitened_need(8, 1000).fixed
    72000000
    """
    what = f"the whitened comparison with {rows:,} RDMs of {stimuli:,} stimuli"
    square = 8 * stimuli * stimuli
    return Need(what, fixed=(rows + 1) * square, each=3 * square)


def whitened_cosine(
    a: Float[Array, "layer pair"],
    b: Float[Array, "subject pair"],
    covariance: Array | None = None,
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Float[Array, "layer subject"]:
    """Return the whitened cosine of every row of `a` with every row of `b`.

    a'V^-1 b / sqrt(a'V^-1 a b'V^-1 b), where V is the covariance of distance estimates whose
    patterns have errors with `covariance` over stimuli (stimulus stimulus, or their variances;
    independent and equal by default): V = (C S C') * (C S C'), C the contrasts of all pairs
    (Diedrichsen et al. 2021, arXiv:2007.02789). V is never built: as

    a'V^-1 b = tr(M A M B) / 4,  M = S^-1 - S^-1 11'S^-1 / 1'S^-1 1

    for the square matrices A and B of distances, which for equal variances is the centred kernel
    alignment of the two kernels. Rows are all pairs in the order of `upper_triangle`. Raises
    `DataError` for NaN, for rows that say nothing, for a number of pairs that is none of
    n (n - 1) / 2, and for a covariance that is not positive definite.

    >>> a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 1.0, 1.0]])
    >>> whitened_cosine(a, a).round(9), whitened_cosine(a, b).round(4)
    (array([[1.]]), array([[0.866]]))
    """
    return _whitened(a, b, covariance, memory, threads, centred=False)


def whitened_pearson(
    a: Float[Array, "layer pair"],
    b: Float[Array, "subject pair"],
    covariance: Array | None = None,
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Float[Array, "layer subject"]:
    """Return the whitened correlation: `whitened_cosine` of rows whose mean is taken away first.

    For distances whose zero means nothing, such as those that are not cross-validated.

    >>> whitened_pearson(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 3.0, 4.0]])).round(9)
    array([[1.]])
    """
    return _whitened(a, b, covariance, memory, threads, centred=True)


def _whitened(
    a: Array, b: Array, covariance: Array | None, memory: int, threads: int | None, *, centred: bool
) -> Array:
    if covariance is None:
        (a, b), back = on_cpu(a, b)
    else:
        (a, b, covariance), back = on_cpu(a, b, covariance)
        _check_covariance(covariance, stimuli_of(a))
    check_pairs(a, b)
    n = stimuli_of(a)
    xp = array_namespace(a)
    middles = means(a, "the first set of RDMs"), means(b, "the second set of RDMs")
    if covariance is not None and covariance.ndim == 2:
        found = _full(a, b, middles, double(covariance), memory)
    else:
        weights = xp.ones(n, dtype=xp.float64, device=device(a))
        if covariance is not None:
            weights = 1.0 / double(covariance)
        found = _diagonal(a, b, middles, weights, covariance is None, threads)
    sums, traces, square = found
    if not centred:
        # a constant c over all pairs is the matrix c (11' - I), and M (11' - I) = -M
        m, t = middles, traces
        cross, own_a, own_b = sums
        cross = cross - t[0][:, None] * m[1] - m[0][:, None] * t[1] + square * m[0][:, None] * m[1]
        own_a = own_a - 2 * m[0] * t[0] + square * m[0] ** 2
        own_b = own_b - 2 * m[1] * t[1] + square * m[1] ** 2
        sums = cross, own_a, own_b
    return back(cosines(sums, middles if centred else None, a, "constant" if centred else "zero"))


Sums = tuple[tuple[Array, Array, Array], tuple[Array, Array], float]
"""tr(MAMB) of all pairs and of each with itself; tr(MAM) of both sets; tr(MM)."""


def _diagonal(
    a: Array,
    b: Array,
    middles: tuple[Array, Array],
    w: Float[Array, " stimulus"],
    equal: bool,
    threads: int | None,
) -> Sums:
    """Return the sums for independent errors, from entries and row sums; rows minus `middles`."""
    xp = array_namespace(a)
    n = w.shape[0]
    if equal:
        each = None
    else:
        root = xp.sqrt(w)
        each = xp.concat([root[i] * root[i + 1 :] for i in range(n - 1)])
    cross, own_a, own_b = products(a, b, middles, each, threads=threads)
    r_a, r_b = (_row_sums(rows, m, w, threads) for rows, m in zip((a, b), middles, strict=True))
    total, squares = xp.sum(w), xp.sum(w * w)
    t_a, t_b = r_a @ w, r_b @ w
    found = (
        2 * cross - 2 * (r_a * w) @ r_b.T / total + t_a[:, None] * t_b / total**2,
        2 * own_a - 2 * (r_a * r_a) @ w / total + t_a**2 / total**2,
        2 * own_b - 2 * (r_b * r_b) @ w / total + t_b**2 / total**2,
    )
    traces = [squares * t / total**2 - 2 * r @ (w * w) / total for r, t in ((r_a, t_a), (r_b, t_b))]
    square = float(squares - 2 * xp.sum(w**3) / total + squares**2 / total**2)
    return found, (traces[0], traces[1]), square


def _row_sums(
    rows: Float[Array, "layer pair"],
    middle: Float[Array, " layer"],
    w: Float[Array, " stimulus"],
    threads: int | None,
) -> Float[Array, "layer stimulus"]:
    """Return D w for the square matrix D of each row minus its middle."""
    xp = array_namespace(rows)
    n = w.shape[0]
    sums = xp.zeros((rows.shape[0], n), dtype=xp.float64, device=device(rows))
    if is_numpy_array(rows) and rows.shape[1] > SHORT:
        from striate.solvers._triangles import row_sums

        with workers(fitting(threads, 4.0 * rows.size)) as pool:
            pool.map(lambda k: row_sums(rows[k], w, sums[k]), range(len(rows)))
    else:
        starts = np.cumsum([0, *range(n - 1, 0, -1)]).tolist()
        for i, (start, stop) in enumerate(pairwise(starts)):
            part = double(rows[:, start:stop])
            sums[:, i] += part @ w[i + 1 :]
            sums[:, i + 1 :] += w[i] * part
    return sums - middle[:, None] * (xp.sum(w) - w)


def _full(
    a: Array,
    b: Array,
    middles: tuple[Array, Array],
    covariance: Float[Array, "stimulus stimulus"],
    memory: int,
) -> Sums:
    """Return the sums for any covariance, from one product M A for each RDM."""
    xp = array_namespace(a)
    n = covariance.shape[0]
    whitened_need(b.shape[0], n).check(memory)
    precision = xp.linalg.inv(covariance)
    ones = xp.sum(precision, axis=0)
    m = precision - ones[:, None] * ones / xp.sum(ones)
    m = (m + m.T) / 2

    def turned(row: Array, middle: Array) -> Array:
        return m @ from_pairs(double(row) - middle)

    others = [turned(b[k], middles[1][k]) for k in range(b.shape[0])]
    cross, own, traces = [], [], []
    for k in range(a.shape[0]):
        ma = turned(a[k], middles[0][k])
        cross.append(xp.stack([xp.sum(ma.T * mb) for mb in others]))
        own.append(xp.sum(ma.T * ma))
        traces.append(xp.sum(ma.T * m))
    of_b = xp.stack([xp.sum(mb.T * mb) for mb in others])
    traces_b = xp.stack([xp.sum(mb.T * m) for mb in others])
    return (
        (xp.stack(cross), xp.stack(own), of_b),
        (xp.stack(traces), traces_b),
        float(xp.sum(m * m)),
    )


def _check_covariance(covariance: Array, n: int) -> None:
    if tuple(covariance.shape) not in ((n,), (n, n)):
        raise DataError(
            f"a covariance of shape {tuple(covariance.shape)} does not belong to {n} stimuli: give"
            f" {n} variances or a matrix of {n} x {n}"
        )
    square = covariance[:, None] if covariance.ndim == 1 else covariance
    check_finite("the covariance of stimuli", square, "stimulus")
    if covariance.ndim == 1:
        if not bool((covariance > 0).all()):
            raise DataError("the variances of stimuli must be positive")
        return
    values = np.asarray(covariance if is_numpy_array(covariance) else covariance.cpu())
    try:
        if not np.allclose(values, values.T):
            raise DataError("the covariance of stimuli is not symmetric")
        scipy.linalg.cholesky(values, check_finite=False)
    except scipy.linalg.LinAlgError as error:
        raise DataError("the covariance of stimuli is not positive definite") from error
