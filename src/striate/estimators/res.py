"""Representational Similarity Encoding as a scikit-learn regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from striate.solvers.res import Weighting, unit_rows, weighted


class RES(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Predict responses as means of known ones, weighted by the similarity of their features.

    Parameters
    ----------
    similarity
        Of two rows across features: ``"pearson"``, ``"cosine"`` or ``"spearman"``.
    normaliser
        ``"absolute"``: weights are divided by the sum of their sizes; ``"none"``.
    centre
        Average deviations from the mean response, and add it back.
    power
        Sizes of similarities are raised to this power.
    neighbours
        Only so many rows count, those of largest similarity; None: all.
    memory
        Bytes for temporary arrays.

    Attributes
    ----------
    rows_
        Training rows of unit length, row × feature.
    values_
        Their responses, row × target.

    Anderson, Zinszer & Raizada 2016, doi:10.1016/j.neuroimage.2015.12.035.

    >>> x = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 5]])
    >>> RES(centre=False).fit(x, [1.0, 0, 2]).predict([[2.0, 1, 4, 3]]).round(7)
    array([0.5888915])

    """

    def __init__(
        self,
        similarity: Any = "pearson",
        normaliser: Any = "absolute",
        centre: Any = True,
        power: Any = 1.0,
        neighbours: Any = None,
        memory: Any = 2 << 30,
    ) -> None:
        self.similarity = similarity
        self.normaliser = normaliser
        self.centre = centre
        self.power = power
        self.neighbours = neighbours
        self.memory = memory

    def fit(self, X: Any, y: Any) -> RES:
        """Keep `X` (row × feature) and `y` (row, or row × target); returns itself."""
        least = 1 if self.similarity == "cosine" else 2
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
            ensure_min_features=least,
        )
        self._weighting()
        self.rows_ = unit_rows(X, self.similarity)
        self.values_ = y.reshape(len(y), -1).astype(X.dtype)
        self.single_ = y.ndim == 1
        return self

    def _weighting(self) -> Weighting:
        return Weighting(self.normaliser, self.centre, self.power, self.neighbours)

    def predict(self, X: Any) -> Float[np.ndarray, "row ..."]:
        """Predicted responses in the shape of the `y` that was fitted."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=self.rows_.dtype)
        found = weighted(
            self.rows_, self.values_, X, self._weighting(), self.similarity, memory=self.memory
        )
        return found[:, 0] if self.single_ else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # what it predicts is shrunken towards the mean
        return tags
