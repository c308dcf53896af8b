"""Predictions of members beside each other, sums of them by weights, and what the weights were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from striate.data import Features, Responses, align, assemble, row_table
from striate.data.responses import ROI
from striate.encoders.targets import predicted
from striate.errors import DataError

Part: TypeAlias = dict[str, Any]
"""Of one bucket: ``members`` (names), ``weights`` (member × target), ``intercept``, ``targets``,
``r`` (of every target, on the rows of the fit) and ``together`` (whether targets share weights)."""


def named(features: Features) -> list[str]:
    """Names of the members in an order that no recipe decides.

    Raises
    ------
    DataError
        When there are none.

    """
    if not features.members:
        raise DataError("a blend needs members as features: name earlier members")
    return sorted(features.members)


def members(
    features: Features, rows: Responses, targets: pd.DataFrame, names: Sequence[str]
) -> Float[np.ndarray, "member row target"]:
    """Predictions of members on labelled rows and targets; NaN where one predicts nothing."""
    shape = (len(rows), len(targets))
    template = assemble(np.empty(shape, dtype=np.float32), row_table(rows), targets)
    return np.stack([align(template, features.members[n]) for n in names])


def whole(
    values: Float[np.ndarray, "member row target"], names: Sequence[str], targets: pd.DataFrame
) -> Bool[np.ndarray, "member target"]:
    """Which member predicts which target.

    Raises
    ------
    DataError
        When one predicts some rows of a target only, or a target is predicted by none.

    """
    gaps = np.isnan(values)
    partly = gaps.any(axis=1) & ~gaps.all(axis=1)
    if partly.any():
        m, t = np.argwhere(partly)[0]
        raise DataError(
            f"member {names[m]!r} predicted only some rows of target {targets.index[t]!r}; a blend"
            " needs all of them or none"
        )
    known = ~gaps.all(axis=1)
    if not known.any(axis=0).all():
        lost = targets.index[~known.any(axis=0)][0]
        raise DataError(f"no member predicts target {lost!r}; add one that does, or leave it out")
    return np.asarray(known)


def part_of(
    names: Sequence[str],
    weights: Float[np.ndarray, "member target"],
    targets: pd.DataFrame,
    values: Float[np.ndarray, "member row target"],
    truth: Float[np.ndarray, "row target"],
    *,
    intercept: Float[np.ndarray, " target"] | None = None,
    together: bool = False,
) -> Part:
    """Weights of a bucket, with the correlations that they have on the rows of the fit."""
    mixed = _sum(values, weights)
    return {
        "members": list(names),
        "weights": weights,
        "intercept": np.zeros(len(targets)) if intercept is None else intercept,
        "targets": targets,
        "r": correlated(mixed[None], truth)[0],
        "together": together,
    }


def answered(parts: Sequence[Part], features: Features, rows: Responses) -> Responses:
    """Weighted sums of the members' predictions; NaN where one that has a weight is missing."""
    done = []
    for part in parts:
        values = members(features, rows, part["targets"], part["members"])
        mixed = _sum(values, part["weights"]) + part["intercept"]
        done.append((mixed.astype(np.float32), part["targets"]))
    return predicted(rows, done)


def _sum(
    values: Float[np.ndarray, "member row target"], weights: Float[np.ndarray, "member target"]
) -> Float[np.ndarray, "row target"]:
    total = np.zeros(values.shape[1:])
    for own, weight in zip(values, weights, strict=True):
        # a member without weight may be missing: its NaN must not reach the sum
        total += np.where(weight != 0, own, 0) * weight
    return total


def correlated(
    values: Float[np.ndarray, "member row target"], truth: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, "member target"]:
    """Correlation of every member with every target; 0 without variance, NaN where it has gaps."""
    y = truth.astype(np.float64)
    y -= y.mean(axis=0)
    found = np.empty((len(values), y.shape[1]))
    for r, own in zip(found, values, strict=True):
        p = own.astype(np.float64)
        mean = p.mean(axis=0)
        p -= mean
        power = (p**2).sum(axis=0)
        power = np.where(power <= 1e-26 * len(p) * mean**2, 0.0, power) * (y**2).sum(axis=0)
        r[:] = np.where(power == 0, 0.0, (p * y).sum(axis=0) / np.sqrt(np.where(power, power, 1)))
    return found


def told(parts: Sequence[Part]) -> dict[str, Any]:
    """Notes of a fit: its correlation on its own rows, and mean weights by subject and region."""
    r = np.concatenate([p["r"] for p in parts])
    return {
        "mean correlation on the rows of the weights": float(r.mean()),
        "weights": [line for p in parts for line in lines(p)],
    }


def lines(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The mean weights of a bucket by subject and region.

    Targets that share their weights tell them for the regions that hold all of them, if any does.
    """
    targets, weights = part["targets"], part["weights"]
    subjects = targets["subject"].astype(str) if "subject" in targets else None
    everyone = np.ones(len(targets), dtype=bool)
    people = {"": everyone} if subjects is None else {s: (subjects == s) for s in set(subjects)}
    inside = {
        str(c)[len(ROI) :]: targets[c].to_numpy(bool)
        for c in targets
        if str(c).startswith(ROI) and targets[c].any()
    }
    if part["together"]:
        inside = {n: m for n, m in inside.items() if m.all()} or inside
    for subject in sorted(people):
        for region, mask in (inside or {"": everyone}).items():
            own = mask & np.asarray(people[subject])
            if own.any():
                mean = weights[:, own].mean(axis=1)
                yield {
                    "subject": subject,
                    "roi": region,
                    "targets": int(own.sum()),
                    "of": {n: float(w) for n, w in zip(part["members"], mean, strict=True)},
                }
