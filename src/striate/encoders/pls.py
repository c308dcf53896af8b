"""Partial least squares: a few directions of the features serve all targets of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from striate.data import Features, Responses
from striate.encoders.linear import answered, fitted
from striate.encoders.targets import Bucket, check_folds, from_nothing
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.pls import pls_cv


@dataclass(frozen=True)
class PLS(Encoder):
    """PLS of each group, such as a region, with as many components as predict best.

    Inner folds that part no leak unit choose the number. Targets of a group that were not measured
    on the same rows do not share a fit.

    Parameters
    ----------
    components
        The largest number to try; all from 1 up to it are tried.
    choice
        ``target``: each target its own number; ``group``: one number for all of a group.
    folds, seed
        Inner folds.

    """

    components: int = 20
    choice: Literal["target", "group"] = "target"
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_folds("pls", self.folds)
        if self.components < 1:
            raise RecipeError(f"pls: components {self.components} must be 1 or more")

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> PLS:
        """A copy with coefficients (feature × target), intercepts and numbers of components."""
        from_nothing(self, start)

        def solve(x: Any, y: Any, bucket: Bucket) -> dict[str, Any]:
            fit = pls_cv(
                x,
                y,
                self.components,
                bucket.folds(self.folds, self.seed),
                choice="global" if self.choice == "group" else "target",
                memory=here().memory,
                threads=here().threads,
            )
            kept = ("coef", "intercept", "center", "level", "components")
            return {n: getattr(fit, n) for n in kept}

        parts = fitted(features, groups, solve, apart=True)
        chosen = np.concatenate([p["components"] for p in parts])
        note = {
            "features": int(parts[0]["coef"].shape[0]),
            "median number of components": float(np.median(chosen)),
            "targets with the largest number of components": int((chosen == self.components).sum()),
        }
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]
