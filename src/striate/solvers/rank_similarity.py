"""How alike two sets of RDMs are in rank: order each vector once, then multiply or count."""

from __future__ import annotations

import os
from itertools import product

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from jaxtyping import Float, Num
from scipy.stats import rankdata

from striate.errors import DataError
from striate.solvers._arrays import Array, on_cpu, workers
from striate.solvers._budget import Need, fitting
from striate.solvers.similarity import check_pairs, means, products

SHORT = 20_000
"""Pairs up to which scipy's ranks are not worth a compiled loop."""


def rank_need(rows: int, pairs: int, threads: int = 1) -> Need:
    """Return what comparing RDMs with `rows` others takes: ranks, and the work of each thread.

    >>> rank_need(8, 499_500).fixed
    47952000
    """
    what = f"the comparison in rank with {rows:,} RDMs of {pairs:,} pairs"
    return Need(what, fixed=(9 * rows + 24 * threads) * pairs, each=16 * pairs)


def spearman(
    a: Float[Array, "layer pair"],
    b: Float[Array, "subject pair"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Float[Array, "layer subject"]:
    """Return the Spearman correlation of every row of `a` with every row of `b`.

    The Pearson correlation of the ranks, ties given their average rank; the similarity of RDMs of
    Kriegeskorte, Mur & Bandettini 2008, doi:10.3389/neuro.06.004.2008, and of Algonauts 2019.
    Errors as for `pearson`; `StriateError` where the ranks of `b` do not fit into `memory`.

    >>> spearman(np.array([[1.0, 2.0, 9.0]]), np.array([[1.0, 4.0, 5.0], [3.0, 3.0, 1.0]])).round(3)
    array([[ 1.   , -0.866]])
    """
    (a, b), back = on_cpu(a, b)
    sums, squares = _ranked(a, b, memory, threads)
    xp = array_namespace(sums)
    sums = sums / xp.sqrt(squares[0])[:, None] / xp.sqrt(squares[1])
    return back(xp.astype(xp.clip(sums, min=-1.0, max=1.0), a.dtype, copy=False))


def rho_a(
    a: Float[Array, "layer pair"],
    b: Float[Array, "subject pair"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Float[Array, "layer subject"]:
    """Return Spearman's rho-a: what it would be on average were ties broken at random.

    12 r_a'r_b / (n^3 - n) with centred ranks r of n pairs. Like Kendall's tau-a it does not favour
    models that predict ties, at the cost of a sort (Schütt et al. 2023, doi:10.7554/eLife.82566).
    Errors as for `spearman`.

    >>> rho_a(np.array([[1.0, 2.0, 9.0]]), np.array([[1.0, 4.0, 5.0], [3.0, 3.0, 1.0]]))
    array([[ 1.  , -0.75]])
    """
    (a, b), back = on_cpu(a, b)
    sums, _ = _ranked(a, b, memory, threads)
    xp = array_namespace(sums)
    n = float(a.shape[1])
    # of ranks counted twice
    return back(xp.astype(sums * (3 / (n**3 - n)), a.dtype, copy=False))


def kendall_tau_a(
    a: Float[Array, "layer pair"],
    b: Float[Array, "subject pair"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Float[Array, "layer subject"]:
    """Return Kendall's tau-a of every row of `a` with every row of `b`.

    (concordant - discordant) / all pairs of entries. Unlike Spearman's it does not favour models
    that predict ties (Nili et al. 2014, doi:10.1371/journal.pcbi.1003553). Counted on the CPU,
    wherever the data lie. Errors as for `spearman`.

    >>> kendall_tau_a(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 3.0, 2.0], [1.0, 1.0, 2.0]]))
    array([[0.33333333, 0.66666667]])
    """
    return _kendall(a, b, memory, threads, corrected=False)


def kendall_tau_b(
    a: Float[Array, "layer pair"],
    b: Float[Array, "subject pair"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Float[Array, "layer subject"]:
    """Return Kendall's tau-b of every row of `a` with every row of `b`.

    (concordant - discordant) / sqrt(pairs untied in a x pairs untied in b); see `kendall_tau_a`.

    >>> kendall_tau_b(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 1.0, 2.0]])).round(4)
    array([[0.8165]])
    """
    return _kendall(a, b, memory, threads, corrected=True)


def _ranked(
    a: Array, b: Array, memory: int, threads: int | None
) -> tuple[Float[Array, "layer subject"], tuple[Float[Array, " layer"], Float[Array, " subject"]]]:
    """Return products of twice the centred ranks, and the sums of squares of each row."""
    xp = array_namespace(a)
    batches = _batches(a, b, memory, threads)
    other = _ranks(b, threads)
    sums, squares = [], []
    for i, j in batches:
        found, squares_a, squares_b = products(
            _ranks(a[i:j], threads), other, None, threads=threads
        )
        _check_flat(squares_b, "b", 0)
        _check_flat(squares_a, "a", i)
        sums.append(found)
        squares.append(squares_a)
    return xp.concat(sums), (xp.concat(squares), squares_b)


def _batches(a: Array, b: Array, memory: int, threads: int | None) -> list[tuple[int, int]]:
    """Check both sets, and return ranges of rows of `a` that fit into the memory."""
    check_pairs(a, b)
    means(a, "the first set of RDMs"), means(b, "the second set of RDMs")
    most = max(a.shape[0], b.shape[0])
    many = min(threads or os.cpu_count() or 1, most)
    return rank_need(b.shape[0], a.shape[1], many).batches(a.shape[0], memory)


def _ranks(rows: Float[Array, "layer pair"], threads: int | None) -> Num[Array, "layer pair"]:
    """Return twice the ranks of each row minus their mean: whole numbers."""
    xp = array_namespace(rows)
    n = rows.shape[1]
    if not is_numpy_array(rows):
        return xp.stack([_sorted_ranks(row) for row in rows])
    if n <= SHORT:
        return np.asarray(2 * rankdata(rows, axis=1) - (n + 1))
    from striate.solvers._ranks import centred_ranks

    ranks = np.empty(rows.shape, np.int32)
    with workers(fitting(threads, 100.0 * rows.size)) as pool:
        pool.map(lambda k: centred_ranks(rows[k], ranks[k]), range(len(rows)))
    return ranks


def _sorted_ranks(row: Float[Array, " pair"]) -> Float[Array, " pair"]:
    """Return twice the centred ranks by a sort and two searches, for arrays not NumPy's."""
    xp = array_namespace(row)
    ascending = xp.sort(row)
    ends = [xp.searchsorted(ascending, row, side=side) for side in ("left", "right")]
    return xp.astype(ends[0], xp.float64) + xp.astype(ends[1], xp.float64) - row.shape[0]


def _kendall(a: Array, b: Array, memory: int, threads: int | None, *, corrected: bool) -> Array:
    from striate.solvers._ranks import agreement, order

    where, like = device(a), a
    (a, b), back = on_cpu(*(rows if is_numpy_array(rows) else rows.cpu() for rows in (a, b)))
    batches = _batches(a, b, memory, threads)
    n = a.shape[1]
    pairs = float(n) * (n - 1) / 2
    tau = np.empty((len(a), len(b)))
    with workers(fitting(threads, 1000.0 * n * len(a) * len(b))) as pool:
        others = pool.map(order, list(b))
        untied_b = pairs - np.array([o.ties for o in others], dtype=np.float64)
        _check_flat(untied_b, "b", 0)
        for i, j in batches:
            orders = pool.map(order, list(a[i:j]))
            untied = pairs - np.array([o.ties for o in orders], dtype=np.float64)
            _check_flat(untied, "a", i)
            counts = pool.map(lambda pair: agreement(*pair), product(orders, others))
            tau[i:j] = np.array(counts, dtype=np.float64).reshape(j - i, -1)
            tau[i:j] /= np.sqrt(untied)[:, None] * np.sqrt(untied_b) if corrected else pairs
    tau = back(np.clip(tau, -1.0, 1.0).astype(a.dtype, copy=False))
    return tau if is_numpy_array(like) else tau.to(where)


def _check_flat(spread: Float[Array, " layer"], name: str, first: int) -> None:
    flat = [k for k, size in enumerate(spread.tolist()) if not size > 0]
    if flat:
        raise DataError(
            f"row {first + flat[0]} of {name} is constant, so its rank correlation is undefined:"
            " leave it out"
        )
