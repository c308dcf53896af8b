"""Ridge that keeps a fraction of the least-squares length, the same fractions for all targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.data import Features, Responses
from striate.encoders.linear import answered, fitted
from striate.encoders.targets import Bucket, check_folds, from_nothing
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.fractional import fractional_ridge_cv


@dataclass(frozen=True)
class FractionalRidge(Encoder):
    """Fractional ridge, the fraction of each target chosen by inner folds that part no leak unit.

    Penalties depend on the scale and number of features; fractions of the length of the
    least-squares solution do not, so one grid suits all. Rokem & Kay 2020,
    doi:10.1093/gigascience/giaa133.

    Parameters
    ----------
    fractions
        Candidates, from 0 (the mean) to 1 (least squares).
    folds, seed
        Inner folds.

    """

    fractions: tuple[float, ...] = tuple(round(0.1 * k, 1) for k in range(1, 11))
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_folds("fractional_ridge", self.folds)
        if not self.fractions or min(self.fractions) < 0 or max(self.fractions) > 1:
            raise RecipeError(
                f"fractional_ridge: fractions = {self.fractions} must be numbers from 0 to 1"
            )

    def fit(
        self, features: Features, groups: Sequence[Group], start: Any = None
    ) -> FractionalRidge:
        """A copy with coefficients (feature × target), intercepts, fractions and penalties."""
        from_nothing(self, start)

        def solve(x: Any, y: Any, bucket: Bucket) -> dict[str, Any]:
            fit = fractional_ridge_cv(
                x,
                y,
                self.fractions,
                bucket.folds(self.folds, self.seed),
                memory=here().memory,
                threads=here().threads,
            )
            names = ("coef", "intercept", "center", "level", "fraction", "alpha")
            return {name: getattr(fit, name) for name in names}

        parts = fitted(features, groups, solve)
        chosen = np.concatenate([p["fraction"] for p in parts])
        note = {
            "features": int(parts[0]["coef"].shape[0]),
            "median fraction": float(np.median(chosen)),
            "targets with the smallest fraction": int((chosen == min(self.fractions)).sum()),
            "targets with the largest fraction": int((chosen == max(self.fractions)).sum()),
        }
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]
