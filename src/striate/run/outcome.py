"""What the predictions of a run amount to: pooled truth, headline numbers, intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, has_truth, slots
from striate.recipe import Recipe
from striate.scores import (
    Scored,
    interval,
    matched,
    membership_of,
    over_targets,
    paired_interval,
    permutation_p_rdm,
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


def rdm_permutation(truth: Blocks, predicted: Blocks) -> dict[str, float]:
    """P value over images for every target of complete RDMs; nothing for incomplete ones."""
    found: dict[str, list[Scored]] = {}
    for part in matched(truth, predicted):
        images = len(set(part.stimuli.ravel())) if part.stimuli.shape[1] == 2 else 0
        if images < 3 or len(part.rows) != images * (images - 1) // 2:
            return {}
        found.setdefault("|".join(part.rows.index), []).append(part)
    p = {}
    for parts in found.values():
        names = parts[0].targets.index.unique()
        ids, place = np.unique(parts[0].stimuli.astype(str), return_inverse=True)
        i, j = place.reshape(-1, 2).T
        for name in names:
            model, brain = np.zeros((len(ids), len(ids))), []
            for part in parts:
                columns = np.flatnonzero(part.targets.index == name)
                model[i, j] = model[j, i] = part.predicted[:, columns].mean(axis=1)
                square = np.zeros((len(ids), len(ids)))
                for c in columns:
                    square[i, j] = square[j, i] = part.truth[:, c]
                    brain.append(square[np.triu_indices(len(ids), 1)])
            p[str(name)] = permutation_p_rdm(model, np.stack(brain), DRAWS)
    return p


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
