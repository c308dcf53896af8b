"""Correlations of weighted members, from one Gram matrix per target.

With members and target centred, G = P'P and c = P'y, the correlation of a weighted sum of members
with the target is r(w) = w'c / sqrt(w'Gw y'y): after one pass over the rows, no search for weights
depends on their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, to_device
from jaxtyping import Bool, Float, Int

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, double, on_cpu, workers
from striate.solvers._budget import Need, fitting

BLOCK = 128  # targets whose rows are copied to float64 at once, by one thread
ROUNDING = 1e-26
"""A centred sum of squares below this share of that of the mean is rounding of the mean."""
LOST = 1e-8
"""A mix with less than this share of its members' variance has too few digits to correlate."""


@dataclass(frozen=True)
class Grams:
    """What weights are fitted to: each target's centred Gram matrix of its members, packed.

    `covariances` has the entries above the diagonal in the order of ``np.triu_indices(members,
    1)``; `variances` and `squares` are sums over the `rows`, and 0 for what is constant.
    """

    variances: Float[np.ndarray, "member target"]
    covariances: Float[np.ndarray, "pair target"]
    products: Float[np.ndarray, "member target"]
    squares: Float[np.ndarray, " target"]
    means: Float[np.ndarray, "member target"]
    rows: int

    @property
    def flat(self) -> Bool[np.ndarray, " target"]:
        """Targets without variance: every correlation with them is 0."""
        return np.asarray(self.squares == 0)

    @property
    def idle(self) -> Bool[np.ndarray, "member target"]:
        """Members that predict one value on all rows of a target: their correlation is 0."""
        return np.asarray(self.variances == 0)

    def at(self, targets: Any) -> Grams:
        """The Grams of some targets: positions, a mask or a slice."""
        return Grams(
            self.variances[:, targets],
            self.covariances[:, targets],
            self.products[:, targets],
            self.squares[targets],
            self.means[:, targets],
            self.rows,
        )

    def dense(self) -> Float[np.ndarray, "target member member"]:
        """The Gram matrices in full."""
        members, targets = self.variances.shape
        full = np.empty((targets, members, members))
        i, j = np.triu_indices(members, 1)
        full[:, i, j] = full[:, j, i] = self.covariances.T
        full[:, range(members), range(members)] = self.variances.T
        return full

    def spread(self) -> Float[np.ndarray, "member target"]:
        """Standard deviations of the members over the rows."""
        return np.sqrt(self.variances / self.rows)

    def zscored(self) -> Grams:
        """The Grams of the members divided by their standard deviations."""
        size = self.spread()
        size = np.where(size > 0, size, 1.0)
        i, j = np.triu_indices(len(size), 1)
        return Grams(
            self.variances / size**2,
            self.covariances / (size[i] * size[j]),
            self.products / size,
            self.squares,
            self.means / size,
            self.rows,
        )


def side_by_side(parts: Sequence[Grams]) -> Grams:
    """Return the Grams of several sets of targets as one set.

    Correlations do not ask how many rows a target had; `rows` is that of the first part.
    """
    if len(parts) == 1:
        return parts[0]
    return Grams(
        np.concatenate([p.variances for p in parts], axis=1),
        np.concatenate([p.covariances for p in parts], axis=1),
        np.concatenate([p.products for p in parts], axis=1),
        np.concatenate([p.squares for p in parts]),
        np.concatenate([p.means for p in parts], axis=1),
        parts[0].rows,
    )


def member_grams(
    predictions: Float[Array, "member row target"],
    y: Float[Array, "row target"],
    *,
    memory: int = 2 << 30,
    threads: int | None = None,
) -> Grams:
    """Return the centred Grams of all targets, in float64, in one pass over the rows.

    NumPy arrays and tensors on the CPU are computed here, tensors on a GPU there; the Grams lie on
    the CPU. Raises `DataError` for NaN and for shapes that differ, and `StriateError` where
    `memory` does not hold them.

    >>> p = np.array([[[0.0], [1.0], [2.0]], [[1.0], [0.0], [1.0]]])
    >>> found = member_grams(p, p[0])
    >>> found.variances[:, 0].round(3).tolist(), found.products[:, 0].round(3).tolist()
    ([2.0, 0.667], [2.0, 0.0])
    """
    (predictions, y), _ = on_cpu(predictions, y)
    check_predictions(predictions, y)
    members, rows, targets = predictions.shape
    above = np.triu_indices(members, 1)
    out = [np.empty((n, targets)) for n in (members, len(above[0]), members, 1, members)]

    def job(ends: tuple[int, int]) -> None:
        block = slice(*ends)
        for whole, part in zip(out, _block(predictions, y, block, above), strict=True):
            whole[:, block] = part

    need = member_grams_need(members, rows, targets)
    count = fitting(threads, 2.0 * members**2 * rows * targets)
    with workers(count, gpu=not isinstance(predictions, np.ndarray)) as crew:
        crew.map(job, need.batches(targets, memory, largest=BLOCK, shares=crew.threads))
    variances, covariances, products, squares, means = out
    return Grams(variances, covariances, products, squares[0], means, rows)


def member_grams_need(members: int, rows: int, targets: int) -> Need:
    """Return the memory that the Grams of `targets` take, and one more target while computed."""
    kept = members * (members + 5) // 2 + 1
    each = members * rows + rows + 3 * members**2
    what = f"Grams of {members} members on {rows:,} rows and {targets:,} targets"
    return Need(what, fixed=8 * kept * targets, each=8 * each)


def _block(
    predictions: Array, y: Array, block: slice, above: tuple[Int[np.ndarray, " pair"], ...]
) -> tuple[np.ndarray, ...]:
    """Variances, covariances, products, squares and means of a block of targets."""
    p, t = _rows_last(predictions[:, :, block]), _rows_last(y[:, block])
    xp = array_namespace(p)
    p_mean, t_mean = xp.mean(p, axis=2), xp.mean(t, axis=1)
    p -= p_mean[:, :, None]
    t -= t_mean[:, None]
    found = (p @ p.mT, (p @ t[:, :, None])[:, :, 0], xp.sum(t * t, axis=1), p_mean, t_mean)
    gram, products, squares, means, t_means = (np.asarray(to_device(f, "cpu")) for f in found)
    rows = p.shape[2]
    # a constant member leaves only the rounding of its mean
    variances = np.diagonal(gram, axis1=1, axis2=2)
    useful = variances > ROUNDING * rows * means**2
    covariances = gram[:, above[0], above[1]] * (useful[:, above[0]] & useful[:, above[1]])
    squares = np.where(squares > ROUNDING * rows * t_means**2, squares, 0.0)
    products = products * (useful & (squares > 0)[:, None])
    return (variances * useful).T, covariances.T, products.T, squares[None], means.T


def _rows_last(a: Array) -> Array:
    """A copy in float64 whose targets come first and rows last."""
    if isinstance(a, np.ndarray):
        return np.array(np.moveaxis(a, -1, 0), dtype=np.float64, order="C")
    xp = array_namespace(a)
    return xp.asarray(double(xp.moveaxis(a, -1, 0)), copy=True).contiguous()


def correlations(
    grams: Grams, weights: Float[np.ndarray, "*sets member"]
) -> Float[np.ndarray, "*sets target"]:
    """Return the correlation of every target with the members so weighted; 0 without variance.

    `weights` are those of all targets, of which several sets may be asked for at once.

    >>> y = np.array([[0.0], [1.0], [2.0]])
    >>> grams = member_grams(np.stack([y, -y, 0 * y]), y)
    >>> correlations(grams, np.eye(3)).T.round(9).tolist()
    [[1.0, -1.0, 0.0]]
    """
    sets = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    i, j = np.triu_indices(sets.shape[1], 1)
    own = sets**2 @ grams.variances
    power = own + (2 * sets[:, i] * sets[:, j]) @ grams.covariances
    found = _ratio(sets @ grams.products, power, own, grams.squares)
    return found if np.ndim(weights) > 1 else found[0]


def correlations_of(
    grams: Grams, weights: Float[np.ndarray, "member target"]
) -> Float[np.ndarray, " target"]:
    """Return the correlation of every target with the members at that target's own weights."""
    product, power = moments_of(grams, weights)
    # what is lost is 0 already
    return _ratio(product, power, power, grams.squares)


def moments_of(
    grams: Grams, weights: Float[np.ndarray, "member target"]
) -> tuple[Float[np.ndarray, " target"], Float[np.ndarray, " target"]]:
    """Return w'c and w'Gw of every target at its own weights: least squares of it on its mix.

    The factor that brings the mix to scale is the one over the other; both are 0 where the members
    leave each other too few digits of variance.
    """
    i, j = np.triu_indices(len(weights), 1)
    own = (weights**2 * grams.variances).sum(axis=0)
    power = own + 2 * np.einsum("pt,pt,pt->t", weights[i], weights[j], grams.covariances)
    kept = power > LOST * own
    product = (weights * grams.products).sum(axis=0)
    return np.where(kept, product, 0.0), np.where(kept, power, 0.0)


def member_correlations(grams: Grams) -> Float[np.ndarray, "member target"]:
    """Return the correlation of every member with every target; 0 without variance."""
    return _ratio(grams.products, grams.variances, grams.variances, grams.squares)


def _ratio(
    product: np.ndarray, power: np.ndarray, own: np.ndarray, squares: np.ndarray
) -> np.ndarray:
    """Correlations from their parts; 0 where members leave each other no digits of variance."""
    some = (power > LOST * own) & (squares > 0)
    size = np.sqrt(np.where(some, power * squares, 1.0))
    return np.asarray(np.where(some, product, 0.0) / size)


def check_predictions(predictions: Array, y: Array) -> None:
    """Raise a `DataError` unless both are finite and for the same rows and targets."""
    members, rows, targets = predictions.shape
    if y.shape != (rows, targets):
        raise DataError(
            f"predictions are for {rows} rows of {targets} targets but y has shape"
            f" {tuple(y.shape)}: give both the same rows and targets"
        )
    if 0 in (members, rows, targets):
        raise DataError(f"predictions of shape {tuple(predictions.shape)} hold nothing to blend")
    check_finite("y", y, "target")
    for member in range(members):
        check_finite(f"the prediction of member {member}", predictions[member], "target")
