"""Ridge regression of all targets at once, each with its own penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from striate.data import Features, Responses, identities
from striate.data.responses import IDENTITY
from striate.encoders.linear import answered, fitted, lent
from striate.encoders.targets import Bucket
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.ridge import ridge_cv


@dataclass(frozen=True)
class Ridge(Encoder):
    """Ridge with a penalty chosen by inner folds that part no leak unit.

    Parameters
    ----------
    alphas
        Candidate penalties, in units of squared features summed over rows.
    folds, seed
        Inner folds.
    penalty
        ``target``: each target its own; ``group``: one for all targets of a group that were
        measured on the same rows.

    A ridge that comes `after` another one shrinks towards its coefficients instead of zero.

    """

    alphas: tuple[float, ...] = tuple(float(f"1e{k}") for k in range(8))
    folds: int = 5
    seed: int = 0
    penalty: Literal["target", "group"] = "target"

    def __post_init__(self) -> None:
        if not self.alphas or min(self.alphas) < 0:
            raise RecipeError(f"ridge: alphas = {self.alphas} must be penalties of 0 or more")

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Ridge:
        """A copy with coefficients (feature × target), intercepts and penalties.

        Raises
        ------
        RecipeError
            When `start` is no fitted ridge over the same features and targets.

        """

        def solve(x: Any, y: Any, bucket: Bucket) -> dict[str, Any]:
            prior = None if start is None else _prior(start, bucket.targets, x.shape[1])
            return self._solve(x, y, bucket, prior)

        parts = fitted(features, groups, solve, apart=self.penalty == "group")
        alphas = np.concatenate([p["alpha"] for p in parts])
        edges = [a for a in (min(self.alphas), max(self.alphas)) if len(self.alphas) > 1]
        note = {
            "features": int(parts[0]["coef"].shape[0]),
            "median penalty": float(np.median(alphas)),
            "targets whose penalty is at an end of the grid": int(np.isin(alphas, edges).sum()),
        }
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def _solve(self, x: Any, y: Any, bucket: Bucket, prior: np.ndarray | None) -> dict[str, Any]:
        if prior is not None:
            (prior,) = lent(prior)
        fit = ridge_cv(
            x,
            y if prior is None else y - x @ prior,
            self.alphas,
            bucket.folds(self.folds, self.seed),
            penalty="global" if self.penalty == "group" else "target",
            memory=here().memory,
            threads=here().threads,
        )
        return {
            "coef": fit.coef if prior is None else fit.coef + prior,
            "intercept": fit.intercept,
            "alpha": fit.alpha,
        }

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


def _prior(start: Any, targets: pd.DataFrame, features: int) -> Float[np.ndarray, "feature target"]:
    """Coefficients of a fitted ridge for the given targets."""
    if not isinstance(start, Ridge):
        raise RecipeError(f"a ridge starts after a ridge, not after {type(start).__name__}")
    parts: list[dict[str, Any]] = start.parts_  # type: ignore[attr-defined]
    have = pd.concat([p["targets"] for p in parts]).reset_index()
    coef = np.concatenate([p["coef"] for p in parts], axis=1)
    wanted = targets.reset_index()
    keys = [c for c in IDENTITY if c in wanted and c in have]
    known = identities(have, keys)
    first = ~known.duplicated()
    place = known[first].get_indexer(identities(wanted, keys))
    if (place < 0).any() or len(coef) != features:
        raise RecipeError(
            "a ridge that starts after another one needs the same features and targets as that one"
        )
    return coef[:, first][:, place]
