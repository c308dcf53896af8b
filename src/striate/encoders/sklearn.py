"""Any scikit-learn regressor as an encoder; how to hand over parameters is its own business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data import Features, Responses, design
from striate.encoders.targets import buckets, from_nothing, predicted
from striate.errors import RecipeError
from striate.interfaces import Encoder, Group, with_learned
from striate.registry import find, origin


@dataclass(frozen=True)
class Regressor(Encoder):
    """A scikit-learn regressor, fitted to all targets that share rows, or to each in turn.

    Fitted estimators are Python objects, which only pickle could store: a run keeps the
    predictions of such a fit but not its state, so no other member can start after it.

    Parameters
    ----------
    estimator
        ``module:Class``, such as ``sklearn.linear_model:Lasso``.
    options
        Its parameters; a ``random_state`` that is not given is 0.
    each
        Fit one estimator per target; needed where the estimator takes a single target.

    """

    estimator: str
    options: Mapping[str, Any] = field(default_factory=dict)
    each: bool = False

    def __post_init__(self) -> None:
        self._new()

    def identity(self) -> Mapping[str, Any]:
        """The estimator's class and source in place of where it lies, options, `each`."""
        estimator = origin(find("encoder", self.estimator))
        return {"estimator": estimator, "options": dict(self.options), "each": self.each}

    def _new(self) -> Any:
        cls = find("encoder", self.estimator)
        try:
            estimator = cls(**self.options)
        except TypeError as error:
            raise RecipeError(
                f"{self.estimator} does not take {dict(self.options)}: {error}"
            ) from error
        # Unseeded, the same recipe would give other numbers on every run.
        if estimator.get_params(deep=False).get("random_state", 0) is None:
            estimator.set_params(random_state=0)
        return estimator

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> Regressor:
        """A copy with fitted estimators.

        Raises
        ------
        RecipeError
            When the estimator refuses the data.

        """
        from_nothing(self, start)
        parts = []
        for bucket in buckets(groups):
            x, y = design(features, bucket.rows), bucket.values
            columns = y.T if self.each else [y if y.shape[1] > 1 else y[:, 0]]
            try:
                parts.append(([self._new().fit(x, c) for c in columns], bucket.targets))
            except ValueError as error:
                raise RecipeError(
                    f"{self.estimator} cannot fit {y.shape[1]} targets: {error} (where it takes"
                    " one target at a time, name it as estimator of `sklearn` with each = true)"
                ) from error
        return with_learned(self, parts_=parts)  # type: ignore[no-any-return]

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        x = design(features, rows)
        values = []
        for estimators, targets in self.parts_:  # type: ignore[attr-defined]
            columns = [np.asarray(e.predict(x)).reshape(len(x), -1) for e in estimators]
            values.append((np.concatenate(columns, axis=1).astype(x.dtype), targets))
        return predicted(rows, values)
