"""RES: responses to new stimuli are means of known ones, weighted by how alike the stimuli are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.data import Features, Responses, design
from striate.encoders.linear import designs, lent, on_cpu
from striate.encoders.targets import check_folds, from_nothing, predicted
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.res import (
    Normaliser,
    Similarity,
    Weighting,
    choose_weighting,
    unit_rows,
    weighted,
)


@dataclass(frozen=True)
class RES(Encoder):
    """Representational Similarity Encoding (Anderson, Zinszer & Raizada 2016).

    Nothing is fitted unless several `powers` or `neighbours` are given: then inner folds that part
    no leak unit choose one weighting for each group, the one whose predictions correlate best.

    Parameters
    ----------
    similarity
        Of stimuli, across features: ``pearson``, ``cosine`` or ``spearman``.
    normaliser
        Weights are divided by the sum of their sizes (``absolute``) or by nothing (``none``).
    centre
        Average deviations from the mean training response and add it back; without it the mean
        leaks into predictions by the sum of similarities.
    powers
        Sizes of similarities are raised to this power: above 1 the most alike count more.
    neighbours
        Only so many training stimuli count, those whose similarity is largest, whatever its sign;
        0: all.
    folds, seed
        Inner folds.

    """

    similarity: Similarity = "pearson"
    normaliser: Normaliser = "absolute"
    centre: bool = True
    powers: tuple[float, ...] = (1.0,)
    neighbours: tuple[int, ...] = (0,)
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_folds("res", self.folds)
        if not self.powers or not all(p > 0 for p in self.powers):
            raise RecipeError(f"res: powers {self.powers} must be numbers above 0, at least one")
        if not self.neighbours or min(self.neighbours) < 0:
            raise RecipeError(
                f"res: neighbours {self.neighbours} must be numbers of stimuli, or 0 for all"
            )

    def _weightings(self) -> list[Weighting]:
        return [
            Weighting(self.normaliser, self.centre, power, count or None)
            for power in self.powers
            for count in self.neighbours
        ]

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> RES:
        """A copy with the training rows, brought to unit length, and their responses."""
        from_nothing(self, start)
        candidates = self._weightings()
        units: list[Any] = []
        place: dict[tuple[str, ...], int] = {}
        parts = []
        for x, bucket in designs(features, groups, apart=len(candidates) > 1):
            shown = tuple(bucket.rows.row.values.tolist())
            if shown not in place:
                place[shown] = len(units)
                units.append(on_cpu(unit_rows(lent(x)[0], self.similarity)))
            at = place[shown]
            values = bucket.values.astype(x.dtype, copy=False)
            best = 0
            if len(candidates) > 1:
                folds = bucket.folds(self.folds, self.seed)
                known, given = lent(units[at], values)
                best, _ = choose_weighting(known, given, candidates, folds, memory=here().memory)
            part = {"rows": at, "values": values, "targets": bucket.targets, "weighting": best}
            parts.append(part)
        flat = sum(int((~u.any(axis=1)).sum()) for u in units)
        note: dict[str, Any] = {
            "features": int(units[0].shape[1]),
            "training rows that are constant": flat,
        }
        if len(candidates) > 1:
            for k, one in enumerate(candidates):
                told = f"power {one.power:g}, {one.neighbours or 'all'} neighbours"
                note[f"groups with {told}"] = sum(p["weighting"] == k for p in parts)
        return with_learned(  # type: ignore[no-any-return]
            self, units_=units, parts_=parts, note_=note
        )

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        (x,) = lent(design(features, rows))
        candidates, done = self._weightings(), []
        for part in self.parts_:  # type: ignore[attr-defined]
            units, values = lent(
                self.units_[part["rows"]],  # type: ignore[attr-defined]
                part["values"],
            )
            found = weighted(
                units,
                values,
                x,
                candidates[part["weighting"]],
                self.similarity,
                memory=here().memory,
            )
            done.append((on_cpu(found), part["targets"]))
        return predicted(rows, done)
