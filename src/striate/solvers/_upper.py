"""Products with upper triangles, which take half of the work."""

from __future__ import annotations

from typing import Any

import scipy.linalg
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.solvers._arrays import Array

STRIP = 128  # columns at once


def times_upper(b: Float[Array, "row n"], upper: Float[Array, "n n"]) -> Float[Array, "row n"]:
    """Return `b @ upper`."""
    if not is_numpy_array(b):
        return b @ upper
    (trmm,) = scipy.linalg.get_blas_funcs(("trmm",), (upper, b))
    return trmm(1.0, upper.T, b.T, lower=1).T  # views: BLAS goes by columns


def upper_product(
    a: Float[Array, "k n"], b: Float[Array, "k n"], dtype: Any
) -> Float[Array, "n n"]:
    """Return the upper triangle of `a.T @ b`, and zeros below it."""
    xp, n = array_namespace(a), a.shape[1]
    out = xp.zeros((n, n), dtype=dtype, device=device(a))
    for start in range(0, n, STRIP):
        stop = min(start + STRIP, n)
        strip = a[:, :stop].T @ b[:, start:stop]
        out[:stop, start:stop] = xp.astype(strip, dtype, copy=False)
    return xp.triu(out)
