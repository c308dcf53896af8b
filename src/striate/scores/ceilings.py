"""Noise ceilings: the fraction of a target's variance that any model could explain.

Every ceiling here is a fraction of variance (R² can reach it, r can reach its root), never a
percentage. It speaks of the variance of a *mean over repeats* or of *one repeat*, as each function
says; `spearman_brown` goes from one to the other. Estimates of targets without signal scatter
around 0 and are returned negative as they come, so that their average is honest; `normalise`
leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Real

from striate.errors import StriateError
from striate.scores.correlation import (
    FEWEST_ROWS,
    ROUNDING,
    batches,
    ranks,
    spearman,
    unit,
)


def spearman_brown(r: Float[np.ndarray, "..."], factor: float | int) -> Float[np.ndarray, "..."]:
    """Reliability of a measurement `factor` times as long: factor·r / (1 + (factor - 1)·r).

    Spearman (1910), Brown (1910). NaN where the denominator is not positive.

    >>> spearman_brown(np.array([0.5]), 2)
    array([0.66666667])
    """
    below = 1.0 + (factor - 1.0) * r
    return factor * r / np.where(below > 0, below, np.nan)


def split_half(
    repeats: Real[np.ndarray, "row target repeat"], splits: int = 100, seed: int = 0
) -> Float[np.ndarray, " target"]:
    """Split-half reliability of the mean over all repeats, from random halves.

    For every split each row's available repeats are dealt at random into two halves of equal size
    (one repeat sits out where their number is odd); the halves' means are correlated over rows,
    averaged over splits, and corrected by Spearman-Brown with factor = repeats per row / repeats
    per half (of |r|, the sign kept, so that noise averages 0). Rows with fewer than two repeats
    are left out for the target; NaN below three rows; 0 for a target that never varies. The split
    of a row does not depend on the other targets.

    >>> signal = np.arange(4.0)[:, None, None] * np.ones((4, 1, 6))
    >>> split_half(signal, splits=3)
    array([1.])
    """
    rows, targets, count = repeats.shape
    if count < 2:
        raise StriateError(f"{count} repeat has no halves: a noise ceiling needs two or more")
    keys = np.random.default_rng(seed).random((splits, rows, count))
    result = np.full(targets, np.nan)
    for columns, available in _same_availability(repeats):
        half = available.sum(axis=1) // 2
        used = np.flatnonzero(half)
        if len(used) < FEWEST_ROWS:
            continue
        order = np.where(available[used], keys[:, used], np.inf).argsort(axis=2).argsort(axis=2)
        size = half[used, None]
        # (row, 2·split, repeat): a product with it takes the means of all halves at once.
        deal = np.concatenate([order < size, (order >= size) & (order < 2 * size)]) / size
        deal = deal.transpose(1, 0, 2)
        total = np.zeros(len(columns))
        for part in batches(len(used) * 2 * splits, len(columns)):
            block = np.asarray(repeats[np.ix_(used, columns[part])], dtype=np.float64)
            means = deal @ np.where(available[used, None], block, 0.0).transpose(0, 2, 1)
            flat_means = means.reshape(len(used), -1)
            z = unit(flat_means, np.ones(flat_means.shape, dtype=bool))[0]
            z = z.reshape(len(used), 2, splits, -1)
            total[part] = np.einsum("rst,rst->t", z[:, 0], z[:, 1]) / splits
        factor = available[used].sum() / half[used].sum()
        # Mirrored below 0, where the correction would run to minus infinity as r nears -1.
        corrected = spearman_brown(np.minimum(np.abs(total), 1.0), float(factor))
        result[columns] = np.sign(total) * corrected
    return result


def means_ceiling(repeats: Real[np.ndarray, "row target repeat"]) -> Float[np.ndarray, " target"]:
    """Explainable fraction of the variance of row means when rows have different repeats.

    1 - mean over rows of (s² / repeats of the row) / variance of the row means, with s² the
    variance of one repeat, pooled over rows with two or more (one-way analysis of variance). Rows
    without repeats are left out; NaN where no row has two, or fewer than three rows have any.

    >>> signal = np.arange(4.0)[:, None, None] * np.ones((4, 1, 6))
    >>> means_ceiling(signal)
    array([1.])
    """
    values = repeats.astype(np.float64)
    count = (~np.isnan(values)).sum(axis=2)
    mean = np.nansum(values, axis=2) / np.maximum(count, 1)
    within = np.nansum((values - mean[:, :, None]) ** 2, axis=(0, 2))
    freedom = np.maximum(count - 1, 0).sum(axis=0)
    known = count > 0
    rows = known.sum(axis=0)
    centre = np.where(known, mean, 0).sum(axis=0) / np.maximum(rows, 1)
    spread = np.where(known, (mean - centre) ** 2, 0).sum(axis=0) / np.maximum(rows - 1, 1)
    error = within / np.maximum(freedom, 1)
    noise = error * np.where(known, 1 / np.maximum(count, 1), 0).sum(axis=0) / np.maximum(rows, 1)
    usable = (freedom > 0) & (rows >= 3) & (spread > 0)
    return np.where(usable, 1 - noise / np.where(spread > 0, spread, 1), np.nan)


def ncsnr(repeats: Real[np.ndarray, "row target repeat"]) -> Float[np.ndarray, " target"]:
    """Noise-ceiling signal-to-noise ratio: σ_signal / σ_noise of one repeat (Allen et al., 2022).

    σ²_noise = mean over rows of the variance over repeats (n - 1); σ²_signal = variance of all
    responses - σ²_noise, at least 0. Give responses z-scored within session, as NSD does, and the
    total is 1. Rows with fewer than two repeats say nothing about noise but count in the total.
    Infinite without noise, NaN without noise and signal, or when no row has two repeats.

    >>> ncsnr(np.array([[[0.0, 2.0]], [[4.0, 6.0]], [[2.0, 4.0]]])).round(4)
    array([0.9129])
    """
    targets = repeats.shape[1]
    result = np.full(targets, np.nan)
    for columns in batches(repeats.shape[0] * repeats.shape[2], targets):
        block = np.asarray(repeats[:, columns], dtype=np.float64)
        kept = ~np.isnan(block)
        count = kept.sum(axis=2)
        mean = _mean(block, kept, (2,))
        spread = np.where(kept, block - mean, 0.0)
        within = (spread**2).sum(axis=2) / np.maximum(count - 1, 1)
        noise = _mean(within, count > 1, (0,))[0]
        total = _mean((block - _mean(block, kept, (0, 2))) ** 2, kept, (0, 2))[0, :, 0]
        least = _rounding(block, kept)
        noise = np.where(noise <= least, 0.0, noise)
        signal = np.where(total <= least, 0.0, np.maximum(total - noise, 0.0))
        ratio = np.sqrt(signal / np.where(noise > 0, noise, np.nan))
        result[columns] = np.where((noise == 0) & (signal > 0), np.inf, ratio)
    return result


def nsd_noise_ceiling(
    ncsnr: Float[np.ndarray, " target"], counts: Sequence[int]
) -> Float[np.ndarray, " target"]:
    """Noise ceiling of the mean over repeats, as a fraction (Allen et al., 2022).

    NC = ncsnr² / (ncsnr² + Σ_k (A_k / k) / Σ_k A_k), where `counts` lists A_1, A_2, …: how many
    rows were seen once, twice, and so on. NaN stays NaN. Raises StriateError for counts that are
    negative or all zero.

    >>> nsd_noise_ceiling(np.array([1.0]), [20, 30, 50])
    array([0.65934066])
    """
    rows = np.asarray(counts, dtype=np.float64)
    if rows.ndim != 1 or not rows.sum() > 0 or (rows < 0).any():
        raise StriateError(
            f"{list(counts)} counts no rows: list how many were seen once, twice, three times, …"
        )
    noise = float((rows / np.arange(1, len(rows) + 1)).sum() / rows.sum())
    # Written as 1 / (1 + …) so that an infinite ratio has the ceiling 1.
    with np.errstate(divide="ignore"):
        return 1.0 / (1.0 + noise / np.square(ncsnr, dtype=np.float64))


def explainable_variance(
    repeats: Real[np.ndarray, "row target repeat"], bias_correction: bool = True
) -> Float[np.ndarray, " target"]:
    """Fraction of *one repeat's* variance that the stimulus explains (Sahani & Linden, 2003).

    EV = Var(mean over repeats) / mean over repeats of Var(repeat); with `bias_correction`,
    EV - (1 - EV) / (n - 1), which is signal power / total power (Schoppe et al., 2016; the
    voxelwise tutorials, which z-score every repeat first). `spearman_brown(EV, n)` is the ceiling
    of the mean of n repeats. Only rows with all repeats count for a target; NaN below three such
    rows or without variance.

    >>> repeats = np.array([[[0.0, 2.0]], [[4.0, 6.0]], [[2.0, 4.0]]])
    >>> explainable_variance(repeats)
    array([1.])
    """
    rows, targets, count = repeats.shape
    if count < 2:
        raise StriateError(f"{count} repeat shows no noise: explainable variance needs two or more")
    result = np.full(targets, np.nan)
    for columns in batches(rows * count, targets):
        block = np.asarray(repeats[:, columns], dtype=np.float64)
        kept = np.asarray(~np.isnan(block).any(axis=2, keepdims=True))
        used = kept.sum(axis=(0, 2))
        every = np.repeat(kept, count, axis=2)
        total = _variance(block, every).mean(axis=1)
        mean = np.where(kept, block, 0.0).mean(axis=2, keepdims=True)
        shared = _variance(mean, kept)[:, 0]
        enough = (used >= FEWEST_ROWS) & (total > _rounding(block, every))
        ev = shared / np.where(enough, total, np.nan)
        result[columns] = ev - (1.0 - ev) / (count - 1) if bias_correction else ev
    return result


def rdm_ceiling(rdms: Real[np.ndarray, "subject pair"]) -> tuple[float, float]:
    """Lower and upper bound of the mean Spearman correlation with subjects (Nili et al., 2014).

    Every subject's RDM is ranked first. Upper: mean correlation with the mean of all subjects;
    lower: with the mean of the others. Squared, they are the ceilings of a squared correlation.
    Raises StriateError for fewer than two subjects and for NaN.

    >>> lower, upper = rdm_ceiling(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]))
    >>> round(lower, 9), round(upper, 9)
    (1.0, 1.0)
    """
    _complete(rdms)
    columns = rdms.T.astype(np.float64)
    ranked = ranks(columns, np.ones(columns.shape, dtype=bool))
    everyone = ranked.sum(axis=1, keepdims=True)
    lower = spearman(ranked, everyone - ranked)
    upper = spearman(ranked, np.broadcast_to(everyone, ranked.shape))
    return float(lower.mean()), float(upper.mean())


def algonauts2019_ceiling(rdms: Real[np.ndarray, "subject pair"]) -> float:
    """Ceiling of the 2019 challenge's R²: mean over subjects of Spearman(subject, mean of all)².

    An upper bound: each subject is part of the mean. The RDMs are averaged as they are, unranked.
    Raises StriateError for fewer than two subjects and for NaN.

    >>> round(algonauts2019_ceiling(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])), 9)
    1.0
    """
    _complete(rdms)
    columns = rdms.T.astype(np.float64)
    mean = np.broadcast_to(columns.mean(axis=1, keepdims=True), columns.shape)
    return float((spearman(columns, mean) ** 2).mean())


def _complete(rdms: np.ndarray) -> None:
    if len(rdms) < 2:
        raise StriateError(f"{len(rdms)} subject has no others to agree with: give two or more")
    missing = int(np.isnan(rdms).sum())
    if missing:
        raise StriateError(f"{missing} RDM values are NaN: select the pairs every subject has")


def _same_availability(repeats: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Group the targets that lack the same repeats: their columns and the (row, repeat) mask."""
    rows, targets, count = repeats.shape
    groups: dict[bytes, list[np.ndarray]] = {}
    for part in batches(rows * count, targets):
        here = ~np.isnan(repeats[:, part].transpose(1, 0, 2).reshape(-1, rows * count))
        packed = np.packbits(here, axis=1)
        patterns, which = np.unique(packed, axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            columns = part.start + np.flatnonzero(which.ravel() == i)
            groups.setdefault(pattern.tobytes(), []).append(columns)
    for key, parts in groups.items():
        bits = np.unpackbits(np.frombuffer(key, dtype=np.uint8), count=rows * count)
        yield np.concatenate(parts), bits.reshape(rows, count).astype(bool)


def _mean(values: np.ndarray, kept: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Mean over the kept entries, axes kept as length 1; NaN where there is none."""
    count = kept.sum(axis=axes, keepdims=True)
    total = np.where(kept, values, 0.0).sum(axis=axes, keepdims=True)
    return total / np.where(count > 0, count, np.nan)


def _rounding(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Variance of each target that is rounding beside its values."""
    return (ROUNDING * np.abs(np.where(kept, values, 0.0)).max(axis=(0, 2), initial=0.0)) ** 2


def _variance(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Variance (n - 1) over the kept rows of (row, target, repeat)."""
    centred = np.where(kept, values - _mean(values, kept, (0,)), 0.0)
    return (centred**2).sum(axis=0) / np.maximum(kept.sum(axis=0) - 1, 1)
