"""Encoders whose features are other members: stacks, means, choices and patches of predictions.

While a blend is fitted, its members' predictions are out-of-fold; nothing here sees a row that a
member was fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import (
    Features,
    Responses,
    align,
    assemble,
    row_table,
    target_table,
    target_tables,
)
from striate.encoders.targets import Bucket, buckets, from_nothing, predicted
from striate.errors import DataError
from striate.interfaces import Encoder, Group, with_learned
from striate.solvers.blends import nonnegative


def _members(
    features: Features, rows: Responses, targets: pd.DataFrame
) -> Float[np.ndarray, "member row target"]:
    """Predictions of all members on labelled rows and targets; NaN where one predicts nothing."""
    if not features.members:
        raise DataError("a blend needs members as features: name earlier members")
    shape = (len(rows), len(targets))
    template = assemble(np.empty(shape, dtype=np.float32), row_table(rows), targets)
    return np.stack([align(template, blocks) for blocks in features.members.values()])


def _whole(values: np.ndarray, names: Sequence[str], targets: pd.DataFrame) -> np.ndarray:
    """Which member predicts which target; a target predicted on some rows only is an error."""
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
    return known


@dataclass(frozen=True)
class Stack(Encoder):
    """Non-negative weights of members for each target, fitted to out-of-fold predictions.

    `l2` shrinks the weights; see `striate.solvers.blends.nonnegative` (Breiman 1996).
    """

    l2: float = 0.0

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Stack:
        """A copy with weights (member × target) and intercepts."""
        from_nothing(self, start)
        names = list(features.members)
        parts = []
        for bucket in buckets(groups):
            values = _members(features, bucket.rows, bucket.targets)
            known = _whole(values, names, bucket.targets)
            parts.append(self._weigh(np.nan_to_num(values), known, bucket))
        weights = np.concatenate([p["weights"] for p in parts], axis=1)
        note = {
            f"mean weight of {n}": float(w) for n, w in zip(names, weights.mean(1), strict=True)
        }
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def _weigh(self, values: np.ndarray, known: np.ndarray, bucket: Bucket) -> dict[str, Any]:
        # A member without predictions is a column of zeros, which takes no weight.
        blend = nonnegative(values.astype(np.float64), bucket.values.astype(np.float64), l2=self.l2)
        return {
            "weights": np.asarray(blend.weights) * known,
            "intercept": np.asarray(blend.intercept),
            "targets": bucket.targets,
        }

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Weighted sums of the members' predictions; NaN where one that has a weight is missing."""
        done = []
        for part in self.parts_:  # type: ignore[attr-defined]
            values, weights = _members(features, rows, part["targets"]), part["weights"]
            # A member without weight may be missing: its NaN must not reach the sum.
            values = np.where((weights > 0)[:, None, :], values, 0)
            mixed = np.einsum("mrt,mt->rt", values, weights) + part["intercept"]
            done.append((mixed.astype(np.float32), part["targets"]))
        return predicted(rows, done)


@dataclass(frozen=True)
class Best(Encoder):
    """For each target the member with the highest correlation, or one for all of a region.

    `each` is ``target`` or ``group``: the unit that the choice is made for. For a group it is among
    the members that predict all its targets.
    """

    each: Literal["target", "group"] = "target"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Best:
        """A copy that knows its choices."""
        from_nothing(self, start)
        names = list(features.members)
        parts = []
        for shared in [[g] for g in groups] if self.each == "group" else [groups]:
            scores, targets = [], []
            for bucket in buckets(shared):
                values = _members(features, bucket.rows, bucket.targets)
                _whole(values, names, bucket.targets)
                scores.append(_correlations(values, bucket.values))
                targets.append(bucket.targets)
            score = np.concatenate(scores, axis=1)
            if self.each == "group":
                score = np.repeat(score.mean(axis=1)[:, None], score.shape[1], axis=1)
                if np.isnan(score).all():
                    raise DataError(
                        "no member predicts all targets of a group; let each target choose"
                        ' (each = "target"), or fill gaps with a `stitch` member first'
                    )
            choice = np.nanargmax(score, axis=0).astype(np.int64)
            parts.append({"choice": choice, "targets": target_tables(targets)})
        picked = np.concatenate([p["choice"] for p in parts])
        note = {f"targets that chose {n}": int((picked == k).sum()) for k, n in enumerate(names)}
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predictions of the chosen members."""
        done = []
        for part in self.parts_:  # type: ignore[attr-defined]
            values = _members(features, rows, part["targets"])
            chosen = np.take_along_axis(values, part["choice"][None, None, :], axis=0)[0]
            done.append((chosen, part["targets"]))
        return predicted(rows, done)


class _Untrained(Encoder):
    """A blend with nothing to learn: its members need no out-of-fold predictions."""

    learns: ClassVar[bool] = False

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> _Untrained:
        """A copy that knows its targets."""
        from_nothing(self, start)
        targets = target_tables([target_table(b) for g in groups for b in g])
        return with_learned(self, targets_=targets)  # type: ignore[no-any-return]

    def _mix(self, values: np.ndarray) -> np.ndarray:
        raise TypeError("a blend says how it mixes")

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Mixed predictions."""
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        return predicted(rows, [(self._mix(_members(features, rows, targets)), targets)])


@dataclass(frozen=True)
class Mean(_Untrained):
    """The mean of the members that predict a target."""

    def _mix(self, values: Float[np.ndarray, "member row target"]) -> np.ndarray:
        count = (~np.isnan(values)).sum(axis=0)
        return np.asarray(
            np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan),
            dtype=values.dtype,
        )


@dataclass(frozen=True)
class Stitch(_Untrained):
    """The first member's predictions, its gaps filled from the next, and so on."""

    def _mix(self, values: Float[np.ndarray, "member row target"]) -> np.ndarray:
        done = values[0].copy()
        for later in values[1:]:
            done = np.where(np.isnan(done), later, done)
        return done


def _correlations(
    values: Float[np.ndarray, "member row target"], truth: Float[np.ndarray, "row target"]
) -> Float[np.ndarray, "member target"]:
    y = truth - truth.mean(axis=0)
    p = values - values.mean(axis=1, keepdims=True)
    size = np.sqrt((p**2).sum(axis=1) * (y**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.einsum("mrt,rt->mt", p, y) / size
    return np.asarray(np.where(np.isnan(values).any(axis=1), np.nan, np.nan_to_num(r)))
