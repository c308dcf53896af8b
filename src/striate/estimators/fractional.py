"""Fractional ridge with a fraction per target as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from striate.estimators.folds import folds_of_rows
from striate.estimators.ridge import answer, checked, keep
from striate.solvers.fractional import fractional_ridge_cv

FRACTIONS = tuple(round(0.1 * k, 1) for k in range(1, 11))


class FractionalRidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge that keeps the fraction of the least-squares length that predicts held-out rows best.

    See `striate.solvers.fractional.fractional_ridge_cv`.

    Parameters
    ----------
    fractions
        Candidates, from 0 to 1.
    cv
        Number of folds of rows side by side, or a fold label for every row.
    memory, threads
        Bytes for temporary arrays, and workers; None: as many as BLAS would use.

    Attributes
    ----------
    coef_, intercept_
        Predictions are ``X @ coef_.T + intercept_``, as scikit-learn has them.
    fraction_, alpha_, loss_
        Of each target the fraction and the penalty that does it, and the mean squared error of
        held-out rows, fraction × target.

    >>> model = FractionalRidgeCV([0.5, 1.0], cv=2)
    >>> model.fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]).fraction_
    1.0

    """

    def __init__(
        self,
        fractions: Any = FRACTIONS,
        *,
        cv: Any = 5,
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.fractions = fractions
        self.cv = cv
        self.memory = memory
        self.threads = threads

    def fit(self, X: Any, y: Any) -> FractionalRidgeCV:
        """Fit to `X` (rows × features) and `y` (rows, or rows × targets); return the estimator.

        Raises `ValueError` for data that scikit-learn refuses, `DataError` for parameters that do
        not fit them.
        """
        x, values, one = checked(self, X, y)
        fit = fractional_ridge_cv(
            x,
            values,
            self.fractions,
            folds_of_rows(self.cv, len(x)),
            memory=self.memory,
            threads=self.threads,
        )
        self.fraction_ = float(fit.fraction[0]) if one else fit.fraction
        self.alpha_ = float(fit.alpha[0]) if one else fit.alpha
        self.loss_ = fit.loss[:, 0] if one else fit.loss
        keep(self, fit, one)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions for `X`: rows, or rows × targets as `y` was."""
        return answer(self, X)
