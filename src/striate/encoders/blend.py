"""Encoders whose features are other members: stacks, means, choices and patches of predictions.

While a blend is fitted, its members' predictions are out-of-fold; nothing here sees a row that a
member was fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Features, Responses, target_table, target_tables
from striate.data.responses import ROI
from striate.encoders.mixing import (
    Part,
    answered,
    correlated,
    lines,
    members,
    named,
    part_of,
    told,
    whole,
)
from striate.encoders.targets import Bucket, buckets, from_nothing, predicted
from striate.errors import DataError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.blends import nonnegative


@dataclass(frozen=True)
class Stack(Encoder):
    """Non-negative weights of members for each target, fitted to out-of-fold predictions.

    `l2` shrinks the weights; see `striate.solvers.blends.nonnegative` (Breiman 1996).
    """

    l2: float = 0.0

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Stack:
        """A copy with weights (member × target) and intercepts."""
        from_nothing(self, start)
        names = named(features)
        parts = []
        for bucket in buckets(groups):
            values = members(features, bucket.rows, bucket.targets, names)
            known = whole(values, names, bucket.targets)
            # A member without predictions is a column of zeros, which takes no weight.
            blend = nonnegative(
                np.nan_to_num(values).astype(np.float64),
                bucket.values.astype(np.float64),
                l2=self.l2,
                memory=here().memory,
                threads=here().threads,
            )
            weights, intercept = np.asarray(blend.weights) * known, np.asarray(blend.intercept)
            truth = bucket.values
            parts.append(
                part_of(names, weights, bucket.targets, values, truth, intercept=intercept)
            )
        means = np.concatenate([p["weights"] for p in parts], axis=1).mean(axis=1)
        note = told(parts) | {
            f"mean weight of {n}": float(w) for n, w in zip(names, means, strict=True)
        }
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Weighted sums of the members' predictions; NaN where one that has a weight is missing."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Best(Encoder):
    """For each target the member with the highest correlation, or one for all of a region.

    `each` is ``target`` or ``group``: the unit that the choice is made for. For a group it is among
    the members that predict all its targets, by the mean correlation over these; with `average`
    ``subjects`` over those of each subject first, so that people with many voxels do not decide
    for the others.
    """

    each: Literal["target", "group"] = "target"
    average: Literal["targets", "subjects"] = "subjects"

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Best:
        """A copy that knows its choices."""
        from_nothing(self, start)
        names, together = named(features), self.each == "group"
        parts: list[Part] = []
        candidates: list[dict[str, Any]] = []
        for shared in [[g] for g in groups] if together else [groups]:
            found = list(buckets(shared))
            scores = []
            for bucket in found:
                values = members(features, bucket.rows, bucket.targets, names)
                whole(values, names, bucket.targets)
                scores.append(correlated(values, bucket.values))
            if together and found:
                score = self._averaged(np.concatenate(scores, axis=1), found)
                if np.isnan(score).all():
                    raise DataError(
                        "no member predicts all targets of a group; let each target choose"
                        ' (each = "target"), or fill gaps with a `stitch` member first'
                    )
                choices = [np.full(s.shape[1], np.nanargmax(score)) for s in scores]
            else:
                choices = [np.nanargmax(s, axis=0) for s in scores]
            for bucket, score, choice in zip(found, scores, choices, strict=True):
                weights = np.eye(len(names))[choice].T
                values = members(features, bucket.rows, bucket.targets, names)
                truth, targets = bucket.values, bucket.targets
                part = part_of(names, weights, targets, values, truth, together=together)
                parts.append(part)
                candidates += _choices(part, score)
        count = np.concatenate([p["weights"] for p in parts], axis=1).sum(axis=1)
        note = told(parts) | {
            f"targets that chose {n}": int(c) for n, c in zip(names, count, strict=True)
        }
        note["candidates"] = candidates
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def _averaged(
        self, scores: Float[np.ndarray, "member target"], found: Sequence[Bucket]
    ) -> Float[np.ndarray, " member"]:
        """The mean score of each member over the targets of a group; NaN where one is missing."""
        targets = target_tables([b.targets for b in found])
        if self.average == "targets" or "subject" not in targets:
            return np.asarray(scores.mean(axis=1))
        whose, people = pd.factorize(targets["subject"].astype(str))
        each = [scores[:, whose == k].mean(axis=1) for k in range(len(people))]
        return np.asarray(np.mean(each, axis=0))

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predictions of the chosen members."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


def _choices(part: Part, score: Float[np.ndarray, "member target"]) -> Iterator[dict[str, Any]]:
    """Scores of all candidates, and shares of the targets that took them, by subject and region.

    Targets in no region stand under an empty name.
    """
    targets = part["targets"]
    regions = [c for c in targets if str(c).startswith(ROI)]
    outside = ~targets[regions].to_numpy(bool).any(axis=1)
    some = outside.any() and not outside.all()
    for kept in [np.ones(len(targets), dtype=bool), *([outside] if some else [])]:
        own = part | {"targets": targets[kept]}
        scored = lines(own | {"weights": score[:, kept]})
        taken = lines(own | {"weights": part["weights"][:, kept]})
        for line, share in zip(scored, taken, strict=True):
            yield line | {"chosen": share["of"]}


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
        named(features)
        targets: pd.DataFrame = self.targets_  # type: ignore[attr-defined]
        values = members(features, rows, targets, list(features.members))
        return predicted(rows, [(self._mix(values), targets)])


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
class Median(_Untrained):
    """The median of the members that predict a target, row by row."""

    def _mix(self, values: Float[np.ndarray, "member row target"]) -> np.ndarray:
        ordered = np.sort(values, axis=0)  # NaN last
        count = (~np.isnan(values)).sum(axis=0)[None]
        low, high = (np.maximum(count - 1, 0) // 2), count // 2
        high = np.minimum(high, len(values) - 1)
        ends = [np.take_along_axis(ordered, k, axis=0)[0] for k in (low, high)]
        return np.asarray(ends[0] / 2 + ends[1] / 2, dtype=values.dtype)


@dataclass(frozen=True)
class Stitch(_Untrained):
    """The first member's predictions, its gaps filled from the next, and so on."""

    def _mix(self, values: Float[np.ndarray, "member row target"]) -> np.ndarray:
        done = values[0].copy()
        for later in values[1:]:
            done = np.where(np.isnan(done), later, done)
        return done
