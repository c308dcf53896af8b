"""Lasso and elastic nets: linear maps that use few features, of each target or of all together."""

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
from striate.solvers.sparse import elastic_net_cv, lasso_cv, multitask_elastic_net_cv


@dataclass(frozen=True)
class Lasso(Encoder):
    """A lasso per target, whose penalty is chosen by inner folds that part no leak unit.

    Parameters
    ----------
    n_alphas, eps
        Penalties to choose from: so many, evenly on a logarithmic scale, from the smallest that
        uses no feature down to `eps` times that.
    folds, seed
        Inner folds.

    """

    n_alphas: int = 100
    eps: float = 1e-3
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _check("lasso", self)

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Lasso:
        """A copy with coefficients (feature × target), intercepts and penalties."""
        return _fit(self, lasso_cv, features, groups, start)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ElasticNet(Encoder):
    """An elastic net per target, whose penalty is chosen by inner folds that part no leak unit.

    Parameters
    ----------
    l1_ratio
        Share of the lasso in the penalty, above 0 and at most 1; of several each target has the
        best.
    n_alphas, eps
        Penalties to choose from: so many, evenly on a logarithmic scale, from the smallest that
        uses no feature down to `eps` times that.
    folds, seed
        Inner folds.

    """

    l1_ratio: float | tuple[float, ...] = 0.5
    n_alphas: int = 100
    eps: float = 1e-3
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _check("elastic_net", self, self.l1_ratio)

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> ElasticNet:
        """A copy with coefficients (feature × target), intercepts and penalties."""
        return _fit(  # type: ignore[no-any-return]
            self, elastic_net_cv, features, groups, start, l1_ratio=self.l1_ratio
        )

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class MultiTask(Encoder):
    """An elastic net per group, such as a region, all of whose targets use the same features.

    Targets of a group that were not measured on the same rows do not share a fit.

    Parameters
    ----------
    l1_ratio
        Share of the penalty that sets features to zero, above 0 and at most 1; of several the
        best.
    n_alphas, eps
        Penalties to choose from: so many, evenly on a logarithmic scale, from the smallest that
        uses no feature down to `eps` times that.
    folds, seed
        Inner folds.

    """

    l1_ratio: float | tuple[float, ...] = 0.5
    n_alphas: int = 100
    eps: float = 1e-3
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        _check("multitask", self, self.l1_ratio)

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> MultiTask:
        """A copy with coefficients (feature × target), intercepts and penalties."""
        return _fit(  # type: ignore[no-any-return]
            self,
            multitask_elastic_net_cv,
            features,
            groups,
            start,
            apart=True,
            l1_ratio=self.l1_ratio,
        )

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        return answered(self.parts_, features, rows)  # type: ignore[attr-defined]


def _check(name: str, encoder: Any, ratio: float | tuple[float, ...] = 1.0) -> None:
    check_folds(name, encoder.folds)
    if encoder.n_alphas < 1 or not 0 < encoder.eps < 1:
        raise RecipeError(
            f"{name}: n_alphas = {encoder.n_alphas} and eps = {encoder.eps}: give at least one"
            " penalty, and the smallest as a share of the largest, between 0 and 1"
        )
    ratios = ratio if isinstance(ratio, tuple) else (ratio,)
    if not ratios or not all(0 < r <= 1 for r in ratios):
        raise RecipeError(
            f"{name}: l1_ratio = {ratio} must be above 0 and at most 1: use ridge for 0"
        )


def _fit(
    encoder: Any,
    solver: Any,
    features: Features,
    groups: Sequence[Group],
    start: Any,
    *,
    apart: bool = False,
    **options: Any,
) -> Any:
    """A copy of `encoder` with what `solver` learned."""
    from_nothing(encoder, start)
    fallbacks = loose = 0

    def solve(x: Any, y: Any, bucket: Bucket) -> dict[str, Any]:
        nonlocal fallbacks, loose
        fit = solver(
            x,
            y,
            bucket.folds(encoder.folds, encoder.seed),
            n_alphas=encoder.n_alphas,
            eps=encoder.eps,
            memory=here().memory,
            threads=here().threads,
            **options,
        )
        fallbacks, loose = fallbacks + fit.fallbacks, loose + fit.loose
        kept = ("coef", "intercept", "center", "level", "alpha", "l1_ratio")
        return {n: getattr(fit, n) for n in kept}

    parts = fitted(features, groups, solve, apart=apart)
    used = np.concatenate([(p["coef"] != 0).sum(axis=0) for p in parts])
    note = {
        "features": int(parts[0]["coef"].shape[0]),
        "median penalty": float(np.median(np.concatenate([p["alpha"] for p in parts]))),
        "features used by a target, on average": float(used.mean()),
        "targets solved by coordinate descent": fallbacks,
        "targets whose coefficients are not exact": loose,
    }
    return with_learned(encoder, parts_=parts, note_=note)
