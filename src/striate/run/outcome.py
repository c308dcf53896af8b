"""What the predictions of a run amount to: pooled truth, headline numbers, intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Responses
from striate.recipe import Recipe
from striate.scores import (
    interval,
    matched,
    membership_of,
    over_targets,
    paired_interval,
    permutation_p_rdm,
    resampled,
    summarise,
)

Blocks = Mapping[str, Responses]

DRAWS = 1000
LARGEST = 100_000_000
"""Rows × targets beyond which intervals are left out."""


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
    truth: Blocks,
    predicted: Mapping[str, Blocks],
    score: str,
    answer: str,
    measured: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Intervals of the answer's median and its paired differences to every other member.

    `measured` are the headlines of all members, about which the intervals then lie.

    Returns (interval of the median and by region, comparison by member); both empty when the data
    are too large to resample.
    """
    size = sum(b.shape[0] for b in truth.values()) * sum(b.shape[1] for b in truth.values())
    if size > LARGEST:
        return {}, {}
    last = predicted[answer]
    regions, told = membership_of(truth, last), _asked(truth, last)
    names, middle = ["", *regions], _medians(regions)

    def drawn(member: str, blocks: Blocks) -> np.ndarray:
        draws = resampled(truth, blocks, score, middle, DRAWS)
        return draws if measured is None else _about(draws, measured[member][score], names)

    own = drawn(answer, last)
    low, high = interval(own)
    found = {"interval": [float(low[0]), float(high[0])], "draws": DRAWS}
    found["by_roi"] = {n: [float(low[k]), float(high[k])] for k, n in enumerate(names) if n}
    comparisons = {}
    for member, blocks in predicted.items():
        # Medians over other targets are not compared.
        if member == answer or _asked(truth, blocks) != told:
            continue
        low, high = paired_interval(own, drawn(member, blocks))
        comparisons[member] = {
            "score": score,
            "interval": [float(low[0]), float(high[0])],
            "by_roi": {n: [float(low[k]), float(high[k])] for k, n in enumerate(names) if n},
        }
    return found, comparisons


def _about(
    draws: Float[np.ndarray, "draw roi"], measured: Mapping[str, Any], names: Sequence[str]
) -> Float[np.ndarray, "draw roi"]:
    """Draws moved so that their means are the measured medians of all targets and of each region.

    Resampling scatters every target, which moves the median of many that are unevenly spread: it
    could lie outside of its own interval.
    """
    regions = measured.get("by_roi", {})
    values = [measured["median"], *(regions.get(n, {}).get("median") for n in names[1:])]
    centre = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a region that is never defined
        shift = centre - np.nanmean(draws, axis=0)
    return draws + np.where(np.isfinite(shift), shift, 0.0)


def rdm_permutation(truth: Blocks, predicted: Blocks) -> dict[str, float]:
    """P value over images for every target of complete RDMs; nothing for incomplete ones.

    Where predictions differ between subjects, their mean is the model; subjects who saw different
    images have no RDM in common, and get no P value either.
    """
    parts = list(matched(truth, predicted))
    shown = parts[0].stimuli
    images, place = np.unique(shown.astype(str), return_inverse=True)
    complete = len(images) > 2 and len(shown) == len(images) * (len(images) - 1) // 2
    if shown.shape[1] != 2 or not complete or len({tuple(p.rows.index) for p in parts}) > 1:
        return {}
    i, j = place.reshape(-1, 2).T

    def square(values: np.ndarray) -> np.ndarray:
        matrix = np.zeros((len(images), len(images)))
        matrix[i, j] = matrix[j, i] = values
        return matrix

    p = {}
    for name in dict.fromkeys(n for part in parts for n in part.targets.index):
        at = [part.targets.index == name for part in parts]
        model = np.concatenate([q.predicted[:, c].T for q, c in zip(parts, at, strict=True)])
        brain = np.concatenate([q.truth[:, c].T for q, c in zip(parts, at, strict=True)])
        upper = np.triu_indices(len(images), 1)
        rows = np.stack([square(b)[upper] for b in brain])
        p[str(name)] = permutation_p_rdm(square(model.mean(axis=0)), rows, DRAWS)
    return p


def _asked(truth: Blocks, predicted: Blocks) -> list[tuple[str, ...]]:
    """Subject and targets of everything that was predicted and measured."""
    return [(part.subject, *map(str, part.targets.index)) for part in matched(truth, predicted)]


def _at(table: Mapping[str, Any], path: str) -> Any:
    found: Any = table
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _medians(regions: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
    """Reduce draws × targets to the median over all targets, then over each region."""
    everything = np.ones((len(regions), 1), dtype=bool)
    return over_targets("median", np.concatenate([everything, regions.to_numpy(bool)], axis=1))


def expected(recipe: Recipe, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Published numbers beside those of this run, named by dotted paths of the scores.

    A number holds for the settings that its ``when`` names, such as ``{ "dataset.test" = "92" }``.
    """
    found = {}
    table = recipe.model_dump()
    for path, line in recipe.expect.items():
        if any(str(_at(table, k)) != str(v) for k, v in line.get("when", {}).items()):
            continue
        got = _at(scores, path)
        got = got.get("median", got.get("value")) if isinstance(got, Mapping) else got
        entry = dict(line) | {"got": got}
        if isinstance(got, int | float) and "value" in line:
            entry["within"] = bool(abs(got - line["value"]) <= line.get("tol", 0))
        found[path] = entry
    return found
