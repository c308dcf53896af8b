"""Inverses of positive definite matrices, of which one triangle is enough, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import scipy.linalg
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.solvers._arrays import Array

SINGLE = 3e-3
"""The least eigenvalue relative to the largest below which float32 inverts too roughly."""
ROUNDS = 8  # of the power iteration


class IndefiniteError(ArithmeticError):
    """A kernel has no digits left for a penalty."""


def raised(a: Float[Array, "n n"], alpha: float) -> Float[Array, "n n"]:
    """Add `alpha` to the diagonal of `a`, in place."""
    a.reshape(-1)[:: a.shape[0] + 1] += alpha
    return a


def largest(a: Float[Array, "n n"]) -> float:
    """Return the largest eigenvalue of a kernel, from above, to about a tenth."""
    xp, n = array_namespace(a), a.shape[0]
    v = xp.ones((n, 4), dtype=a.dtype, device=device(a))
    v[:, 1:] = xp.stack([a[:, k * n // 3] for k in range(3)], axis=1)
    size = 0.0
    for _ in range(ROUNDS):
        v = a @ v
        sizes = xp.sqrt(xp.sum(v * v, axis=0))
        size = float(xp.max(sizes))
        v = v / xp.where(sizes > 0, sizes, xp.ones_like(sizes))
    return 1.1 * size


def inverse(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the inverse of a positive definite matrix, of which it takes the memory.

    Only its lower triangle is to be used.
    """
    if is_numpy_array(a):
        potrf, potri = scipy.linalg.get_lapack_funcs(("potrf", "potri"), (a,))
        # the rows of a symmetric matrix are its columns: no copy
        half, failed = potrf(a.T, lower=False, overwrite_a=True, clean=False)
        if failed:
            raise IndefiniteError
        return potri(half, lower=False, overwrite_c=True)[0].T
    import torch

    half, failed = torch.linalg.cholesky_ex(a)
    if bool(failed.any()):
        raise IndefiniteError
    return torch.cholesky_inverse(half)


def solver(a: Float[Array, "n n"]) -> Callable[[Any], Any]:
    """Return what solves `a x = b` for a positive definite matrix, of which it takes the memory."""
    if is_numpy_array(a):
        potrf, potrs = scipy.linalg.get_lapack_funcs(("potrf", "potrs"), (a,))
        half, failed = potrf(a.T, lower=False, overwrite_a=True, clean=False)
        if failed:
            raise IndefiniteError
        return lambda b: potrs(half, b, lower=False)[0]
    import torch

    half, failed = torch.linalg.cholesky_ex(a)
    if bool(failed.any()):
        raise IndefiniteError
    return lambda b: torch.cholesky_solve(b, half)


def mirrored(lower: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the symmetric matrix of which `lower` is the lower triangle."""
    xp = array_namespace(lower)
    return xp.tril(lower) + xp.tril(lower, k=-1).T


def times(lower: Float[Array, "n n"], b: Float[Array, "target n"]) -> Float[Array, "target n"]:
    """Return `b a` for the symmetric matrix of which `lower` is the lower triangle."""
    if not is_numpy_array(lower):
        return b @ mirrored(lower)
    (symm,) = scipy.linalg.get_blas_funcs(("symm",), (lower, b))
    return symm(1.0, lower.T, b.T, side=0, lower=0).T  # views: BLAS goes by columns
