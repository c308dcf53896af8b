"""The covariance of noise over features, shrunk until it can be inverted, and rows freed of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float
from scipy.linalg.blas import dtrmm, strmm

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, double, gram, on_cpu


class Shrunk(NamedTuple):
    """A covariance (feature feature) and how far it was drawn to its target, from 0 to 1."""

    covariance: Array
    shrinkage: float


def shrunk_covariance(
    residuals: Float[Array, "row feature"],
    towards: Literal["diagonal", "identity"] = "diagonal",
    degrees: int | None = None,
) -> Shrunk:
    """Return the covariance of features over residual rows, shrunk by the least expected error.

    Towards the ``diagonal``, correlations are shrunk and variances kept (Schäfer & Strimmer 2005,
    doi:10.2202/1544-6115.1175): r* = (1 - l) r with l = sum Var(r) / sum r^2 over pairs of
    features. Towards the ``identity``, all are shrunk to their mean variance (Ledoit & Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4). `degrees` of freedom are rows - 1 by default; residuals of
    a model have as many fewer as it had regressors. Computed and returned in float64. Raises
    `DataError` for NaN, for fewer than three rows, and for a feature that never varies, which has
    no correlation.

    >>> rows = np.array([[1.0, 2.0], [-1.0, -2.0], [1.0, -2.0], [-1.0, 2.0]])
    >>> shrunk_covariance(rows, degrees=4).covariance
    array([[1., 0.], [0., 4.]])
    """
    (residuals,), back = on_cpu(residuals)
    check_finite("the residuals", residuals, "feature")
    n = residuals.shape[0]
    free = n - 1 if degrees is None else degrees
    if n < 3 or free < 1:
        raise DataError(
            f"{n} residual rows with {free} degrees of freedom tell no covariance: give at least"
            " three rows"
        )
    xp = array_namespace(residuals)
    z = double(residuals)
    z = z - xp.mean(z, axis=0)
    variance = xp.sum(z * z, axis=0)
    flat = variance <= (1e-14 * xp.max(xp.abs(double(residuals)), axis=0)) ** 2 * n
    if bool(xp.all(flat)) or (towards == "diagonal" and bool(xp.any(flat))):
        k = int(xp.argmax(xp.astype(flat, xp.int64)))
        raise DataError(
            f"feature {k} of the residuals never varies, so it has no correlations: leave it out"
        )
    share = _to_diagonal(z, variance) if towards == "diagonal" else _to_identity(z)
    covariance = gram(z) / free
    index = xp.arange(covariance.shape[0], device=device(covariance))
    diagonal = xp.asarray(covariance[index, index], copy=True)
    covariance *= 1.0 - share
    if towards == "diagonal":
        covariance[index, index] = diagonal
    else:
        covariance[index, index] += share * xp.mean(diagonal)
    return Shrunk(back(covariance), share)


def _to_diagonal(z: Float[Array, "row feature"], variance: Float[Array, " feature"]) -> float:
    """Return sum of Var(r) over sum of r^2, for pairs of different features."""
    xp = array_namespace(z)
    n = z.shape[0]
    z = z / xp.sqrt(variance / (n - 1))
    # sums over i != j of sum_k (z_ki z_kj)^2 and (sum_k z_ki z_kj)^2, without a matrix per row
    squares = z * z
    fourth = float(xp.sum(xp.sum(squares, axis=1) ** 2) - xp.sum(squares * squares))
    r = _kernel(z) if n < z.shape[1] else gram(z)
    second = float(xp.sum(r * r)) - z.shape[1] * float(n - 1) ** 2
    if second <= 0:
        return 1.0
    spread = n / (n - 1.0) ** 3 * (fourth - second / n)
    return min(1.0, max(0.0, spread * (n - 1.0) ** 2 / second))


def _to_identity(z: Float[Array, "row feature"]) -> float:
    """Return b^2 / d^2 of Ledoit & Wolf: the error of the covariance over its distance to m I."""
    xp = array_namespace(z)
    n, p = z.shape
    s = _kernel(z) if n < p else gram(z)
    square = float(xp.sum(s * s)) / n**2
    mean = float(xp.sum(z * z)) / (n * p)
    distance = square - p * mean**2
    lengths = xp.sum(z * z, axis=1)
    error = (float(xp.sum(lengths * lengths)) / n - square) / n
    return min(1.0, error / distance) if distance > 1e-14 * square else 1.0


def _kernel(z: Float[Array, "row feature"]) -> Float[Array, "row row"]:
    return z @ z.T


def precision_of(covariance: Float[Array, "feature feature"]) -> Float[Array, "feature feature"]:
    """Return the inverse of a covariance; raises `DataError` where it is not positive definite.

    >>> precision_of(np.array([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ], [0.  , 0.25]])
    """
    (covariance,), back = on_cpu(covariance)
    root = factor(covariance, "the covariance")
    if is_numpy_array(root):
        inverse, _ = scipy.linalg.lapack.get_lapack_funcs("potri", (root,))(root, lower=1)
        return back(np.tril(inverse) + np.tril(inverse, -1).T)
    xp = array_namespace(root)
    half = xp.linalg.inv(root)
    return half.T @ half


def factor(
    matrix: Float[Array, "feature feature"], name: str = "the noise precision"
) -> Float[Array, "feature feature"]:
    """Return the lower L with L L' = `matrix`; raises `DataError` where there is none.

    >>> factor(np.array([[4.0, 0.0], [0.0, 9.0]]))
    array([[2., 0.], [0., 3.]])
    """
    xp = array_namespace(matrix)
    # two thin products see what is not symmetric or not finite, without a second matrix
    probe = xp.linspace(1.0, 2.0, matrix.shape[0], dtype=matrix.dtype, device=device(matrix))
    down, across = matrix @ probe, matrix.T @ probe
    size = float(xp.max(xp.abs(down)))
    if not np.isfinite(size):
        check_finite(name, matrix, "feature")
    if float(xp.max(xp.abs(down - across))) > 1e4 * xp.finfo(matrix.dtype).eps * size:
        raise DataError(f"{name} is not symmetric")
    try:
        if is_numpy_array(matrix):
            return scipy.linalg.cholesky(matrix, lower=True, check_finite=False)
        return xp.linalg.cholesky(matrix)
    except RuntimeError as error:  # torch
        reason: Exception = error
    except scipy.linalg.LinAlgError as error:
        reason = error
    raise DataError(
        f"{name} is not positive definite: estimate it with shrinkage (shrunk_covariance)"
    ) from reason


def whitened(
    rows: Float[Array, "row feature"], root: Float[Array, "feature feature"]
) -> Float[Array, "row feature"]:
    """Return `rows` L for a lower triangular L; NumPy rows in C order are overwritten.

    Products of whitened rows are those under the precision L L': (x L)(y L)' = x L L'y'.

    >>> whitened(np.array([[1.0, 1.0]]), np.array([[2.0, 0.0], [1.0, 3.0]]))
    array([[3., 3.]])
    """
    if not is_numpy_array(rows):
        return rows @ root
    multiply = strmm if rows.dtype == np.float32 else dtrmm
    # half the operations of a full product; rows in C order are columns in Fortran's
    if root.flags.f_contiguous:
        return np.asarray(multiply(1.0, root, rows.T, lower=1, trans_a=1, overwrite_b=1)).T
    return np.asarray(multiply(1.0, root.T, rows.T, lower=0, overwrite_b=1)).T
