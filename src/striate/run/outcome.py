"""What the predictions of a run amount to: pooled truth, headline numbers, intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, has_truth, slots
from striate.recipe import Recipe
from striate.scores import (
    interval,
    membership_of,
    over_targets,
    paired_interval,
    resampled,
    summarise,
)
from striate.splits import Call

Blocks = Mapping[str, Responses]

DRAWS = 1000
LARGEST = 100_000_000
"""Rows × targets beyond which intervals are left out."""


def measured(responses: Blocks, calls: Sequence[Call]) -> dict[str, Responses]:
    """The measured rows that the outer calls predict."""
    found = {}
    for subject, block in responses.items():
        shown = slots(block)
        inside = np.zeros(len(block), dtype=bool)
        for call in calls:
            inside |= np.isin(shown, np.array(call.test, dtype=object)).all(axis=1)
        inside &= has_truth(block)
        if inside.any():
            found[subject] = block.isel(row=np.flatnonzero(inside))
    return found


def headline(table: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Median and mean of every score, as measured and over the ceiling."""
    found = {}
    for name in names:
        part = table[table["score"] == name]
        found[name] = summarise(part)
        if part["normalised"].notna().any():
            found[name]["normalised"] = summarise(part, "normalised")
            found[name]["ceiling"] = summarise(part, "ceiling")
        if part["flat"].any():
            found[name]["flat"] = int(part["flat"].sum())
        if name == "pearson" and part["q"].notna().any():
            found[name]["significant"] = int((part["q"] <= 0.05).sum())
    return found


def intervals(
    truth: Blocks, predicted: Mapping[str, Blocks], score: str, answer: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Intervals of the answer's median and its paired differences to every other member.

    Returns (interval of the median and by region, comparison by member); both empty when the data
    are too large to resample.
    """
    size = sum(b.shape[0] for b in truth.values()) * sum(b.shape[1] for b in truth.values())
    if size > LARGEST:
        return {}, {}
    regions = membership_of(truth, predicted[answer])
    names = ["", *regions]
    draws = {}
    for member, blocks in predicted.items():
        if member != answer and membership_of(truth, blocks).shape != regions.shape:
            continue
        draws[member] = resampled(truth, blocks, score, _medians(regions), DRAWS)
    own = draws[answer]
    low, high = interval(own)
    found = {"interval": [float(low[0]), float(high[0])], "draws": DRAWS}
    found["by_roi"] = {n: [float(low[k]), float(high[k])] for k, n in enumerate(names) if n}
    comparisons = {}
    for member, other in draws.items():
        if member == answer:
            continue
        low, high = paired_interval(own, other)
        comparisons[member] = {
            "score": score,
            "interval": [float(low[0]), float(high[0])],
            "by_roi": {n: [float(low[k]), float(high[k])] for k, n in enumerate(names) if n},
        }
    return found, comparisons


def _medians(regions: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
    """Reduce draws × targets to the median over all targets, then over each region."""
    everything = np.ones((len(regions), 1), dtype=bool)
    return over_targets("median", np.concatenate([everything, regions.to_numpy(bool)], axis=1))


def expected(recipe: Recipe, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Published numbers beside those of this run, named by dotted paths of the scores."""
    found = {}
    for path, line in recipe.expect.items():
        got: Any = scores
        for step in path.split("."):
            got = got.get(step) if isinstance(got, Mapping) else None
        got = got.get("median", got.get("value")) if isinstance(got, Mapping) else got
        entry = dict(line) | {"got": got}
        if isinstance(got, int | float) and "value" in line:
            entry["within"] = bool(abs(got - line["value"]) <= line.get("tol", 0))
        found[path] = entry
    return found
