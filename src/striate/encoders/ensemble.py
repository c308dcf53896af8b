"""Weights that go by correlation: the best of all mixes, and rules of thumb for good ones.

The weights of a fit are found on out-of-fold predictions of its training rows, and so judged by
rows that had no part in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from striate.data import Features, Responses
from striate.encoders.mixing import answered, correlated, members, named, part_of, told, whole
from striate.encoders.targets import Bucket, buckets, from_nothing
from striate.errors import DataError, RecipeError, some
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.ensemble import Grams, member_grams, moments_of, side_by_side
from striate.solvers.ensemble_search import correlation_weights, normalised, target_weights


class _ByCorrelation(Encoder):
    """Fits weights group by group, or for each target alone."""

    each: Literal["group", "target"]

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> _ByCorrelation:
        """A copy with weights (member × target).

        Raises
        ------
        DataError
            When a member predicts some rows of a target only, or a target is predicted by none.

        """
        from_nothing(self, start)
        names, together = named(features), self.each == "group"
        parts: list[dict[str, Any]] = []
        note: dict[str, Any] = {}
        for shared in [[g] for g in groups] if together else [groups]:
            found = list(buckets(shared))
            seen = [members(features, b.rows, b.targets, names) for b in found]
            known = [whole(v, names, b.targets) for v, b in zip(seen, found, strict=True)]
            if not found:
                continue
            for own, bucket, values, there in zip(
                self._weigh(seen, known, found, note), found, seen, known, strict=True
            ):
                weights, intercept = own
                parts.append(
                    part_of(
                        names,
                        np.where(there, weights, 0.0),
                        bucket.targets,
                        values,
                        bucket.values,
                        intercept=intercept,
                        together=together,
                    )
                )
        return with_learned(self, parts_=parts, note_=told(parts) | note)  # type: ignore[no-any-return]

    def _weigh(
        self,
        seen: Sequence[np.ndarray],
        known: Sequence[np.ndarray],
        found: Sequence[Bucket],
        note: dict[str, Any],
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Weights and intercepts of the buckets that share them; adds to the note of the fit."""
        raise TypeError("an ensemble says how it weighs")

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Weighted sums of the members' predictions; NaN where one that has a weight is missing."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Ensemble(_ByCorrelation):
    """The weights with the highest mean correlation over a group's targets, or over each target.

    See `striate.solvers.ensemble_search.correlation_weights`. An ensemble of ensembles is one
    member over others. Weights sum to 1 for every target, over the members that predict it, unless
    `bounds` allow negative ones: a sum of such weights may be next to nothing, so the mix is then
    brought to scale by the least squares of what was measured, with one positive factor for all
    targets that share weights and an intercept for each.

    Parameters
    ----------
    method
        ``gradient``: from several `starts`; ``evolution``: SciPy's differential evolution with
        `tol`, `maxiter` and `popsize`, then uphill from its end. For each target alone, no search
        is needed, and ``gradient`` computes the weights.
    bounds
        Of every weight as it is searched for, before weights are divided by their sum or brought to
        scale; the least below 0 allows negative ones. These feed on chance: predictions
        of a useless member are out-of-fold a little below 0 in correlation.
    each
        ``group``: all targets that share a fit (see `per`) share weights; ``target``: its own.
    scale
        ``raw``: weights of predictions as they are; ``zscore``: of predictions over their standard
        deviation on the rows of the fit, brought back to the members' mean scale; never worse
        on these rows than all alike, or one alone, is then meant of members of equal scale.
    seed
        Of random starts, or of the evolution.

    """

    method: Literal["gradient", "evolution"] = "gradient"
    bounds: tuple[float, float] = (0.0, 1.0)
    each: Literal["group", "target"] = "group"
    scale: Literal["raw", "zscore"] = "raw"
    seed: int = 0
    starts: int = 8
    tol: float = 0.01
    maxiter: int = 1000
    popsize: int = 15

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not (low < high and high > 0):
            raise RecipeError(
                f"ensemble: bounds = {list(self.bounds)} must be a lower one and a higher, positive"
                " one, such as [0, 1]"
            )
        for name in ("starts", "tol", "maxiter", "popsize"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"ensemble: {name} = {getattr(self, name)} must be above 0")

    def _weigh(
        self,
        seen: Sequence[np.ndarray],
        known: Sequence[np.ndarray],
        found: Sequence[Bucket],
        note: dict[str, Any],
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        grams = [
            # members that predict nothing do not vary, and take no part
            member_grams(np.nan_to_num(v), b.values, memory=here().memory, threads=here().threads)
            for v, b in zip(seen, found, strict=True)
        ]
        flat = int(sum(g.flat.sum() for g in grams))
        if flat:
            note["targets without variance"] = note.get("targets without variance", 0) + flat
        scaled = [g.zscored() for g in grams] if self.scale == "zscore" else grams
        if self.each == "group":
            shared = self._search(side_by_side(scaled), note)
            weights = [np.repeat(shared[:, None], k.shape[1], axis=1) for k in known]
        elif self.method == "gradient":
            weights = [target_weights(g, bounds=self.bounds) for g in scaled]
        else:
            weights = [
                np.stack([self._search(g.at([t]), note) for t in range(len(g.squares))], axis=1)
                for g in scaled
            ]
        signed = self.bounds[0] < 0
        mixed = [
            self._in_units(_present(w, there, divide=not signed), gram, there)
            for w, gram, there in zip(weights, grams, known, strict=True)
        ]
        if signed:
            means = [b.values.mean(axis=0, dtype=np.float64) for b in found]
            mixed = _to_scale([w for w, _ in mixed], grams, means, self.each == "group")
        yield from mixed

    def _search(self, grams: Grams, note: dict[str, Any]) -> np.ndarray:
        found = correlation_weights(
            grams,
            bounds=self.bounds,
            method=self.method,
            starts=self.starts,
            seed=self.seed,
            tol=self.tol,
            maxiter=self.maxiter,
            popsize=self.popsize,
            threads=here().threads,
        )
        if found.beaten:
            key = "searches that a plain mix has beaten"
            note[key] = note.get(key, 0) + 1
        return found.weights

    def _in_units(
        self, weights: np.ndarray, grams: Grams, there: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Weights of raw predictions, with what keeps the mean where these have it."""
        if self.scale == "raw":
            return weights, None
        spread = grams.spread()
        count = np.maximum((spread > 0).sum(axis=0), 1)
        with np.errstate(divide="ignore"):
            factor = np.where(spread > 0, spread.sum(axis=0) / count / spread, 0.0)
        raw = weights * factor
        return raw, ((weights - raw) * np.where(there, grams.means, 0.0)).sum(axis=0)


@dataclass(frozen=True)
class Softmax(_ByCorrelation):
    """Weights that go up with the correlation r of a member: exp(r / temperature), over their sum.

    `each` is ``target``, or ``group`` for the mean correlation over the targets of a group. Near 0
    the `temperature` leaves the best member, and high ones the mean of all.
    """

    temperature: float = 0.1
    each: Literal["group", "target"] = "target"

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise RecipeError(f"softmax: temperature = {self.temperature} must be above 0")

    def _weigh(
        self,
        seen: Sequence[np.ndarray],
        known: Sequence[np.ndarray],
        found: Sequence[Bucket],
        note: dict[str, Any],
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for score, there in zip(_scores(seen, found, self.each == "group"), known, strict=True):
            high = np.where(there, score, -np.inf)
            weights = np.exp((high - high.max(axis=0)) / self.temperature)
            yield weights / weights.sum(axis=0), None


@dataclass(frozen=True)
class Top(_ByCorrelation):
    """The mean of the `k` members with the highest correlation, for each target or group.

    `each` is ``target`` or ``group``. For a group they are chosen by the mean correlation over its
    targets, among the members that predict all of these. Where fewer predict, all are taken.
    """

    k: int = 3
    each: Literal["group", "target"] = "target"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise RecipeError(f"top: k = {self.k} must be 1 or more")

    def check(self, members: Sequence[str], regions: Sequence[str]) -> None:
        """Refuse more members than there are."""
        if self.k > len(members):
            raise RecipeError(
                f"top: k = {self.k} of {len(members)} members ({some(members)}): take fewer, or use"
                " mean for all of them alike"
            )

    def _weigh(
        self,
        seen: Sequence[np.ndarray],
        known: Sequence[np.ndarray],
        found: Sequence[Bucket],
        note: dict[str, Any],
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        together = self.each == "group"
        everywhere = np.asarray(np.concatenate(known, axis=1).all(axis=1))
        if together and not everywhere.any():
            raise DataError(
                "no member predicts all targets of a group; let each target choose"
                ' (each = "target"), or fill gaps with a `stitch` member first'
            )
        for score, there in zip(_scores(seen, found, together), known, strict=True):
            own = np.repeat(everywhere[:, None], there.shape[1], axis=1) if together else there
            order = np.argsort(np.where(own, -score, np.inf), axis=0, kind="stable")
            place = np.argsort(order, axis=0, kind="stable")
            chosen = (place < self.k) & own
            yield chosen / chosen.sum(axis=0), None


def _scores(
    seen: Sequence[np.ndarray], found: Sequence[Bucket], together: bool
) -> list[Float[np.ndarray, "member target"]]:
    """Correlations of members; of a group, the mean over the targets that a member predicts."""
    scores = [correlated(v, b.values) for v, b in zip(seen, found, strict=True)]
    if not together:
        return scores
    wide = np.concatenate(scores, axis=1)
    count = (~np.isnan(wide)).sum(axis=1)
    mean = np.where(count > 0, np.nansum(wide, axis=1) / np.maximum(count, 1), np.nan)
    return [np.repeat(mean[:, None], s.shape[1], axis=1) for s in scores]


def _to_scale(
    weights: Sequence[np.ndarray],
    grams: Sequence[Grams],
    means: Sequence[np.ndarray],
    together: bool,
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Weights times the factor of least squares, and the intercepts that keep the targets' means.

    Targets that weigh members `together` share the factor. It is positive, so that no correlation
    changes: where the least squares would turn the mix round, the sizes of weights sum to 1.
    """
    parts = [moments_of(g, w) for g, w in zip(grams, weights, strict=True)]
    product, power = (np.concatenate(p) for p in zip(*parts, strict=True))
    size = np.concatenate([np.abs(w).sum(axis=0) for w in weights])
    if together:
        product, power, size = (np.full_like(a, a.sum()) for a in (product, power, size))
        size /= len(size)
    fits = (product > 0) & (power > 0)
    factor = np.where(fits, product, 1.0) / np.where(fits, power, np.where(size > 0, size, 1.0))
    ends = np.cumsum([w.shape[1] for w in weights])[:-1]
    done: list[tuple[np.ndarray, np.ndarray | None]] = []
    for w, own, gram, mean in zip(weights, np.split(factor, ends), grams, means, strict=True):
        done.append((w * own, mean - (w * own * gram.means).sum(axis=0)))
    return done


def _present(
    weights: Float[np.ndarray, "member target"],
    there: Bool[np.ndarray, "member target"],
    divide: bool,
) -> Float[np.ndarray, "member target"]:
    """Weights of the members that predict a target; where asked for, they sum to 1 again."""
    if there.all():
        return weights
    kept = weights * there
    # where all the weight is on members that are missing, the others are alike
    kept = np.where(kept.any(axis=0), kept, there)
    if not divide:
        return np.asarray(kept, dtype=np.float64)
    return np.stack([normalised(w) for w in kept.T], axis=1)
