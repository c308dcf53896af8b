"""How alike two sets of RDMs are: rank or standardise each vector once, then one product."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float
from scipy.stats import kendalltau, rankdata

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, on_cpu
from striate.solvers.blends import nonnegative


def pearson(
    a: Float[Array, "layer pair"], b: Float[Array, "subject pair"]
) -> Float[Array, "layer subject"]:
    """Return the Pearson correlation of every row of `a` with every row of `b`.

    r = z_a'z_b, each row centred and of unit length. Raises `DataError` for NaN and for constant
    rows, whose correlation is undefined.

    >>> pearson(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0], [3.0, 2.0, 1.0]])).round(9)
    array([[ 1., -1.]])
    """
    (a, b), back = on_cpu(a, b)
    _check(a, b)
    xp = array_namespace(a)
    return back(xp.clip(_unit(a, "a") @ _unit(b, "b").T, min=-1.0, max=1.0))


def spearman(
    a: Float[Array, "layer pair"], b: Float[Array, "subject pair"]
) -> Float[Array, "layer subject"]:
    """Return the Spearman correlation of every row of `a` with every row of `b`.

    The Pearson correlation of the ranks, ties given their average rank; the similarity of RDMs of
    Kriegeskorte, Mur & Bandettini 2008, doi:10.3389/neuro.06.004.2008, and of Algonauts 2019.
    NumPy arrays or tensors on the CPU; ranks and product in float64. Errors as for `pearson`.

    >>> spearman(np.array([[1.0, 2.0, 9.0]]), np.array([[1.0, 4.0, 5.0], [3.0, 3.0, 1.0]])).round(3)
    array([[ 1.   , -0.866]])
    """
    (a, b), back = on_cpu(a, b)
    _check(a, b)
    ranks = [rankdata(rows, axis=1).astype(np.float64, copy=False) for rows in (a, b)]
    correlation = _unit(ranks[0], "a") @ _unit(ranks[1], "b").T
    return back(np.clip(correlation, -1.0, 1.0).astype(a.dtype, copy=False))


def kendall_tau_a(
    a: Float[Array, "layer pair"], b: Float[Array, "subject pair"]
) -> Float[Array, "layer subject"]:
    """Return Kendall's tau-a of every row of `a` with every row of `b`.

    (concordant - discordant) / all pairs of entries. Unlike Spearman's it does not favour models
    that predict ties (Nili et al. 2014, doi:10.1371/journal.pcbi.1003553). NumPy arrays or tensors
    on the CPU. Errors as for `pearson`.

    >>> kendall_tau_a(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 3.0, 2.0], [1.0, 1.0, 2.0]]))
    array([[0.33333333, 0.66666667]])
    """
    (a, b), back = on_cpu(a, b)
    _check(a, b)
    _unit(a, "a"), _unit(b, "b")  # refuses constant rows
    # scipy's tau-b divides by the pairs that are not tied in either; tau-a by all pairs
    untied = [np.sqrt([_untied_share(row) for row in rows]) for rows in (a, b)]
    tau = np.array([[kendalltau(row, other).statistic for other in b] for row in a])
    return back((tau * untied[0][:, None] * untied[1]).astype(a.dtype, copy=False))


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
    _check(layers, target[None])
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


def _check(a: Array, b: Array) -> None:
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"the RDMs have {a.shape[1]} and {b.shape[1]} pairs: give both the same stimuli"
        )
    check_finite("the first set of RDMs", a, "pair")
    check_finite("the second set of RDMs", b, "pair")


def _unit(rows: Float[Array, "layer pair"], name: str) -> Float[Array, "layer pair"]:
    """Return the rows in float64, centred and of unit length."""
    xp = array_namespace(rows)
    z = xp.astype(rows, xp.float64)
    size = xp.sqrt(xp.sum(z * z, axis=1))
    z = z - xp.mean(z, axis=1, keepdims=True)
    norm = xp.sqrt(xp.sum(z * z, axis=1))
    flat = norm <= 1e-13 * size
    if bool(xp.any(flat)):
        row = int(xp.argmax(xp.astype(flat, xp.int64)))
        raise DataError(
            f"row {row} of {name} is constant, so its correlation is undefined: leave it out"
        )
    return z / norm[:, None]


def _untied_share(row: np.ndarray) -> float:
    counts = np.unique(row, return_counts=True)[1].astype(np.float64)
    n = row.size
    return float(1.0 - (counts * (counts - 1)).sum() / (n * (n - 1)))
