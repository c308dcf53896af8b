"""Columns in units of their spread over the training rows, also where they do not fit into memory.

Statistics take two passes over blocks of rows; what is too large to hold is standardised whenever
it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from striate.data import Features
from striate.encoders.rowwise import Rows, changed, matrix, rows_of
from striate.errors import RecipeError
from striate.interfaces import Step, with_learned

Scale: TypeAlias = dict[str, np.ndarray]
"""Of one space: ``kept`` columns, their ``mean``, ``scale``, and ``rest``: see `_scale`."""


@dataclass(frozen=True)
class ZScore(Step):
    """Each column minus its mean, divided by its standard deviation, both of the training rows.

    Columns nearly constant in training are dropped and counted: a unit that is silent but for a
    handful of stimuli becomes a spike of tens of standard deviations that wrecks a ridge. Maps
    keep their shape: what is dropped of them is zero everywhere.

    Parameters
    ----------
    active
        Drop a column that leaves its most frequent end (its minimum or maximum, within `tolerance`
        of its range) in less than this fraction of the training rows.
    tolerance
        Values within this fraction of the range count as equal.
    refit
        Standardise whatever is transformed by its own mean and deviation, as the kit of Algonauts
        2021 does with test clips: what is predicted for a row then depends on the rows beside it.

    """

    active: float = 0.01
    tolerance: float = 1e-6
    refit: bool = False

    version = 2

    def fit(self, features: Features) -> ZScore:
        """A copy with means, deviations and the columns kept."""
        learned: dict[str, Scale] = {}
        seen = dropped = 0
        for name, rows in rows_of(features).items():
            mean, low, high = _means(rows)
            slack = (high - low) * self.tolerance
            spread, rare = _spread(rows, mean, (low + slack, high - slack))
            kept = (rare >= self.active) & _varies(spread, mean)
            seen, dropped = seen + rows.width, dropped + int((~kept).sum())
            one = _scale(mean[kept], 1 / spread[kept], rows.first.dtype)
            learned[name] = {"kept": np.flatnonzero(kept), **one}
        if seen == dropped:
            raise RecipeError(f"zscore: all {seen} columns are nearly constant in training")
        note = {"columns": seen, "columns dropped": dropped}
        return with_learned(self, spaces_=learned, note_=note)  # type: ignore[no-any-return]

    def transform(self, features: Features) -> Features:
        """Standardised features of the stimuli in view."""
        spaces: dict[str, Scale] = self.spaces_  # type: ignore[attr-defined]
        rows = {n: r for n, r in rows_of(features).items() if n in spaces}
        changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        for name, have in rows.items():
            learned = spaces[name]
            if self.refit and len(have):
                learned = {**learned, **_own(have, learned["kept"])}
            changes[name] = partial(_standardised, learned)
        return changed(features, rows, changes)


def _standardised(
    learned: Scale, x: Float[np.ndarray, "stimulus ..."]
) -> Float[np.ndarray, "stimulus ..."]:
    shape, x = x.shape, matrix(x)
    columns, kept = x.shape[1], learned["kept"]
    whole = len(kept) == columns
    z = (x if whole else x[:, kept]) - learned["mean"]
    z *= learned["scale"]
    if learned["rest"].size:
        z -= learned["rest"]
    if len(shape) > 2:
        if not whole:
            full = np.zeros((len(x), columns), dtype=x.dtype)
            full[:, kept] = z
            z = full
        z = z.reshape(shape)
    return z


def _scale(
    mean: Float[np.ndarray, " feature"], scale: Float[np.ndarray, " feature"], dtype: np.dtype[Any]
) -> Scale:
    """What to subtract and to multiply with, in the type of the features.

    `rest` is what rounding to that type left of the mean, in standard deviations; empty where that
    is nothing to speak of.
    """
    near = mean.astype(dtype)
    rest = ((mean - near) * scale).astype(dtype)
    some = np.abs(rest).max(initial=0) > 1e-6
    return {"mean": near, "scale": scale.astype(dtype), "rest": rest if some else rest[:0]}


def _own(rows: Rows, kept: np.ndarray) -> Scale:
    """The scale of these rows themselves; 0 where they never vary."""
    mean, _, _ = _means(rows)
    spread, _ = _spread(rows, mean)
    mean, spread = mean[kept], spread[kept]
    varies = _varies(spread, mean)
    scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    return _scale(mean, scale, rows.first.dtype)


def _varies(
    spread: Float[np.ndarray, " feature"], mean: Float[np.ndarray, " feature"]
) -> Bool[np.ndarray, " feature"]:
    return spread > 1e-7 * np.maximum(np.abs(mean), 1e-30)


def _means(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean in float64, least and largest value of every column."""
    total = np.zeros(rows.width)
    low = high = rows.first[0].reshape(-1)
    for x in rows.blocks():
        total += x.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, x.min(axis=0)), np.maximum(high, x.max(axis=0))
    return total / len(rows), low, high


def _spread(
    rows: Rows,
    mean: Float[np.ndarray, " feature"],
    ends: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """Standard deviation, and in which part of the rows a column leaves its most frequent end."""
    total, above, below = np.zeros((3, rows.width))
    for x in rows.blocks():
        if ends is not None:
            above += (x > ends[0]).sum(axis=0)
            below += (x < ends[1]).sum(axis=0)
        step = 256 if not rows.large else max(1, (1 << 24) // (8 * rows.width))
        for start in range(0, len(x), step):
            centred = x[start : start + step] - mean
            total += np.einsum("ij,ij->j", centred, centred)
    rare = np.minimum(above, below) / len(rows)
    return np.maximum(np.sqrt(total / len(rows)), 1e-300), rare
