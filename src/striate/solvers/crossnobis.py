"""Cross-validated distances: noise that differs between runs has no part in their expectation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, on_cpu
from striate.solvers._budget import Need
from striate.solvers.distances import shared
from striate.solvers.noise import factor, precision_of, whitened


def crossnobis_need(
    runs: int, stimuli: int, features: int, size: int = 8, *, per_run: bool = False
) -> Need:
    """Return what cross-validated distances take: a copy of the patterns, factors and kernels.

    >>> crossnobis_need(8, 200, 1000).fixed
    32320000
    """
    what = f"crossnobis distances of {stimuli:,} stimuli and {features:,} features in {runs} runs"
    rows = (runs + 1) * stimuli * features
    return Need(
        what,
        fixed=size * (rows + (2 + per_run * (runs + 4)) * features**2 + 6 * stimuli**2),
        each=0,
    )


def crossnobis_distances(
    patterns: Float[Array, "run stimulus feature"],
    precision: Array | None = None,
    *,
    double: bool = True,
    memory: int = 2 << 30,
) -> Float[Array, "stimulus stimulus"]:
    """Return the squared Mahalanobis distance of every two stimuli, cross-validated over runs.

    d_ij = mean over pairs of runs m != n of (x_im - x_jm)' P (x_in - x_jn), for M runs computed
    at once from the kernel (S S' - sum_m X_m X_m') / (M (M - 1)), S the sum of the runs' patterns
    X_m (Walther et al. 2016, doi:10.1016/j.neuroimage.2015.12.012). Its expectation is the true
    distance, 0 for equal patterns: so single values may be negative, and are kept. `precision` is
    that of the noise over features: a matrix (feature feature), variances' inverses (feature), or
    one matrix for each run (run feature feature), where two runs share the mean of their
    covariances; without one, distances are squared Euclidean. In units of x squared (times those
    of the precision), summed over features and not divided by their number; exactly symmetric with
    a zero diagonal, in the type of `patterns`, computed in float64 unless `double` is off.

    Raises `DataError` for fewer than two runs, for NaN (stimuli that a run lacks:
    `crossnobis_of_rows`), and for a precision that is not positive definite.

    >>> runs = np.array([[[0.0, 0.0], [3.0, 4.0]], [[1.0, 0.0], [4.0, 4.0]]])
    >>> crossnobis_distances(runs)
    array([[ 0., 25.], [25., 0.]])
    """
    (patterns, precision), back = _arrays(patterns, precision)
    xp = array_namespace(patterns)
    runs, stimuli, features = patterns.shape
    if runs < 2:
        raise DataError(
            f"cross-validated distances need two runs or more, and there is {runs}: give squared"
            " Euclidean distances instead"
        )
    kind = xp.float64 if double else patterns.dtype
    per_run = precision is not None and precision.ndim == 3
    need = crossnobis_need(runs, stimuli, features, 8 if double else 4, per_run=per_run)
    need.check(memory)
    root = _root(precision, features, runs, kind)
    # differences within a run do not change, and far from zero digits would be lost
    middle = xp.mean(patterns, axis=1, dtype=kind)
    if not bool(xp.isfinite(xp.sum(middle))):
        for m in range(runs):
            check_finite(f"run {m} of the patterns", patterns[m], "feature")
    if root is None:
        if patterns.dtype == kind and not shared(patterns, middle):
            kernel = _crossed(patterns, xp.sum(patterns, axis=0))
        else:
            kernel = _crossed(patterns[m] - middle[m] for m in range(runs))
    elif root.ndim < 3:
        freed = _freed(patterns - middle[:, None, :], root)
        kernel = _crossed(freed, xp.sum(freed, axis=0))
    else:
        kernel = 0.0
        for m, n in combinations(range(runs), 2):
            x, y = patterns[m] - middle[m], patterns[n] - middle[n]
            kernel = kernel + _between(x, y, root[m] + root[n])
        kernel /= runs * (runs - 1) / 2
        kernel = (kernel + kernel.T) / 2
    return back(xp.astype(_distances(kernel), patterns.dtype, copy=False))


def crossnobis_of_rows(
    rows: Float[Array, "row feature"],
    stimulus: Sequence[Any],
    run: Sequence[Any],
    precision: Array | None = None,
    *,
    double: bool = True,
    memory: int = 2 << 30,
) -> tuple[list[Any], Float[Array, "stimulus stimulus"]]:
    """Return sorted labels and cross-validated distances of labelled rows, balanced or not.

    Rows of one stimulus in one run are averaged. A distance is the mean over pairs of different
    runs that hold both of its stimuli, so that whatever a run adds to all its patterns cancels,
    and is that of `crossnobis_distances` where all runs hold all stimuli. Errors as there, and a
    `DataError` that names two stimuli that share fewer than two runs.

    >>> rows = np.array([[0.0], [2.0], [1.0], [3.0], [0.0], [2.0], [9.0]])
    >>> names, runs = ["a", "b", "a", "b", "a", "b", "b"], [1, 1, 2, 2, 3, 3, 1]
    >>> labels, rdm = crossnobis_of_rows(rows[:6], names[:6], runs[:6])
    >>> labels, rdm
    (['a', 'b'], array([[0., 4.], [4., 0.]]))
    """
    if not len(rows) == len(stimulus) == len(run):
        raise DataError(
            f"{len(rows)} rows have {len(stimulus)} stimuli and {len(run)} runs: label every row"
        )
    labels, of_stimulus = np.unique(np.asarray(stimulus), return_inverse=True)
    runs, of_run = np.unique(np.asarray(run), return_inverse=True)
    (rows, precision), back = _arrays(rows, precision)
    check_finite("rows", rows, "feature")
    xp = array_namespace(rows)
    n, count, p = len(labels), len(runs), rows.shape[1]
    cells = np.bincount(of_run * n + of_stimulus, minlength=count * n).reshape(count, n)
    together = (cells > 0).astype(np.int64)
    together = together.T @ together
    if n < 2 or int(together.min()) < 2:
        i, j = np.unravel_index(int(together.argmin()), together.shape)
        raise DataError(
            f"stimuli {labels[i]!s} and {labels[j]!s} share {together[i, j]} runs, but a"
            " cross-validated distance needs two: leave one out or join runs"
        )
    kind = xp.float64 if double else rows.dtype
    # the mean of each cell as a product, which is exact for single rows
    share = np.zeros((count * n, len(rows)))
    share[of_run * n + of_stimulus, np.arange(len(rows))] = 1.0
    share /= np.maximum(cells.reshape(-1, 1), 1)
    share = xp.asarray(share, dtype=kind, device=device(rows))
    patterns = (share @ xp.astype(rows, kind, copy=False)).reshape(count, n, p)
    if int(cells.min()) > 0:
        rdm = crossnobis_distances(patterns, precision, double=double, memory=memory)
        return labels.tolist(), back(xp.astype(rdm, rows.dtype, copy=False))
    per_run = precision is not None and precision.ndim == 3
    crossnobis_need(count, n, p, 8 if double else 4, per_run=per_run).check(memory)
    held = xp.asarray((cells > 0).astype(np.float64), dtype=kind, device=device(rows))
    patterns -= (xp.sum(patterns, axis=1) / xp.sum(held, axis=1)[:, None])[:, None, :]
    root = _root(precision, p, count, kind)
    if root is None or root.ndim < 3:
        patterns = _freed(patterns, root)
    total, weight = 0.0, 0.0
    for m, k in combinations(range(count), 2):
        if root is not None and root.ndim == 3:
            kernel = _between(1 * patterns[m], 1 * patterns[k], root[m] + root[k])
        else:
            kernel = patterns[m] @ patterns[k].T
        both = held[m] * held[k]
        both = both[:, None] * both
        total = total + both * _distances((kernel + kernel.T) / 2)
        weight = weight + both
    return labels.tolist(), back(xp.astype(total / weight, rows.dtype, copy=False))


def _arrays(values: Array, precision: Array | None) -> tuple[tuple[Array, Any], Any]:
    if precision is None:
        (values,), back = on_cpu(values)
        return (values, None), back
    (values, precision), back = on_cpu(values, precision)
    return (values, precision), back


def _root(precision: Array | None, features: int, runs: int, kind: Any) -> Array | None:
    """Return what frees patterns of noise: a root of the precision; of runs, their covariances."""
    if precision is None:
        return None
    shapes = ((features,), (features, features), (runs, features, features))
    if tuple(precision.shape) not in shapes:
        raise DataError(
            f"a precision of shape {tuple(precision.shape)} does not belong to {features} features"
            f" in {runs} runs: give one of {', '.join(map(str, shapes))}"
        )
    xp = array_namespace(precision)
    precision = xp.astype(precision, kind, copy=False)
    if precision.ndim == 2:
        return factor(precision)
    if precision.ndim == 3:
        return xp.stack([precision_of(precision[m]) for m in range(runs)])
    check_finite("the noise precision", precision[:, None], "feature")
    if not bool(xp.all(precision > 0)):
        raise DataError("the noise precision of every feature must be positive")
    return xp.sqrt(precision)


def _freed(x: Float[Array, "run stimulus feature"], root: Array | None) -> Array:
    """Return all patterns under the root of a precision; NumPy arrays are overwritten."""
    if root is None:
        return x
    if root.ndim == 1:
        return x * root
    return whitened(x.reshape(-1, x.shape[2]), root).reshape(x.shape)


def _crossed(
    patterns: Iterable[Float[Array, "stimulus feature"]],
    total: Float[Array, "stimulus feature"] | None = None,
) -> Float[Array, "stimulus stimulus"]:
    """Return the mean of X_m X_n' over all m != n: the products of sums minus those of each.

    `total` is the sum of all patterns where it is known; else they may be made one by one.
    """
    known = total is not None
    kernel: Any = None
    count = 0
    for x in patterns:
        own = x @ x.T
        if kernel is None:
            kernel = own
            total = total if known else x
        else:
            kernel += own
            if not known:
                total += x
        count += 1
    assert total is not None
    return (total @ total.T - kernel) / (count * (count - 1))


def _between(
    x: Float[Array, "stimulus feature"],
    y: Float[Array, "stimulus feature"],
    covariances: Float[Array, "feature feature"],
) -> Float[Array, "stimulus stimulus"]:
    """Return x P y', P the inverse of the mean of two covariances; x and y are overwritten."""
    root = factor(precision_of(covariances / 2))
    return whitened(x, root) @ whitened(y, root).T


def _distances(kernel: Float[Array, "stimulus stimulus"]) -> Float[Array, "stimulus stimulus"]:
    """Return k_ii + k_jj - 2 k_ij, exactly symmetric, with a zero diagonal."""
    xp = array_namespace(kernel)
    squares = xp.asarray(xp.linalg.diagonal(kernel), copy=True)
    kernel = kernel if is_numpy_array(kernel) else (kernel + kernel.T) / 2
    d = squares[:, None] + squares - 2 * kernel
    index = xp.arange(d.shape[0], device=device(d))
    d[index, index] = 0.0
    return d
