"""Ridge regression of all targets at once, each with its own penalty, or with none at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from array_api_compat import array_namespace
from jaxtyping import Float

from striate.data import Features, Responses, identities
from striate.data.responses import IDENTITY
from striate.encoders.linear import Part, answered, fitted, held_out, lent
from striate.encoders.targets import Bucket, from_nothing
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.machine import here
from striate.solvers.ridge import ridge, ridge_cv


@dataclass(frozen=True)
class Ridge(Encoder):
    """Ridge with a penalty chosen by inner folds that part no leak unit.

    Parameters
    ----------
    alphas
        Candidate penalties, in units of squared features summed over rows.
    folds, seed
        Inner folds. ``loo``: rows are left out one at a time, in closed form, where each is a unit
        of its own; ``gcv``: generalised cross-validation, likewise.
    penalty
        ``target``: each target its own; ``group``: one for all targets of a group that were
        measured on the same rows.

    A ridge that comes `after` another one shrinks towards its coefficients instead of zero.

    """

    alphas: tuple[float, ...] = tuple(float(f"1e{k}") for k in range(8))
    folds: int | Literal["loo", "gcv"] = 5
    seed: int = 0
    penalty: Literal["target", "group"] = "target"

    version = 2

    def __post_init__(self) -> None:
        check_choice("ridge", self.alphas, self.folds)

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
        note = noted(parts, self.alphas, parts[0]["coef"].shape[0])
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def _solve(self, x: Any, y: Any, bucket: Bucket, prior: np.ndarray | None) -> dict[str, Any]:
        if prior is not None:
            (prior,) = lent(prior)
            # about the means, which would leave float32 few digits of what the prior leaves
            xp = array_namespace(x)
            mean = xp.astype(xp.mean(x, axis=0, dtype=xp.float64), x.dtype, copy=False)
            y = y - (x - mean) @ prior
        fit = ridge_cv(
            x,
            y,
            self.alphas,
            held_out(bucket, self.folds, self.seed),
            penalty="global" if self.penalty == "group" else "target",
            memory=here().memory,
            threads=here().threads,
        )
        if prior is not None:
            level = fit.level + (fit.center - mean) @ prior
            fit = replace(fit, coef=fit.coef + prior, level=level)
        return {n: getattr(fit, n) for n in ("coef", "intercept", "center", "level", "alpha")}

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class LeastSquares(Encoder):
    """Ordinary least squares, of least norm where features outnumber rows or depend on each other.

    The baseline that shrinks nothing: a ridge without a penalty, with nothing to choose.
    """

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> LeastSquares:
        """A copy with coefficients (feature × target) and intercepts."""
        from_nothing(self, start)

        def solve(x: Any, y: Any, bucket: Bucket) -> dict[str, Any]:
            fit = ridge(x, y, 0.0, memory=here().memory, threads=here().threads)
            return {n: getattr(fit, n) for n in ("coef", "intercept", "center", "level")}

        parts = fitted(features, groups, solve)
        note = {"features": int(parts[0]["coef"].shape[0])}
        return with_learned(self, parts_=parts, note_=note)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


def check_choice(name: str, alphas: tuple[float, ...], folds: int | str) -> None:
    """Refuse penalties below 0 and fewer than two folds."""
    if not alphas or min(alphas) < 0:
        raise RecipeError(f"{name}: alphas = {alphas} must be penalties of 0 or more")
    if folds not in ("loo", "gcv") and (isinstance(folds, str) or folds < 2):
        raise RecipeError(f"{name}: folds = {folds!r} must be 2 or more, loo or gcv")


def noted(parts: Sequence[Part], tried: tuple[float, ...], features: int) -> dict[str, float | int]:
    """What a report tells about chosen penalties."""
    alphas = np.concatenate([p["alpha"] for p in parts])
    edges = [a for a in (min(tried), max(tried)) if len(tried) > 1]
    return {
        "features": features,
        "median penalty": float(np.median(alphas)),
        "targets whose penalty is at an end of the grid": int(np.isin(alphas, edges).sum()),
    }


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
