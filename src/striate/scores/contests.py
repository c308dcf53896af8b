"""Averages of several models over sets of targets, and the differences of each pair, as tables."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from striate.scores.correlation import SCORES, normalise
from striate.scores.paired import two_sided
from striate.scores.resampling import interval


def sets_of(
    subjects: np.ndarray, regions: pd.DataFrame, by: str
) -> dict[tuple[str, str], Bool[np.ndarray, " target"]]:
    """Sets of targets by (subject, region), empty for all; none is empty.

    `subjects` and `regions` (target × region) tell where each target belongs; `by` is ``roi``,
    ``subject`` or ``both``, which has the regions of each subject too.

    >>> inside = pd.DataFrame({"V1": [True, False]})
    >>> list(sets_of(np.array(["a", "b"]), inside, "both"))
    [('', ''), ('', 'V1'), ('a', ''), ('b', ''), ('a', 'V1')]
    """
    inside = {str(c): regions[c].eq(True).to_numpy() for c in regions}
    people = {str(s): subjects == s for s in dict.fromkeys(subjects)}
    sets = {("", ""): np.ones(len(subjects), dtype=bool)}
    if by != "subject":
        sets |= {("", r): m for r, m in inside.items()}
    if by != "roi":
        sets |= {(s, ""): m for s, m in people.items()}
    if by == "both":
        sets |= {(s, r): p & m for s, p in people.items() for r, m in inside.items()}
    return {k: m for k, m in sets.items() if m.any()}


def ceilings(targets: pd.DataFrame) -> Float[np.ndarray, " target"]:
    """Noise ceilings from a table of targets; NaN where none is known."""
    if "ceiling" not in targets:
        return np.full(len(targets), np.nan)
    return targets["ceiling"].to_numpy(float)


def of_ceiling(
    values: Float[np.ndarray, "model target"], ceiling: Float[np.ndarray, " target"], score: str
) -> Float[np.ndarray, "model target"]:
    """Share of what the noise leaves reachable; NaN for scores that have no ceiling."""
    if SCORES[score].ceiling == "none":
        return np.full(values.shape, np.nan)
    return normalise(values, ceiling, score)


def averages(
    values: Float[np.ndarray, "model target"], inside: Bool[np.ndarray, "target set"]
) -> tuple[Float[np.ndarray, "model set"], Float[np.ndarray, "model set"]]:
    """Mean and median over the targets of each set; NaN where none is defined."""
    shape = (len(values), inside.shape[1])
    mean, median = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, mask in enumerate(inside.T):
        for m, own in enumerate(values[:, mask]):
            if not np.isnan(own).all():
                mean[m, k], median[m, k] = np.nanmean(own), np.nanmedian(own)
    return mean, median


def about(
    drawn: Float[np.ndarray, "model draw set"], measured: Float[np.ndarray, "model set"]
) -> Float[np.ndarray, "model draw set"]:
    """Draws moved so that their means are what was measured.

    Resampling scatters every target, which moves averages of many: what was measured could lie
    outside of its own interval.
    """
    known = ~np.isnan(drawn)
    middle = np.where(known, drawn, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.asarray(drawn + np.nan_to_num(measured - middle)[:, None])


def tables_of(
    names: Sequence[str],
    sets: Sequence[tuple[str, str]],
    inside: Bool[np.ndarray, "target set"],
    measured: tuple[Float[np.ndarray, "model set"], Float[np.ndarray, "model set"]],
    over: Float[np.ndarray, "model set"],
    drawn: Sequence[Float[np.ndarray, "model draw set"]],
    score: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One line per model and set, the best model first; one per pair and set.

    `measured` and `drawn` are means and medians, `over` is what to tell of the ceiling. Without
    draws, intervals and P values are NaN.
    """
    (mean, median), (means, medians) = measured, drawn
    sign = 1 if SCORES[score].higher_is_better else -1
    order = np.argsort(-sign * np.nan_to_num(mean[:, 0], nan=-sign * np.inf), kind="stable")
    lines, pairs = [], []
    places = [dict(zip(("subject", "roi"), s, strict=True)) for s in sets]
    ends, middle_ends = _ends(means), _ends(medians)
    for m in order:
        for k, place in enumerate(places):
            line: dict[str, Any] = {"model": names[m], **place, "targets": int(inside[:, k].sum())}
            line |= {"mean": mean[m, k], "mean_low": ends[0][m, k], "mean_high": ends[1][m, k]}
            line |= {"median": median[m, k], "median_low": middle_ends[0][m, k]}
            line |= {"median_high": middle_ends[1][m, k], "of_ceiling": over[m, k]}
            lines.append(line)
    for a, b in itertools.combinations(order, 2):
        apart, medians_apart = means[a] - means[b], medians[a] - medians[b]
        low, high = _ends(apart[None])
        below, above = _ends(medians_apart[None])
        p = two_sided(apart)
        for k, place in enumerate(places):
            line = {"model": names[a], "other": names[b], **place, "mean": mean[a, k] - mean[b, k]}
            line |= {"low": low[0, k], "high": high[0, k], "p": p[k]}
            line |= {"median": median[a, k] - median[b, k]}
            line |= {"median_low": below[0, k], "median_high": above[0, k]}
            pairs.append(line)
    return pd.DataFrame(lines), pd.DataFrame(pairs)


def _ends(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % intervals (model × set) of draws (model, draw, set)."""
    if not drawn.shape[1]:
        nothing = np.full((drawn.shape[0], drawn.shape[2]), np.nan)
        return nothing, nothing
    return interval(np.moveaxis(drawn, 1, 0))
