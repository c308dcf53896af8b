"""How far a score would move with other stimuli: resampling by weights, as matrix products.

Resampling rows with replacement only changes how often each row counts, so the sums behind a
score become products of a (draw, row) matrix of counts with columns prepared once. The result
equals scoring every resampled copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from striate.errors import StriateError, unknown
from striate.scores.correlation import (
    BATCH_BYTES,
    FEWEST_ROWS,
    ROUNDING,
    SCORES,
    batches,
    load,
    ranks,
    unit,
)

Reducer = Callable[[np.ndarray], np.ndarray]

# What the scores of all targets may take at once when a reducer follows.
HELD_BYTES = 2**30


def bootstrap(
    truth: Real[np.ndarray, "row target"],
    predicted: Real[np.ndarray, "row target"],
    score: str = "pearson",
    draws: int = 1000,
    groups: Shaped[np.ndarray, " row"] | None = None,
    seed: int = 0,
    *,
    pairs: Int[np.ndarray, "row 2"] | None = None,
    reduce: Reducer | None = None,
) -> Float[np.ndarray, "draw ..."]:
    """Score every target on `draws` resamplings of the stimuli (Efron & Tibshirani, 1993).

    Rows are drawn with replacement; with `groups` (one label per row: a movie, an image shown
    several times) whole groups are. With `pairs` the rows are pairs of stimuli (two indices each)
    and the stimuli are drawn: a pair counts as often as its stimuli's counts multiply, and a
    stimulus never pairs with itself. The same seed, rows and groups give the same draws, so that
    two models can be compared by `paired_interval`.

    `reduce` turns the scores of all targets for some draws, (draw, target), into (draw, anything),
    such as `over_targets("median")`; then draws × targets is never held at once. Zeros, NaN and
    errors are those of the score. For "spearman" the ranks of all rows are kept in every draw, the
    usual approximation. A draw in which a column all but loses its variance counts as flat.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((50, 3))
    >>> bootstrap(truth, truth + rng.standard_normal((50, 3)), draws=4).shape
    (4, 3)
    """
    if score not in SCORES:
        raise StriateError(unknown("score", score, SCORES))
    if draws < 1:
        raise StriateError(f"draws = {draws} resamples nothing: ask for 1000 or so")
    rows, targets = truth.shape
    weights = _row_weights(rows, groups, pairs, np.random.default_rng(seed))
    held = draws if reduce is None else min(draws, max(1, HELD_BYTES // (8 * max(targets, 1))))
    pieces = []
    for start in range(0, draws, held):
        weight = weights(min(held, draws - start))
        block = np.empty((len(weight), targets))
        for columns in batches(max(rows, len(weight)), targets, BATCH_BYTES // 4):
            block[:, columns] = _weighted(score, weight, *load(truth, predicted, columns))
        pieces.append(block if reduce is None else reduce(block))
    return np.concatenate(pieces)


def pair_weights(
    counts: Real[np.ndarray, "draw stimulus"], pairs: Int[np.ndarray, "pair 2"] | None = None
) -> Float[np.ndarray, "draw pair"]:
    """How often each pair occurs when stimulus i occurs counts[i] times: counts[i]·counts[j].

    `pairs` are indices of stimuli; without it the strict upper triangle of an RDM, row by row.
    A pair of a stimulus with itself counts 0.

    >>> pair_weights(np.array([[2, 0, 1]]))
    array([[0., 2., 0.]])
    """
    if pairs is None:
        first, second = np.triu_indices(counts.shape[1], k=1)
    else:
        first, second = pairs.T
    product = counts[:, first].astype(np.float64) * counts[:, second]
    product[:, first == second] = 0.0
    return product


def over_targets(
    how: Literal["mean", "median"] = "median",
    membership: Bool[np.ndarray, "target roi"] | None = None,
) -> Reducer:
    """Reduce (draw, target) to the mean or median over targets, or per ROI: (draw, roi).

    Scores that are NaN are left out; a draw with none left gives NaN.

    >>> over_targets("mean")(np.array([[0.2, 0.4], [0.1, np.nan]]))
    array([0.3, 0.1])
    """

    def reduce(block: np.ndarray) -> np.ndarray:
        if membership is None:
            return _over(block, how)
        places = [np.flatnonzero(inside) for inside in membership.T]
        return np.stack([_over(np.take(block, at, axis=1), how) for at in places], axis=1)

    return reduce


def interval(
    draws: Float[np.ndarray, "draw ..."], level: float = 0.95
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Percentile interval of bootstrap draws: its lower and upper end.

    Draws that are NaN are left out; all NaN gives NaN. Raises StriateError unless 0 < level < 1.

    >>> interval(np.linspace(0.0, 1.0, 101), level=0.9)
    (array(0.05), array(0.95))
    """
    if not 0 < level < 1:
        raise StriateError(f"level = {level} is no probability: give a fraction such as 0.95")
    # NaN sorts last, so the quantiles of what remains are positions among the first `count`.
    ordered = np.sort(draws, axis=0)
    count = (~np.isnan(draws)).sum(axis=0, keepdims=True)
    low, high = (_quantile(ordered, count, q) for q in ((1 - level) / 2, (1 + level) / 2))
    return low, high


def paired_interval(
    draws_a: Float[np.ndarray, "draw ..."],
    draws_b: Float[np.ndarray, "draw ..."],
    level: float = 0.95,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Percentile interval of a - b over draws that resample the same stimuli in both.

    Give draws of the same seed, rows and groups, reduced the same way (say, to the median over
    targets). The difference is significant at 1 - level where the interval excludes 0.

    >>> a = np.linspace(0.0, 1.0, 101)
    >>> paired_interval(a + 0.25, a)
    (array(0.25), array(0.25))
    """
    if draws_a.shape != draws_b.shape:
        raise StriateError(
            f"draws of shape {draws_a.shape} and {draws_b.shape} are not paired: "
            "bootstrap both with the same seed, draws, groups and reducer"
        )
    return interval(draws_a - draws_b, level)


def _row_weights(
    rows: int, groups: np.ndarray | None, pairs: np.ndarray | None, rng: np.random.Generator
) -> Callable[[int], np.ndarray]:
    """Return what draws the next so many rows' counts; how they are asked for changes nothing."""
    if groups is not None and pairs is not None:
        raise StriateError("groups and pairs together are ambiguous: give one of them")
    if pairs is not None:
        stimuli, flat_index = np.unique(pairs, return_inverse=True)
        index = flat_index.reshape(pairs.shape)
        return lambda n: pair_weights(_counts(len(stimuli), n, rng), index)
    if groups is None:
        return lambda n: _counts(rows, n, rng).astype(np.float64)
    labels, group = np.unique(groups, return_inverse=True)
    return lambda n: _counts(len(labels), n, rng)[:, group.ravel()].astype(np.float64)


def _counts(things: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(things, np.full(things, 1.0 / things), size=draws)


def _weighted(
    score: str, weight: np.ndarray, t: np.ndarray, p: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    """Scores (draw, target) of rows that count `weight` times each, by products."""
    rows = weight.sum(axis=1, keepdims=True) if kept.all() else weight @ kept.astype(np.float64)
    if score == "mse":
        found = weight @ np.where(kept, t - p, 0.0) ** 2 / np.maximum(rows, 1)
    elif score == "r2":
        z, spread = _scaled(t, kept)
        total = _spread(weight @ (z * z), weight @ z, rows)
        error = weight @ (np.where(kept, t - p, 0.0) / spread) ** 2
        found = 1.0 - error / np.where(total > 0, total, np.nan)
    else:
        if score == "spearman":
            t, p = ranks(t, kept), ranks(p, kept)
        x, y = unit(t, kept)[0], unit(p, kept)[0]
        sum_x, sum_y = weight @ x, weight @ y
        both = _spread(weight @ (x * x), sum_x, rows)
        both *= _spread(weight @ (y * y), sum_y, rows)
        both[both <= 0] = np.inf
        sum_x *= sum_y
        sum_x /= np.maximum(rows, 1)
        found = weight @ (x * y)
        found -= sum_x
        found /= np.sqrt(both, out=both)
        np.clip(found, -1.0, 1.0, out=found)
    few = rows < FEWEST_ROWS
    return np.where(few, np.nan, found) if few.any() else found


def _scaled(values: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit columns, and the length they were divided by (1 where flat)."""
    z, is_flat = unit(values, kept)
    length = np.einsum("rt,rt->t", z, np.where(kept, values, 0.0))
    return z, np.where(is_flat, 1.0, length)


def _spread(squares: np.ndarray, sums: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sum of squares about the mean, of weighted sums; exactly 0 where that is only rounding."""
    about = sums * sums
    about /= np.maximum(rows, 1)
    np.subtract(squares, about, out=about)
    about[about <= ROUNDING * squares] = 0.0
    return about


def _over(block: np.ndarray, how: str) -> np.ndarray:
    valid = ~np.isnan(block)
    if how == "median" and block.size and valid.all():
        return _middle(block)
    columns = valid.any(axis=0)
    draws = valid.any(axis=1)
    result = np.full(len(block), np.nan)
    if draws.any():
        average = np.nanmean if how == "mean" else np.nanmedian
        result[draws] = average(block[np.ix_(draws, columns)], axis=1)
    return result


def _middle(block: np.ndarray) -> np.ndarray:
    """Median of every row, none of whose values is NaN."""
    at = block.shape[1] // 2
    ordered = np.partition(block, at, axis=1)
    high = ordered[:, at]
    if block.shape[1] % 2:
        return high
    return (ordered[:, :at].max(axis=1) + high) / 2


def _quantile(ordered: np.ndarray, count: np.ndarray, q: float) -> np.ndarray:
    """Linear interpolation between the order statistics around q, per column."""
    place = q * np.maximum(count - 1, 0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low = np.take_along_axis(ordered, below, axis=0)[0]
    high = np.take_along_axis(ordered, above, axis=0)[0]
    return np.asarray(low + (high - low) * (place - below)[0])
