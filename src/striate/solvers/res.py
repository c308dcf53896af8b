"""Responses to new stimuli as a mean of known responses, weighted by how alike the stimuli are.

Representational Similarity Encoding (Anderson, Zinszer & Raizada 2016,
doi:10.1016/j.neuroimage.2015.12.035) fits no parameters: with s_i the correlation, across features,
of a new stimulus with training stimulus i, its predicted response is

    y = sum_i s_i y_i / sum_i |s_i|.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array, to_device
from jaxtyping import Float, Int
from scipy.stats import rankdata

from striate.errors import DataError
from striate.solvers._arrays import Array, check_finite, double, on_cpu
from striate.solvers._budget import Need

Similarity: TypeAlias = Literal["pearson", "cosine", "spearman"]
Normaliser: TypeAlias = Literal["absolute", "none"]

CHUNK = 1 << 24
"""Bytes of rows that are brought to unit length at once."""


@dataclass(frozen=True)
class Weighting:
    """How similarities become weights.

    - `normaliser`: divide by the "absolute" sum of the weights, or by nothing ("none").
    - `centre`: average deviations from the mean training response and add it back, so that the
      mean does not leak in by sum s_i / sum |s_i|.
    - `power`: s becomes sign(s) |s|^power; above 1 the most alike count more.
    - `neighbours`: only so many of the largest |s| count, and what equals the last; None: all.
    """

    normaliser: Normaliser = "absolute"
    centre: bool = True
    power: float = 1.0
    neighbours: int | None = None

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise DataError(f"power {self.power} of similarities: give a number above 0")
        if self.neighbours is not None and self.neighbours < 1:
            raise DataError(f"{self.neighbours} neighbours: give 1 or more, or none for all rows")

    def __call__(self, similar: Float[Array, "row train"]) -> Float[Array, "row train"]:
        """Return the weights of the training rows; all 0 where nothing is alike."""
        xp, n = array_namespace(similar), similar.shape[1]
        size = xp.abs(similar)
        if self.power != 1:
            size = size**self.power
            similar = xp.sign(similar) * size
        if self.neighbours is not None and self.neighbours < n:
            last = n - self.neighbours
            order = np.partition(size, last, axis=1) if is_numpy_array(size) else xp.sort(size)
            # equal correlations differ by rounding
            least = order[:, last] * (1 - 64 * max(1.0, self.power) * xp.finfo(size.dtype).eps)
            kept = xp.astype(size >= least[:, None], size.dtype)
            similar, size = similar * kept, size * kept
        if self.normaliser == "none":
            return similar
        total = xp.sum(size, axis=1, dtype=xp.float64)
        # what is below the rounding of n correlations says nothing
        some = total > n * (8 * xp.finfo(similar.dtype).eps) ** self.power
        scale = xp.where(some, 1 / xp.where(some, total, xp.ones_like(total)), xp.zeros_like(total))
        return similar * xp.astype(scale, similar.dtype)[:, None]


PAPER = Weighting()


def res(
    x_train: Float[Array, "train feature"],
    y: Float[Array, "train target"],
    x_test: Float[Array, "row feature"],
    *,
    normaliser: Normaliser = "absolute",
    centre: bool = True,
    similarity: Similarity = "pearson",
    power: float = 1.0,
    neighbours: int | None = None,
    memory: int = 2 << 30,
) -> Float[Array, "row target"]:
    """Return the responses that RES predicts for new rows.

    - `x_train`, `x_test`, `y`: float32 or float64, all the same; NumPy arrays or torch tensors.
    - `similarity`: of two rows across features, "pearson", "cosine" (not centred) or "spearman".
    - `normaliser`, `centre`, `power`, `neighbours`: see `Weighting`.
    - `memory`: bytes beyond the arguments, the result, and a copy of `x_train`; rows and targets
      are taken in batches that fit.

    A row that is constant over features is like no other: it counts nothing, and its own prediction
    is the mean response (0 unless `centre`). Raises `DataError` for NaN, for shapes that do not
    fit, for a correlation across a single feature and where all training rows are constant.

    >>> x = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 5]])
    >>> y = np.array([[1.0, 0], [0, 1], [2, -1]])
    >>> res(x, y, np.array([[2.0, 1, 4, 3]]), centre=False).round(7)
    array([[ 0.5888915, -0.5296305]])
    """
    (x_train, y, x_test), back = on_cpu(x_train, y, x_test)
    weighting = Weighting(normaliser, centre, power, neighbours)
    check_finite("y", y, "target")
    units = unit_rows(x_train, similarity)
    return back(weighted(units, y, x_test, weighting, similarity, memory=memory))


def res_need(rows: int, features: int, itemsize: int = 8) -> Need:
    """Return the bytes that predictions take, `each` for one new row, and for targets beside it."""
    what = f"RES of {features:,} features on {rows:,} rows"
    return Need(what, fixed=0, each=24 * features + itemsize * (2 * features + 6 * rows))


def weighted(
    units: Float[Array, "train feature"],
    y: Float[Array, "train target"],
    x_test: Float[Array, "row feature"],
    weighting: Weighting = PAPER,
    similarity: Similarity = "pearson",
    *,
    memory: int = 2 << 30,
) -> Float[Array, "row target"]:
    """Return predictions from training rows that `unit_rows` has made; see `res`."""
    (units, y, x_test), back = on_cpu(units, y, x_test)
    if units.dtype != y.dtype or units.dtype != x_test.dtype:
        raise DataError(
            f"training rows are {units.dtype}, new ones {x_test.dtype} and responses {y.dtype}:"
            " convert them to one type"
        )
    if units.shape[0] != y.shape[0]:
        raise DataError(f"{units.shape[0]} rows of x for {y.shape[0]} of y: give both the same")
    if units.shape[1] != x_test.shape[1]:
        raise DataError(
            f"new rows have {x_test.shape[1]} features, training rows {units.shape[1]}: give both"
            " the same"
        )
    xp = array_namespace(units)
    if not bool(xp.any(units != 0)):
        raise DataError(
            f"all {units.shape[0]} training rows are constant over their {units.shape[1]} features,"
            " so no row is like another: give other features"
        )
    n, size = units.shape[0], 4 if units.dtype == xp.float32 else 8
    out = xp.empty((x_test.shape[0], y.shape[1]), dtype=y.dtype, device=device(y))
    new, known = res_need(n, units.shape[1], size), Need("responses", 0, 2 * n * size)
    # as much for the rows as for the responses, and some for a chunk of rows in float64
    share, chunk = 3 * memory // 8, min(CHUNK, memory // 16)
    for a, b in new.batches(x_test.shape[0], share):
        weights = weighting(unit_rows(x_test[a:b, :], similarity, chunk=chunk) @ units.T)
        for low, high in known.batches(y.shape[1], share):
            values, mean = y[:, low:high], 0.0
            if weighting.centre:
                values, mean = _centred(values)
            out[a:b, low:high] = weights @ values + mean
    return back(out)


def unit_rows(
    x: Float[Array, "row feature"], similarity: Similarity = "pearson", *, chunk: int = CHUNK
) -> Float[Array, "row feature"]:
    """Return rows whose products with each other are their similarities.

    Each is centred ("pearson"; of its ranks, "spearman") and of length 1; a row that is constant
    over features, or zero ("cosine"), becomes zeros. Some `chunk` bytes of rows are converted to
    float64 at once. Raises `DataError` for NaN and for a correlation across one feature.

    >>> unit_rows(np.array([[0.0, 2.0], [5.0, 5.0]])).round(3)
    array([[-0.707,  0.707],
           [ 0.   ,  0.   ]])
    """
    (x,), back = on_cpu(x)
    xp = array_namespace(x)
    if x.shape[1] < 2 and similarity != "cosine":
        raise DataError(
            f"a correlation across {x.shape[1]} features is undefined: give rows of at least two"
            " features, or compare them by cosine"
        )
    check_finite("x", x, "feature")
    out = xp.empty(tuple(x.shape), dtype=x.dtype, device=device(x))
    step = max(1, chunk // (8 * x.shape[1]))
    for start in range(0, x.shape[0], step):
        z = double(x[start : start + step, :])
        if similarity == "spearman":
            ranks = rankdata(np.asarray(to_device(z, "cpu")), axis=1)
            z = xp.asarray(ranks, dtype=xp.float64, device=device(x))
        size = xp.sqrt(xp.vecdot(z, z))
        if similarity != "cosine":
            z = z - xp.mean(z, axis=1, keepdims=True)
        length = xp.sqrt(xp.vecdot(z, z))
        some = length > 1e-13 * size
        scale = xp.where(some, 1 / xp.where(some, length, xp.ones_like(length)), 0 * length)
        out[start : start + step, :] = xp.astype(z * scale[:, None], x.dtype, copy=False)
    return back(out)


def choose_weighting(
    units: Float[Array, "row feature"],
    y: Float[Array, "row target"],
    candidates: Sequence[Weighting],
    folds: Int[np.ndarray, " row"],
    *,
    memory: int = 2 << 30,
) -> tuple[int, Float[np.ndarray, " candidate"]]:
    """Return which of several weightings predicts held-out rows best, and the score of each.

    The rows of each fold are predicted from all others. The score of a target is the correlation,
    over all rows, of predicted and measured deviations from the mean of the training rows; that of
    a weighting is the mean over targets that vary, the first of equal ones is chosen. Raises
    `DataError` for fewer than two folds.

    >>> x = unit_rows(np.array([[1.0, 0, 0], [1, 0.1, 0], [0, 1.0, 0], [0, 1, 0.1]]))
    >>> y = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> candidates = [Weighting(neighbours=2), Weighting(neighbours=1)]
    >>> choose_weighting(x, y, candidates, np.array([0, 1, 0, 1]))[0]
    0
    """
    (units, y), _ = on_cpu(units, y)
    check_finite("y", y, "target")
    labels = np.unique(folds)
    if labels.size < 2:
        raise DataError(f"all rows are in fold {labels[0]}: give at least two folds")
    xp = array_namespace(units)
    n, targets, size = units.shape[0], y.shape[1], 4 if y.dtype == xp.float32 else 8
    need = Need("RES", fixed=size * n * n * (3 + len(candidates)), each=4 * n * size)
    similar = units @ units.T
    products = xp.zeros((3, len(candidates), targets), dtype=xp.float64, device=device(y))
    batches = need.batches(targets, memory)
    for label in labels:
        out, rest = (
            xp.asarray(np.flatnonzero(m), device=device(y))
            for m in (folds == label, folds != label)
        )
        part = xp.take(xp.take(similar, out, axis=0), rest, axis=1)
        weights = [w(part) for w in candidates]
        for low, high in batches:
            block = y[:, low:high]
            known, mean = _centred(xp.take(block, rest, axis=0))
            truth = xp.take(block, out, axis=0) - mean
            for k, weight in enumerate(weights):
                # without centring the mean is predicted with the rest: only deviations are judged
                found = weight @ known
                for row, (a, b) in enumerate(((found, truth), (found, found), (truth, truth))):
                    products[row, k, low:high] += xp.sum(a * b, axis=0, dtype=xp.float64)
    both, ours, theirs = np.asarray(to_device(products, "cpu"))
    varies = theirs[0] > 0
    if not varies.any():
        raise DataError("no target varies: there is nothing to choose a weighting by")
    scale = np.sqrt(ours[:, varies] * theirs[:, varies])
    scores = np.divide(both[:, varies], scale, out=np.zeros_like(scale), where=scale > 0)
    mean_scores = scores.mean(axis=1)
    return int(mean_scores.argmax()), mean_scores


def _centred(y: Float[Array, "row target"]) -> tuple[Any, Any]:
    """Return deviations from the mean of each column, and the mean."""
    xp = array_namespace(y)
    mean = xp.mean(y, axis=0, dtype=xp.float64)
    near = xp.astype(mean, y.dtype, copy=False)
    return y - near, near
