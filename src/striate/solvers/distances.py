"""Dissimilarities between all pairs of stimuli as one matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, on_cpu
from striate.solvers.noise import factor, whitened


def correlation_distances(
    x: Float[Array, "stimulus feature"], *, double: bool = True
) -> Float[Array, "stimulus stimulus"]:
    """Return 1 - Pearson correlation of every two rows: 0 is alike, 2 is opposite.

    d_ij = 1 - z_i'z_j with z_i = (x_i - mean(x_i)) / |x_i - mean(x_i)|. That difference cancels
    for rows that are alike, so float32 data is computed in float64 unless `double` is off; the
    result has the type of `x`, is exactly symmetric and has a zero diagonal. Raises `DataError`
    for NaN and for a row that is constant, whose correlation is undefined. Kriegeskorte, Mur &
    Bandettini 2008, doi:10.3389/neuro.06.004.2008.

    >>> correlation_distances(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).round(9)
    array([[0., 2.], [2., 0.]])
    """
    return _one_minus_cosine(x, double, centre=True)


def cosine_distances(
    x: Float[Array, "stimulus feature"], *, double: bool = True
) -> Float[Array, "stimulus stimulus"]:
    """Return 1 - cosine of the angle between every two rows.

    d_ij = 1 - x_i'x_j / (|x_i| |x_j|). Types, symmetry and errors as for `correlation_distances`;
    here a row of zeros is the undefined one.

    >>> cosine_distances(np.array([[1.0, 0.0], [0.0, 3.0]]))
    array([[0., 1.], [1., 0.]])
    """
    return _one_minus_cosine(x, double, centre=False)


def squared_euclidean_distances(
    x: Float[Array, "stimulus feature"], *, double: bool = True
) -> Float[Array, "stimulus stimulus"]:
    """Return |x_i - x_j|^2 of every two rows, in units of x squared.

    d_ij = |x_i|^2 + |x_j|^2 - 2 x_i'x_j about the mean row. That difference cancels for rows that
    are close, so float32 data is computed in float64 unless `double` is off; the result has the
    type of `x`, is exactly symmetric, never negative and has a zero diagonal. Raises `DataError`
    for NaN.

    >>> squared_euclidean_distances(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[ 0., 25.], [25., 0.]])
    """
    return _squared(x, double, root=False)


def euclidean_distances(
    x: Float[Array, "stimulus feature"], *, double: bool = True
) -> Float[Array, "stimulus stimulus"]:
    """Return |x_i - x_j| of every two rows: the root of `squared_euclidean_distances`.

    >>> euclidean_distances(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[0., 5.], [5., 0.]])
    """
    return _squared(x, double, root=True)


def squared_mahalanobis_distances(
    x: Float[Array, "stimulus feature"], precision: Array, *, double: bool = True
) -> Float[Array, "stimulus stimulus"]:
    """Return (x_i - x_j)' P (x_i - x_j) of every two rows, P the precision of noise.

    One triangular product by the root of P, then as `squared_euclidean_distances`. `precision` is
    a matrix (feature feature), such as the inverse of a shrunk covariance
    (`noise.shrunk_covariance`, `noise.precision_of`), or the inverse variances of features.
    Raises `DataError` for NaN and for a precision that is not positive definite.

    >>> x, p = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([1.0, 0.25])
    >>> squared_mahalanobis_distances(x, p)
    array([[ 0., 13.], [13., 0.]])
    """
    return _mahalanobis(x, precision, double, root=False)


def mahalanobis_distances(
    x: Float[Array, "stimulus feature"], precision: Array, *, double: bool = True
) -> Float[Array, "stimulus stimulus"]:
    """Return the root of `squared_mahalanobis_distances`.

    >>> mahalanobis_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.eye(2))
    array([[0., 5.], [5., 0.]])
    """
    return _mahalanobis(x, precision, double, root=True)


def upper_triangle(rdm: Float[Array, "*batch stimulus stimulus"]) -> Float[Array, "*batch pair"]:
    """Return the entries above the diagonal, row by row: the order of scipy's `squareform`.

    Works on one RDM or on any stack of them; raises `DataError` if the last two axes differ.

    >>> upper_triangle(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]))
    array([1., 2., 3.])
    """
    n = rdm.shape[-1]
    if rdm.shape[-2] != n:
        raise DataError(
            f"an RDM of shape {tuple(rdm.shape)} is not square: give stimulus x stimulus"
        )
    rows, columns = _pairs(rdm, n)
    return rdm[..., rows, columns]


def from_pairs(pairs: Float[Array, "*batch pair"]) -> Float[Array, "*batch stimulus stimulus"]:
    """Return the symmetric RDM with a zero diagonal: the inverse of `upper_triangle`.

    Raises `DataError` if the number of pairs is none of n (n - 1) / 2.

    >>> from_pairs(np.array([1.0, 2.0, 3.0]))
    array([[0., 1., 2.], [1., 0., 3.], [2., 3., 0.]])
    """
    n = stimuli_of(pairs)
    xp = array_namespace(pairs)
    rows, columns = _pairs(pairs, n)
    rdm = xp.zeros((*pairs.shape[:-1], n, n), dtype=pairs.dtype, device=device(pairs))
    rdm[..., rows, columns] = pairs
    rdm[..., columns, rows] = pairs
    return rdm


def stimuli_of(pairs: Float[Array, "*batch pair"]) -> int:
    """Return the number of stimuli that have so many pairs; raises `DataError` if there is none.

    >>> stimuli_of(np.zeros(6))
    4
    """
    count = pairs.shape[-1]
    n = (1 + round((1 + 8 * count) ** 0.5)) // 2
    if n * (n - 1) // 2 != count:
        raise DataError(
            f"{count} pairs are those of no number of stimuli: give n (n - 1) / 2, "
            f"for example {n * (n - 1) // 2} for {n}"
        )
    return n


def shared(z: Float[Array, "*batch feature"], middle: Float[Array, "*run feature"]) -> bool:
    """Whether `middle`, the mean of rows, makes up so much of them that it should be taken away.

    Distances do not change, and a copy of all rows is saved where at most two bits would be won.

    >>> shared(np.eye(4), np.full(4, 0.25)), shared(5 + np.eye(4), np.full(4, 5.25))
    (False, True)
    """
    xp = array_namespace(z)
    rows = z.shape[-2]
    # not xp.all(<=): NaN says yes
    return not bool(xp.sum(middle * middle) * rows <= 0.75 * xp.sum(xp.linalg.vecdot(z, z)))


def _pairs(like: Array, n: int) -> tuple[Any, Any]:
    xp = array_namespace(like)
    rows, columns = np.triu_indices(n, 1)
    where = device(like)
    return xp.asarray(rows, device=where), xp.asarray(columns, device=where)


def _one_minus_cosine(x: Array, double: bool, *, centre: bool) -> Array:
    (x,), back = on_cpu(x)
    xp = array_namespace(x)
    z = xp.astype(x, xp.float64, copy=False) if double else x
    if centre:
        # a product takes a fifth of the time of a sum by halves, whose digits float32 needs
        fast = z.dtype == xp.float64
        p = z.shape[1]
        middle = (
            z @ xp.full((p,), 1.0 / p, dtype=z.dtype, device=device(z))
            if fast
            else xp.mean(z, axis=1)
        )
        z = z - middle[:, None]
    d = _product(z)
    squares = xp.asarray(xp.linalg.diagonal(d), copy=True)
    if not bool(xp.isfinite(xp.sum(squares))):
        check_finite("x", x, "feature")
    # a constant row leaves only the rounding of its mean
    size = squares + x.shape[1] * middle * middle if centre else squares
    flat = squares <= (8 * xp.finfo(z.dtype).eps) ** 2 * size
    if bool(xp.any(flat)):
        row = int(xp.argmax(xp.astype(flat, xp.int64)))
        what = "constant" if centre else "zero"
        raise DataError(
            f"stimulus {row} is {what} over its {x.shape[1]} features, so its distance is "
            f"undefined: leave it out or choose Euclidean distances"
        )
    scale = 1.0 / xp.sqrt(squares)
    for rows in _bands(d):
        d[rows] *= -(scale[rows, None] * scale)
        d[rows] += 1.0
    return back(xp.astype(_finish(d), x.dtype, copy=False))


def _squared(x: Array, double: bool, *, root: bool) -> Array:
    (x,), back = on_cpu(x)
    xp = array_namespace(x)
    z = xp.astype(x, xp.float64, copy=False) if double else x
    middle = xp.ones(z.shape[0], dtype=z.dtype, device=device(z)) @ z / z.shape[0]
    if not bool(xp.isfinite(xp.sum(middle))):
        check_finite("x", x, "feature")
    if z is not x:
        z -= middle
    elif shared(z, middle):
        z = z - middle
    d = _product(z)
    squares = xp.asarray(xp.linalg.diagonal(d), copy=True)
    for rows in _bands(d):
        d[rows] *= -2.0
        # one sum: two would round differently above and below
        d[rows] += squares[rows, None] + squares
    d = _finish(d)
    return back(xp.astype(xp.sqrt(d) if root else d, x.dtype, copy=False))


def _mahalanobis(x: Array, precision: Array, double: bool, *, root: bool) -> Array:
    (x, precision), back = on_cpu(x, precision)
    xp = array_namespace(x)
    check_finite("x", x, "feature")
    p = x.shape[1]
    if tuple(precision.shape) not in ((p,), (p, p)):
        raise DataError(
            f"a precision of shape {tuple(precision.shape)} does not belong to {p} features"
        )
    kind = xp.float64 if double else x.dtype
    z = xp.astype(x, kind, copy=True)
    z -= xp.mean(z, axis=0)
    precision = xp.astype(precision, kind, copy=False)
    if precision.ndim == 2:
        z = whitened(z, factor(precision))
    else:
        check_finite("the noise precision", precision[:, None], "feature")
        if not bool(xp.all(precision > 0)):
            raise DataError("the noise precision of every feature must be positive")
        z = z * xp.sqrt(precision)
    return back(xp.astype(_squared(z, False, root=root), x.dtype, copy=False))


def _product(z: Float[Array, "stimulus feature"]) -> Float[Array, "stimulus stimulus"]:
    """Return z z', exactly symmetric."""
    product = z @ z.T
    if is_numpy_array(z):  # NumPy computes one triangle and mirrors it
        return product
    return (product + product.T) / 2


def _finish(d: Float[Array, "stimulus stimulus"]) -> Float[Array, "stimulus stimulus"]:
    """Take away, in place, what rounding left on the diagonal and below zero."""
    xp = array_namespace(d)
    index = xp.arange(d.shape[0], device=device(d))
    d[index, index] = 0.0
    return np.maximum(d, 0.0, out=d) if is_numpy_array(d) else xp.clip(d, min=0.0)


def _bands(d: Float[Array, "stimulus stimulus"]) -> list[slice]:
    """Return ranges of rows: on the CPU few, so that what is made for them stays in the cache."""
    n = d.shape[0]
    step = 64 if is_numpy_array(d) else n
    return [slice(i, i + step) for i in range(0, n, step)]
