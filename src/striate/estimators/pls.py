"""Partial least squares with the number of components chosen by folds, as a regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from striate.estimators.folds import folds_of_rows
from striate.solvers.pls import pls_cv


class PLSCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """PLS regression of all targets at once, each with the components that predict it best.

    Parameters
    ----------
    components
        The largest number of components to try, or the numbers to choose from.
    cv
        Number of folds of rows side by side, or a fold label for every row.
    choice
        ``"target"``: a number for each target; ``"global"``: one for all.
    memory
        Bytes for temporary arrays.
    threads
        Workers; None: as many as BLAS would use.

    Attributes
    ----------
    coef_, intercept_
        Predictions are ``X @ coef_.T + intercept_``, as scikit-learn has them.
    center_, level_
        Means of features and targets, about which predictions are computed.
    components_
        The number of components of each target.
    loss_
        Mean squared error of held-out rows, number of components × target.

    >>> x = np.eye(4)
    >>> PLSCV(2, cv=2).fit(x, x @ [0.0, 1.0, 2.0, 3.0]).predict(x).shape
    (4,)

    """

    def __init__(
        self,
        components: Any = 20,
        cv: Any = 5,
        choice: Any = "target",
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.components = components
        self.cv = cv
        self.choice = choice
        self.memory = memory
        self.threads = threads

    def fit(self, X: Any, y: Any) -> PLSCV:
        """Fit to `X` (row × feature) and `y` (row, or row × target); returns itself."""
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        values = y.reshape(len(y), -1).astype(X.dtype)
        found = pls_cv(
            X,
            values,
            self.components,
            folds_of_rows(self.cv, len(X)),
            choice=self.choice,
            memory=self.memory,
            threads=self.threads,
        )
        self.coef_, self.intercept_ = found.coef.T, found.intercept
        self.center_, self.level_ = found.center, found.level
        self.components_, self.loss_ = found.components.astype(int), found.loss
        if y.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], float(self.intercept_[0])
            self.level_ = self.level_[0]
        return self

    def predict(self, X: Any) -> Float[np.ndarray, "row ..."]:
        """Predicted responses in the shape of the `y` that was fitted."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=self.coef_.dtype)
        return (X - self.center_) @ self.coef_.T + self.level_
