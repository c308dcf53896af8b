"""Several models on the same draws of stimuli, so that their differences can be told from chance.

The sums of the truth are shared by all models. Products are taken in single precision; columns
whose variance nearly vanishes in a draw, where that would not do, are taken again in double.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from threadpoolctl import threadpool_limits

from striate.errors import StriateError, unknown
from striate.scores.correlation import FEWEST_ROWS, SCORES, batches, load, ranks, unit
from striate.scores.resampling import _counts, _scaled, _weighted, over_targets, pair_weights

# Scores of a batch of columns in all draws stay in the processor's cache.
CACHE_BYTES = 2**20
# What the scores of all models and targets may take at once.
HELD_BYTES = 2**30
# Share of the sum of squares below which a variance is taken again in double precision: rounding
# of single precision is at most a few 1e-5 of that sum.
DOUBTFUL = 1e-2


@dataclass(frozen=True, eq=False)
class Side:
    """What several models predict of targets that share their rows, beside the truth.

    `place` says which thing that is drawn each row belongs to, or which two (of a pair of stimuli).
    `groups` are the sets of targets that are averaged: any targets may be in any of them.
    """

    truth: Float[np.ndarray, "row target"]
    predicted: Sequence[Float[np.ndarray, "row target"]]
    place: Int[np.ndarray, " row"] | Int[np.ndarray, "row 2"]
    groups: Bool[np.ndarray, "target group"]


class Drawn(NamedTuple):
    """Averages over the targets of each group, in every draw."""

    mean: Float[np.ndarray, "model draw group"]
    median: Float[np.ndarray, "model draw group"]


def paired(
    sides: Sequence[Side],
    things: int,
    score: str = "pearson",
    draws: int = 1000,
    seed: int = 0,
    threads: int = 1,
) -> Drawn:
    """Resample `things` (stimuli, or what must not be parted) and score all models on each draw.

    All models and all sides see the same draws, with replacement (Efron & Tibshirani, 1993), so
    the draws of a difference are the differences of draws; that of means is the mean over targets
    of the differences of each target. Agrees with `bootstrap` to 1e-5. Rules on NaN, flat targets
    and ranks are those of `bootstrap`; a target that scores NaN in a draw is in no average of it.

    Raises StriateError for unknown scores, and for predictions that are not finite.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((50, 3))
    >>> near, far = (truth + s * rng.standard_normal((50, 3)) for s in (0.5, 2.0))
    >>> side = Side(truth, [near, far], np.arange(50), np.ones((3, 1), dtype=bool))
    >>> found = paired([side], 50).mean
    >>> found.shape, two_sided(found[0] - found[1]).round(3)
    ((2, 1000, 1), array([0.002]))
    """
    if score not in SCORES:
        raise StriateError(unknown("score", score, SCORES))
    if draws < 1:
        raise StriateError(f"draws = {draws} resamples nothing: ask for 1000 or so")
    models = len(sides[0].predicted)
    targets = sum(s.truth.shape[1] for s in sides)
    inside = np.concatenate([s.groups for s in sides])
    rng, at = np.random.default_rng(seed), 0
    held = min(draws, max(1, HELD_BYTES // (4 * max(models * targets, 1))))
    shape = (models, draws, inside.shape[1])
    found = Drawn(np.full(shape, np.nan), np.full(shape, np.nan))
    middle = over_targets("median", inside)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, draws, held):
            counts = _counts(things, min(held, draws - start), rng)
            block, at = np.empty((models, len(counts), targets), dtype=np.float32), 0
            for side in sides:
                stop = at + side.truth.shape[1]
                _fill(block[:, :, at:stop], side, counts, score, pool)
                at = stop
            some = slice(start, start + len(counts))
            found.mean[:, some] = np.stack(list(pool.map(lambda b: _mean(b, inside), block)))
            found.median[:, some] = np.stack(list(pool.map(middle, block)))
    return found


def two_sided(
    draws: Float[np.ndarray, "draw *rest"],
) -> Float[np.ndarray, "*rest"]:
    """P value of a difference whose bootstrap draws are given: 2 · min(share ≤ 0, share ≥ 0).

    Shares are (1 + count) / (1 + draws), so that no p is 0. Draws that are NaN are left out; all
    NaN gives NaN.

    >>> two_sided(np.array([0.1, 0.2, 0.3, -0.1]))
    array(0.8)
    """
    known = (~np.isnan(draws)).sum(axis=0)
    least = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    p = np.minimum(1.0, 2.0 * (1.0 + least) / (1.0 + known))
    return np.asarray(np.where(known > 0, p, np.nan))


def _mean(
    block: Float[np.ndarray, "draw target"], inside: Bool[np.ndarray, "target group"]
) -> Float[np.ndarray, "draw group"]:
    if np.isnan(block).any():
        return over_targets("mean", inside)(block.astype(np.float64))
    count = inside.sum(axis=0)
    # Ones and zeros: nothing is lost but the last digits of the sum.
    return np.asarray((block @ inside.astype(np.float32)) / np.where(count > 0, count, np.nan))


def _fill(
    out: Float[np.ndarray, "model draw target"],
    side: Side,
    counts: Int[np.ndarray, "draw thing"],
    score: str,
    pool: ThreadPoolExecutor,
) -> None:
    """Scores of one side's targets by all models in some draws."""
    if side.place.ndim == 2:
        weight = pair_weights(counts, side.place)
        fold = Folded(np.arange(len(side.truth)), len(side.truth))
    else:
        there, place = np.unique(side.place, return_inverse=True)
        weight = counts[:, there].astype(np.float64)
        fold = Folded(place, len(there))
    light = weight.astype(np.float32)

    def do(columns: slice) -> None:
        _batch(out[:, :, columns], side, columns, light, fold, score)
        again = np.flatnonzero(np.isinf(out[:, :, columns]).any(axis=(0, 1))) + columns.start
        if len(again):
            full = weight[:, fold.place]
            for k, predicted in enumerate(side.predicted):
                exact = load(side.truth[:, again], predicted[:, again], slice(None))
                out[k][:, again] = _weighted(score, full, *exact)

    width = max(16, CACHE_BYTES // (4 * len(counts)))
    list(pool.map(do, batches(1, side.truth.shape[1], 8 * width)))


@dataclass(frozen=True, eq=False)
class Folded:
    """Sums of rows that are drawn together, so that products are over what is drawn."""

    place: Int[np.ndarray, " row"]
    things: int

    def __call__(self, values: Real[np.ndarray, "row column"]) -> Float[np.ndarray, "thing column"]:
        """Sums over the rows of each thing."""
        if len(values) == self.things and np.array_equal(self.place, np.arange(self.things)):
            return np.asarray(values, dtype=np.float32)
        order = np.argsort(self.place, kind="stable")
        starts = np.flatnonzero(np.diff(self.place[order], prepend=-1))
        return np.add.reduceat(values[order].astype(np.float64), starts, axis=0).astype(np.float32)


def _batch(
    out: Float[np.ndarray, "model draw target"],
    side: Side,
    columns: slice,
    weight: Float[np.ndarray, "draw thing"],
    fold: Folded,
    score: str,
) -> None:
    """Scores of some columns; infinite where single precision does not do."""
    first, *_, kept = load(side.truth, side.predicted[0], columns)
    # Where nothing is missing, one column tells for all.
    rows = weight @ fold((kept[:, :1] if kept.all() else kept).astype(np.float64))
    truth = ranks(first, kept) if score == "spearman" else first
    x, length = _scaled(truth, kept)
    if score != "mse":
        sum_x, of_x, sure = _spread(weight, fold, x, rows)
    for k, values in enumerate(side.predicted):
        t, p, _ = load(side.truth, values, columns)
        if score in ("mse", "r2"):
            error = weight @ fold((np.where(kept, t - p, 0.0) / length) ** 2)
        if score == "mse":
            found = error / np.maximum(rows, 1) * length**2
        elif score == "r2":
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(sure, 1.0 - error / of_x, np.inf)
        else:
            y = unit(ranks(p, kept) if score == "spearman" else p, kept)[0]
            sum_y, of_y, sure_y = _spread(weight, fold, y, rows)
            found = weight @ fold(x * y)
            sum_y *= sum_x
            sum_y /= np.maximum(rows, 1)
            found -= sum_y
            of_y *= of_x
            with np.errstate(divide="ignore", invalid="ignore"):
                found /= np.sqrt(of_y, out=of_y)
            np.clip(found, -1.0, 1.0, out=found)
            if not (sure.all() and sure_y.all()):
                found = np.where(sure & sure_y, found, np.inf)
        few = rows < FEWEST_ROWS
        out[k] = np.where(few, np.nan, found) if few.any() else found


def _spread(
    weight: np.ndarray, fold: Folded, z: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums, sums of squares about the mean, and where these are sure."""
    sums, squares = weight @ fold(z), weight @ fold(z * z)
    about = sums * sums
    about /= np.maximum(rows, 1)
    np.subtract(squares, about, out=about)
    return sums, about, about > DOUBTFUL * squares


def shared_things(
    labels: Iterable[Sequence[str] | np.ndarray],
) -> tuple[int, list[np.ndarray]]:
    """How many different labels there are in all, and the number of each label in each list.

    >>> shared_things([["b", "a"], ["c", "b"]])
    (3, [array([1, 0]), array([2, 1])])
    """
    given = [np.asarray(one, dtype=str) for one in labels]
    flat = np.concatenate([g.ravel() for g in given]) if given else np.empty(0, dtype=str)
    names, number = np.unique(flat, return_inverse=True)
    parts = np.split(number.ravel(), np.cumsum([g.size for g in given])[:-1])
    return len(names), [p.reshape(g.shape) for p, g in zip(parts, given, strict=True)]
