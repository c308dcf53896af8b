"""Ridge with a penalty per target as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from striate.estimators.folds import folds_of_rows
from striate.solvers.ridge import ridge_cv

ALPHAS = tuple(float(f"1e{k}") for k in range(-1, 6))


class RidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A ridge with the penalty that predicts held-out rows best, for each target.

    Minimises ||y - Xw - b||^2 + alpha ||w||^2; see `striate.solvers.ridge.ridge_cv`.

    Parameters
    ----------
    alphas
        Penalties to choose from.
    cv
        Number of folds of rows side by side, a fold label for every row, or ``"loo"`` or ``"gcv"``
        for leave-one-out and generalised cross-validation in closed form.
    penalty
        ``"target"``: each target its own; ``"global"``: one for all; or a whole number for every
        target: those with the same number share theirs.
    memory, threads
        Bytes for temporary arrays, and workers; None: as many as BLAS would use.

    Attributes
    ----------
    coef_, intercept_
        Predictions are ``X @ coef_.T + intercept_``, as scikit-learn has them.
    alpha_, loss_
        The penalty of each target, and the mean squared error of held-out rows, alpha × target.

    >>> RidgeCV([1e-6], cv=2).fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]).coef_.round(3)
    array([2.])

    """

    def __init__(
        self,
        alphas: Any = ALPHAS,
        *,
        cv: Any = 5,
        penalty: Any = "target",
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.penalty = penalty
        self.memory = memory
        self.threads = threads

    def fit(self, X: Any, y: Any) -> RidgeCV:
        """Fit to `X` (rows × features) and `y` (rows, or rows × targets); return the estimator.

        Raises `ValueError` for data that scikit-learn refuses, `DataError` for parameters that do
        not fit them.
        """
        x, values, one = checked(self, X, y)
        fit = ridge_cv(
            x,
            values,
            self.alphas,
            folds_of_rows(self.cv, len(x), ("loo", "gcv")),
            penalty=self.penalty if isinstance(self.penalty, str) else np.asarray(self.penalty),
            memory=self.memory,
            threads=self.threads,
        )
        self.alpha_ = float(fit.alpha[0]) if one else fit.alpha
        self.loss_ = fit.loss[:, 0] if one and fit.loss is not None else fit.loss
        keep(self, fit, one)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions for `X`: rows, or rows × targets as `y` was."""
        return answer(self, X)


def checked(estimator: Any, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Features and targets as two matrices of one type, and whether the targets were a vector."""
    x, y = validate_data(
        estimator,
        X,
        y,
        dtype=[np.float64, np.float32],
        multi_output=True,
        y_numeric=True,
        ensure_min_samples=2,
    )
    one = np.ndim(y) == 1
    values = np.asarray(y)[:, None] if one else np.asarray(y)
    return x, values.astype(x.dtype, copy=False), one


def keep(estimator: Any, fit: Any, one: bool) -> None:
    """Keep a linear fit in scikit-learn's shapes."""
    estimator.coef_ = fit.coef[:, 0] if one else fit.coef.T
    estimator.intercept_ = float(fit.intercept[0]) if one else fit.intercept
    estimator.center_ = fit.center
    estimator.level_ = float(fit.level[0]) if one else fit.level


def answer(estimator: Any, X: Any) -> np.ndarray:
    """Predictions, about the means of the training rows: large features keep their digits."""
    check_is_fitted(estimator)
    x = validate_data(estimator, X, dtype=[np.float64, np.float32], reset=False)
    found: np.ndarray = (x - estimator.center_) @ estimator.coef_.T + estimator.level_
    return found.astype(estimator.coef_.dtype, copy=False)
