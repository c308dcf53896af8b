"""Reliability over every way of halving the repeats: no draw of lots, so no seed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Float, Real

from striate.errors import StriateError
from striate.scores.correlation import FEWEST_ROWS, ROUNDING, batches

MOST_REPEATS = 16
# A half whose variance is this small beside that of its repeats has cancelled to rounding.
LEAST = 1e-14


def halvings(repeats: int) -> np.ndarray:
    """Every way to part an even number of repeats into two equal halves, once: split × repeat.

    True marks the half that holds the first repeat. Raises StriateError for odd numbers, below
    two, and above 16 (6,435 ways).

    >>> halvings(4).astype(int).tolist()
    [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    """
    if repeats < 2 or repeats % 2:
        raise StriateError(
            f"{repeats} repeats have no two equal halves: use split_half, which leaves one out"
        )
    if repeats > MOST_REPEATS:
        raise StriateError(
            f"{repeats} repeats can be halved in too many ways to try all: use split_half, which "
            "draws some"
        )
    first = [(0, *rest) for rest in combinations(range(1, repeats), repeats // 2 - 1)]
    chosen = np.zeros((len(first), repeats), dtype=bool)
    chosen[np.arange(len(first))[:, None], np.array(first)] = True
    return chosen


def all_halves(
    repeats: Real[np.ndarray, "row target repeat"],
) -> Float[np.ndarray, " target"]:
    """Reliability of the mean over all repeats, from every equal halving of them.

    Repeats are halved in all ways, the same for every row (10 repeats: 126); the halves' means
    are correlated over rows, each correlation is corrected by Spearman-Brown, 2r / (1 + r), and
    these are averaged, as the 2021 challenge defines reliability. It is a fraction of variance:
    a correlation with the mean is divided by its root. Below 0 the correction is the published
    one too, so that halves that oppose each other count far below -1 and noise averages below 0;
    a correlation of -1 itself has none and makes the average -inf. Rows that lack a repeat of a
    target are left out for it; NaN below three rows; 0 for a target that never varies.

    Raises
    ------
    StriateError
        When the number of repeats is odd, below two, or above 16.

    >>> signal = np.arange(4.0)[:, None, None] * np.ones((4, 1, 6))
    >>> all_halves(signal)
    array([1.])

    """
    rows, targets, count = repeats.shape
    first = halvings(count) / (count / 2)
    second = 2 / count - first
    result = np.full(targets, np.nan)
    for part in batches(rows * count, targets):
        block = np.asarray(repeats[:, part], dtype=np.float64).transpose(1, 2, 0)
        kept = ~np.isnan(block).any(axis=1, keepdims=True)
        used = kept.sum(axis=2)
        block = np.where(kept, block, 0.0)
        size = np.abs(block).max(axis=(1, 2), initial=0.0)
        block -= block.sum(axis=2, keepdims=True) / np.maximum(used, 1)[:, :, None]
        block = np.where(kept, block / np.where(size > 0, size, 1.0)[:, None, None], 0.0)
        # What halves share follows from what repeats share: aᵀCb, with C between repeats.
        between = block @ block.transpose(0, 2, 1)
        least = LEAST * np.trace(between, axis1=1, axis2=2)[:, None] + (ROUNDING**2) * used
        own, other = first @ between, second @ between
        shared = (own * second).sum(axis=2)
        spread = [(own * first).sum(axis=2), (other * second).sum(axis=2)]
        varies = (spread[0] > least) & (spread[1] > least)
        r = shared / np.sqrt(np.where(varies, spread[0] * spread[1], np.inf))
        r = np.clip(r, -1.0, 1.0)
        with np.errstate(divide="ignore"):
            corrected = 2 * r / (1 + r)
        result[part] = np.where(used[:, 0] >= FEWEST_ROWS, corrected.mean(axis=1), np.nan)
    return result
