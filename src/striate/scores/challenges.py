"""What the challenges of 2021, 2023 and 2025 make of correlations, as published and by name.

Correlations come from `pearson`: in float64, 0 where a prediction never varies (`flat` marks it).
Ceilings are fractions of variance, never percentages; NaN in a result says "left out", which
`average` counts. The score of 2019 stands in `algonauts`, the reliability of 2021 in
`halves`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Real

from striate.errors import StriateError
from striate.scores.correlation import average, normalise, pearson

SMALLEST_CEILING = 1e-14
"""What the 2023 kit puts in place of a ceiling of exactly 0."""
DROPPED = 5
"""Samples that 2025 leaves out at both ends of a run."""


def algonauts2021(
    r: Float[np.ndarray, " target"], ceiling: Float[np.ndarray, " target"]
) -> Float[np.ndarray, " target"]:
    """Noise-normalised correlation of every voxel, r / √reliability, as 2021 scores it.

    `ceiling` is the reliability of the mean over the test repeats (`all_halves`). Signs are kept
    and nothing is clipped. NaN where the ceiling is not positive: the released voxels had been
    selected, so the challenge met none. Raises StriateError for ceilings above 1.

    >>> algonauts2021(np.array([0.3, -0.2, 0.3]), np.array([0.25, 1.0, 0.0]))
    array([ 0.6, -0.2,  nan])
    """
    return normalise(r.astype(np.float64), ceiling.astype(np.float64))


def algonauts2021_mini(
    values: Mapping[str, Sequence[Float[np.ndarray, " _"]]],
) -> tuple[float, dict[str, float]]:
    """Mini-track score and that of each region, from region → the voxels' scores of each subject.

    Voxels are averaged within region and subject, then subjects, then regions, each with the same
    weight. NaN is left out at every step; a subject without a region gives no array.

    >>> algonauts2021_mini({"V1": [np.array([0.2, 0.4]), np.array([0.5])], "FFA": [np.ones(3)]})
    (0.7..., {'V1': 0.4, 'FFA': 1.0})
    """
    by_roi = {
        roi: average(np.array([average(v.astype(np.float64)).value for v in people])).value
        for roi, people in values.items()
    }
    return average(np.array(list(by_roi.values()), dtype=np.float64)).value, by_roi


def inflated(r: Float[np.ndarray, "..."], rows: int) -> Float[np.ndarray, "..."]:
    """The correlation that the 2021 kit prints in validation: r·n / (n - 1).

    It divides a covariance over n - 1 by deviations over n. Raises StriateError below two rows.

    >>> inflated(np.array([0.5]), 100).round(6)
    array([0.505051])
    """
    if rows < 2:
        raise StriateError(f"{rows} rows correlate with nothing: the kit's factor needs two")
    return r * (rows / (rows - 1))


def algonauts2023(
    r: Float[np.ndarray, " target"],
    ceiling: Float[np.ndarray, " target"],
    zeros_left_out: bool = False,
    signed: bool = False,
) -> Float[np.ndarray, " target"]:
    """Percent of the explainable variance of every vertex, as 2023 scores it.

    100·max(r, 0)² / ceiling, at most 100; the challenge's number is the mean over all vertices of
    all subjects. Where the ceiling is 0 it becomes 1e-14, so that any positive r is worth 100.

    Parameters
    ----------
    r, ceiling
        Correlation over test images, and the explainable fraction of variance.
    zeros_left_out
        NaN for vertices without signal, in place of free points.
    signed
        100·r·|r| / ceiling within ±100, so that noise averages 0 and a model opposite to the brain
        is seen. Clipping stays: ceilings near 0 would drown all others.

    Raises
    ------
    StriateError
        For ceilings outside [0, 1] or NaN, and correlations that are NaN.

    >>> algonauts2023(np.array([0.8, 0.3162278, -0.3162278]), np.array([0.5, 0.4, 0.0])).round(4)
    array([100.,  25.,   0.])

    """
    bad = int(np.isnan(r).sum())
    if bad:
        raise StriateError(f"{bad} of {r.size} correlations are NaN: give three test rows or more")
    odd = ~((ceiling >= 0) & (ceiling <= 1 + 1e-6))
    if odd.any():
        raise StriateError(
            f"{int(odd.sum())} of {ceiling.size} ceilings, such as {float(ceiling[odd][0]):g}, are "
            "no fractions of variance: divide ceilings given in percent by 100"
        )
    floor = np.nan if zeros_left_out else SMALLEST_CEILING
    below = np.where(ceiling == 0, floor, ceiling.astype(np.float64))
    value = r.astype(np.float64)
    value = value * np.abs(value) if signed else np.maximum(value, 0.0) ** 2
    return np.clip(100.0 * value / below, -100.0, 100.0)


def algonauts2025(
    truth: Sequence[Real[np.ndarray, "_ target"]],
    predicted: Sequence[Real[np.ndarray, "_ target"]],
    dropped: int = DROPPED,
) -> Float[np.ndarray, " target"]:
    """Correlation of every parcel over runs put behind each other without their ends, as 2025.

    Runs (row × target, one row per TR) are cut with `inner_rows` first. Raises StriateError for
    runs whose shapes differ, predictions that are not finite, and runs too short to cut.

    >>> run = np.arange(12.0)[:, None]
    >>> algonauts2025([run, -run], [run, -run])
    array([1.])
    """
    if len(truth) != len(predicted):
        raise StriateError(f"{len(truth)} measured and {len(predicted)} predicted runs: pair them")
    for k, (t, p) in enumerate(zip(truth, predicted, strict=True)):
        if t.shape != p.shape:
            raise StriateError(
                f"run {k} is measured as {t.shape} and predicted as {p.shape}: predict every TR"
            )
    return pearson(inner_rows(truth, dropped), inner_rows(predicted, dropped))


def inner_rows(
    runs: Sequence[Real[np.ndarray, "_ target"]], dropped: int = DROPPED
) -> Real[np.ndarray, "row target"]:
    """Runs behind each other, each without its first and last `dropped` rows.

    >>> inner_rows([np.arange(12.0)[:, None], np.arange(11.0)[:, None]])[:, 0]
    array([5., 6., 5.])
    """
    if not runs:
        raise StriateError("no run to score: give one or more")
    short = [len(run) for run in runs if len(run) <= 2 * dropped]
    if short:
        raise StriateError(
            f"a run of {short[0]} samples has none left without {dropped} at both ends: leave it "
            "out"
        )
    return np.concatenate([run[dropped : len(run) - dropped] for run in runs])
