"""How well each target is predicted: one number per column, summed in float64 whatever came in.

The same rules hold for every score here:

- rows where the truth of a target is NaN are left out for that target (`rows_used` counts them);
- a target with fewer than three such rows scores NaN;
- a prediction that is NaN or infinite is an error, because a score would hide it;
- a target whose truth or prediction never varies correlates 0 (`flat` marks it), and the R² of a
  truth that never varies is NaN, because there is nothing to explain;
- NaN never enters a mean unseen: `average` leaves it out and counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy import stats

from striate.errors import StriateError, unknown

FEWEST_ROWS = 3
BATCH_BYTES = 2**25
# A column whose spread is this small beside its values is rounding, not variance.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Score:
    """A score by name: its function, its direction, and what a noise ceiling does to it.

    `ceiling` is "root" (divide by its square root: correlations), "linear" (divide by it:
    fractions of variance) or "none" (has no upper bound to divide by: errors).
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    higher_is_better: bool
    ceiling: Literal["root", "linear", "none"]

    def __call__(
        self, truth: Real[np.ndarray, "row target"], predicted: Real[np.ndarray, "row target"]
    ) -> Float[np.ndarray, " target"]:
        """Score every target."""
        return self.function(truth, predicted)


class Average(NamedTuple):
    """A mean or median over targets, with how many carried it and how many were NaN."""

    value: float
    used: int
    left_out: int


def pearson(
    truth: Real[np.ndarray, "row target"], predicted: Real[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """Pearson correlation of every target, in [-1, 1]: r = Σxy / √(Σx² Σy²), x and y centred.

    0 where truth or prediction never varies (see `flat`), NaN below three rows. Raises
    StriateError on shapes that differ and on predictions that are not finite.

    >>> pearson(np.array([[0.0], [2.0], [1.0], [3.0]]), np.array([[0.0], [1.0], [2.0], [3.0]]))
    array([0.8])
    """
    return _per_target(truth, predicted, _correlation)


def spearman(
    truth: Real[np.ndarray, "row target"], predicted: Real[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """Spearman correlation of every target: Pearson of the ranks, ties sharing their mean rank.

    Ranks are taken over the rows that count for the target. Zeros, NaN and errors as `pearson`.

    >>> spearman(np.array([[1.0], [3.0], [9.0]]), np.array([[0.1], [0.2], [0.3]]))
    array([1.])
    """
    return _per_target(truth, predicted, _rank_correlation)


def r2(
    truth: Real[np.ndarray, "row target"], predicted: Real[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """Coefficient of determination of every target: 1 - SSE / SST, at most 1, negative if bad.

    SST is taken about the mean of the very rows scored. NaN where the truth never varies and
    below three rows. Errors as `pearson`.

    >>> r2(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [2.0]]))
    array([0.5])
    """
    return _per_target(truth, predicted, _determination)


def mse(
    truth: Real[np.ndarray, "row target"], predicted: Real[np.ndarray, "row target"]
) -> Float[np.ndarray, " target"]:
    """Mean squared error of every target, in squared units of the truth; NaN below three rows.

    >>> mse(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [0.0]]))
    array([3.])
    """
    return _per_target(truth, predicted, _squared_error)


def flat(
    truth: Real[np.ndarray, "row target"], predicted: Real[np.ndarray, "row target"]
) -> Bool[np.ndarray, " target"]:
    """Mark the targets whose truth or prediction never varies: their correlation 0 is a stand-in.

    False below three rows, where the score is NaN and speaks for itself.

    >>> flat(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]), np.arange(6.0).reshape(3, 2))
    array([ True, False])
    """
    return _per_target(truth, predicted, _flat, bool)


def rows_used(truth: Real[np.ndarray, "row target"]) -> Int[np.ndarray, " target"]:
    """Count the rows that carry each target's scores: those where its truth is no NaN.

    >>> rows_used(np.array([[1.0, np.nan], [2.0, 3.0]]))
    array([2, 1])
    """
    counts = np.empty(truth.shape[1], dtype=np.int64)
    for columns in batches(*truth.shape):
        counts[columns] = (~np.isnan(truth[:, columns])).sum(axis=0)
    return counts


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        score.name: score
        for score in (
            Score("pearson", pearson, higher_is_better=True, ceiling="root"),
            Score("spearman", spearman, higher_is_better=True, ceiling="root"),
            Score("r2", r2, higher_is_better=True, ceiling="linear"),
            Score("mse", mse, higher_is_better=False, ceiling="none"),
        )
    }
)


def normalise(
    value: Float[np.ndarray, "*draw target"],
    ceiling: Float[np.ndarray, " target"],
    score: str = "pearson",
) -> Float[np.ndarray, "*draw target"]:
    """Divide a score by what the noise leaves reachable: r / √ceiling, or R² / ceiling.

    `ceiling` is the explainable fraction of the variance of the truth, in [0, 1]. Where it is NaN,
    zero or negative the result is NaN: a target without signal is left out, never a free point.
    Nothing is clipped, so a result above 1 stays visible. For Spearman the root is approximate.
    Raises StriateError for ceilings above 1 and for scores without a ceiling.

    >>> normalise(np.array([0.3, 0.3]), np.array([0.25, 0.0]))
    array([0.6, nan])
    """
    if score not in SCORES:
        raise StriateError(unknown("score", score, SCORES))
    kind = SCORES[score].ceiling
    if kind == "none":
        raise StriateError(f"{score!r} has no noise ceiling: normalise a correlation or r2 instead")
    highest = np.max(ceiling, initial=0.0, where=~np.isnan(ceiling))
    if highest > 1 + 1e-6:
        raise StriateError(
            f"a noise ceiling of {highest:g} is no fraction of variance: "
            "divide ceilings given in percent by 100"
        )
    usable = np.where(ceiling > 0, ceiling, np.nan)
    return value / (np.sqrt(usable) if kind == "root" else usable)


def average(
    value: Float[np.ndarray, " target"], how: Literal["mean", "median"] = "mean"
) -> Average:
    """Average over targets without NaN, and say how many were left out; NaN if none remains.

    >>> average(np.array([0.2, np.nan, 0.4]))
    Average(value=0.3..., used=2, left_out=1)
    """
    used = value[~np.isnan(value)].astype(np.float64)
    middle = np.nan if not used.size else np.mean(used) if how == "mean" else np.median(used)
    return Average(float(middle), used.size, value.size - used.size)


def batches(rows: int, targets: int, size: int | None = None) -> Iterator[slice]:
    """Cut the targets into columns that take about `size` bytes each as float64."""
    width = max(1, (size or BATCH_BYTES) // (8 * max(rows, 1)))
    for start in range(0, targets, width):
        yield slice(start, min(start + width, targets))


def load(
    truth: np.ndarray, predicted: np.ndarray, columns: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read columns as float64, with a mask of the rows that count; refuse what is not finite."""
    if truth.shape != predicted.shape:
        raise StriateError(
            f"truth {truth.shape} and prediction {predicted.shape} differ in shape: "
            "select the same rows and targets, by label, before scoring"
        )
    t = np.asarray(truth[:, columns], dtype=np.float64)
    p = np.asarray(predicted[:, columns], dtype=np.float64)
    if not np.isfinite(p).all():
        bad = sum(int((~np.isfinite(predicted[:, c])).sum()) for c in batches(*predicted.shape))
        raise StriateError(
            f"{bad} of {predicted.size} predicted values are NaN or infinite: predict every row "
            "and target, or select the targets that were predicted before scoring"
        )
    if np.isinf(t).any():
        raise StriateError(
            f"{int(np.isinf(t).sum())} true values are infinite: store a missing response as NaN"
        )
    return t, p, ~np.isnan(t)


def unit(values: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre columns over kept rows and give them length 1; also say which are flat (all 0)."""
    z = np.where(kept, values, 0.0)
    size = np.abs(z).max(axis=0, initial=0.0)
    z -= z.sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
    z[~kept] = 0.0
    # Dividing by the largest first keeps the squares of tiny and of huge columns in range.
    spread = np.abs(z).max(axis=0, initial=0.0)
    is_flat = spread <= ROUNDING * size
    z /= np.where(is_flat, 1.0, spread)
    z[:, is_flat] = 0.0
    z /= np.where(is_flat, 1.0, np.sqrt(np.einsum("rt,rt->t", z, z)))
    return z, is_flat


def ranks(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Rank every column among its kept rows, ties sharing their mean rank."""
    ordered = np.ascontiguousarray(np.where(kept, values, np.nan).T)
    return np.asarray(stats.rankdata(ordered, axis=1, nan_policy="omit")).T


def _per_target(
    truth: np.ndarray,
    predicted: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    kind: type = np.float64,
) -> np.ndarray:
    """Apply a score to columns by batches; too few rows give NaN, or False."""
    result: np.ndarray = np.empty(truth.shape[1], dtype=kind)
    for columns in batches(*truth.shape):
        t, p, kept = load(truth, predicted, columns)
        missing = np.nan if kind is np.float64 else False
        enough = kept.sum(axis=0) >= FEWEST_ROWS
        result[columns] = np.where(enough, score(t, p, kept), missing)
    return result


def _correlation(t: np.ndarray, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    product = np.einsum("rt,rt->t", unit(t, kept)[0], unit(p, kept)[0])
    return np.clip(product, -1.0, 1.0)


def _rank_correlation(t: np.ndarray, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return _correlation(ranks(t, kept), ranks(p, kept), kept)


def _determination(t: np.ndarray, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    x = np.where(kept, t, 0.0)
    x = np.where(kept, x - x.sum(axis=0) / np.maximum(kept.sum(axis=0), 1), 0.0)
    error = np.where(kept, t - p, 0.0)
    total = np.einsum("rt,rt->t", x, x)
    total = np.where(unit(t, kept)[1] | (total == 0.0), np.nan, total)
    return 1.0 - np.einsum("rt,rt->t", error, error) / total


def _squared_error(t: np.ndarray, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    error = np.where(kept, t - p, 0.0)
    return np.einsum("rt,rt->t", error, error) / np.maximum(kept.sum(axis=0), 1)


def _flat(t: np.ndarray, p: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return unit(t, kept)[1] | unit(p, kept)[1]
