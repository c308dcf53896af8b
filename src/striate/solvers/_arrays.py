"""The few operations that NumPy, CPU tensors and GPU tensors do differently."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import array_api_compat
import numpy as np
import scipy.linalg
from array_api_compat import array_namespace
from jaxtyping import Float
from threadpoolctl import ThreadpoolController

from striate.errors import DataError

Array = Any
"""A NumPy array or a torch tensor."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_cpu(*arrays: Any) -> tuple[tuple[Any, ...], Callable[[Any], Any]]:
    """Return CPU tensors as NumPy views, and the function that brings a result back.

    NumPy's products are faster than torch's on a CPU, and the view costs nothing; arrays on a
    GPU pass through untouched.
    """
    first = arrays[0]
    if array_api_compat.is_torch_array(first) and first.device.type == "cpu":
        import torch

        return tuple(
            a.detach().numpy() if array_api_compat.is_torch_array(a) else a for a in arrays
        ), torch.from_numpy
    return arrays, lambda a: a


def check_finite(name: str, a: Float[Array, "row column"], column: str) -> None:
    """Raise a `DataError` that names the first NaN or infinity of `a`, if there is one."""
    xp = array_api_compat.array_namespace(a)
    with np.errstate(all="ignore"):
        if bool(xp.isfinite(xp.sum(a))):  # one cheap pass: a sum keeps every NaN and infinity
            return
    bad = np.asarray(array_api_compat.to_device(~xp.isfinite(a), "cpu"))
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise DataError(
            f"{name} has {int(bad.sum())} values that are NaN or infinite, the first in row {i}, "
            f"{column} {j}: drop or fill these rows or {column}s first"
        )


def eigh(
    a: Float[Array, "n n"], *, overwrite: bool = False
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return ascending eigenvalues and the eigenvectors (columns) of a symmetric matrix.

    `overwrite` lends the memory of `a`, which holds nothing of use afterwards.
    """
    if isinstance(a, np.ndarray):
        # divide and conquer: 1.7 times faster than scipy's default driver; LAPACK works in place
        # on columns, which the rows of a symmetric matrix are as well
        return scipy.linalg.eigh(a.T, driver="evd", check_finite=False, overwrite_a=overwrite)
    xp = array_api_compat.array_namespace(a)
    values, vectors = xp.linalg.eigh(a)
    return values, vectors


def double(a: Array) -> Array:
    """Return `a` in float64, without a copy where it already is."""
    xp = array_api_compat.array_namespace(a)
    return xp.astype(a, xp.float64, copy=False)


def rounded(
    mean: Float[Array, " feature"],
    level: Float[Array, " target"],
    coef: Float[Array, "feature target"],
    dtype: Any,
) -> tuple[Float[Array, " feature"], Float[Array, " target"]]:
    """Return the means of features and targets in `dtype`, for `(x - center) @ coef + level`.

    What rounding takes from the means of features goes into the level, so that predictions are
    those about the means in float64.
    """
    xp = array_namespace(coef)
    center = xp.astype(mean, dtype, copy=False)
    if dtype != xp.float64:
        # a few parts in 10^8 of a mean: float32 keeps digits enough of that
        lost = xp.astype(double(mean) - double(center), coef.dtype)
        level = double(level) - double(lost @ coef)
    return center, xp.astype(level, dtype, copy=False)


def intercept_of(
    coef: Float[Array, "feature target"],
    center: Float[Array, " feature"],
    level: Float[Array, " target"],
) -> Float[Array, " target"]:
    """Return `level - center @ coef`, summed in float64, in the type of `coef`."""
    xp = array_namespace(coef)
    parts = [coef[:, i : i + CHUNK] for i in range(0, coef.shape[1], CHUNK)]
    shift = xp.concat([double(center) @ double(part) for part in parts])
    return xp.astype(double(level) - shift, coef.dtype, copy=False)


CHUNK = 4096
"""Rows of a Gram matrix, or columns of coefficients, to convert to float64 at once."""


def gram(x: Float[Array, "row feature"], chunk: int = CHUNK) -> Float[Array, "feature feature"]:
    """Return X'X, accumulated in float64 a chunk of rows at a time.

    >>> gram(np.array([[1.0, 0.0], [1.0, 2.0]]))
    array([[2., 2.],
           [2., 4.]])
    """
    parts = (double(x[i : i + chunk]) for i in range(0, max(x.shape[0], 1), chunk))
    total = None
    for part in parts:
        product = part.T @ part  # NumPy sees the transpose and computes one triangle only
        if total is None:
            total = product
        else:
            total += product
    return total


class Workers:
    """A pool of Python threads, each of which computes with one BLAS thread.

    Many small decompositions and products run faster side by side than one after another with
    all BLAS threads inside each. NumPy lets go of the interpreter inside BLAS, so threads do.
    """

    def __init__(self, threads: int, pool: ThreadPoolExecutor | None) -> None:
        self.threads = threads
        self._pool = pool

    def map(self, job: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return `job(item)` for every item, in order."""
        if self._pool is None:
            return [job(item) for item in items]
        return list(self._pool.map(job, items))


BLAS_FROM = ("numpy", "scipy.linalg", "torch", "mkl", "jax", "cupy", "faiss", "cv2")
"""Modules that bring a BLAS of their own into the process when they are imported."""


@lru_cache(maxsize=4)
def _blas(loaded: tuple[bool, ...]) -> Any:
    """Return the controller of every BLAS; looking for them takes longer than a small fit."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def workers(threads: int | None, *, gpu: bool = False) -> Iterator[Workers]:
    """Open `Workers`; `threads=None` means as many as BLAS would use now. Restores BLAS after."""
    if gpu:  # the GPU is parallel inside
        yield Workers(1, None)
        return
    controller = _blas(tuple(name in sys.modules for name in BLAS_FROM))
    if threads is None:
        threads = max((lib["num_threads"] for lib in controller.info()), default=1)
    if threads <= 1:
        with controller.limit(limits=1):
            yield Workers(1, None)
        return
    with controller.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        yield Workers(threads, pool)
