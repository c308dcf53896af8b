"""Kernel ridge with a penalty per target as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from striate.estimators.folds import folds_of_rows
from striate.estimators.ridge import checked
from striate.solvers.kernel_ridge import kernel, kernel_ridge_cv

ALPHAS = tuple(float(f"1e{k}") for k in range(-3, 5))


class KernelRidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Kernel ridge with an intercept and the penalty that predicts held-out rows best.

    See `striate.solvers.kernel_ridge` for the kernels and the problem.

    Parameters
    ----------
    alphas
        Penalties to choose from, above 0.
    kernel
        ``"linear"``, ``"polynomial"``, ``"rbf"``, ``"correlation"``, or ``"precomputed"``: `X` are
        similarities to the training rows.
    degree, gamma, coef0
        Of polynomial and rbf; a `gamma` of None is one over the number of features.
    cv, penalty, memory, threads
        As for `RidgeCV`.

    Attributes
    ----------
    dual_coef_, intercept_
        Weights of the training rows (row, or row × target), and what is added.
    alpha_, loss_
        The penalty of each target, and the mean squared error of held-out rows, alpha × target.

    >>> x = [[0.0], [1.0], [2.0], [3.0]]
    >>> KernelRidgeCV([1e-6], cv=2, kernel="linear").fit(x, [1.0, 3.0, 5.0, 7.0]).predict([[4.0]])
    array([8.99999...])

    """

    def __init__(
        self,
        alphas: Any = ALPHAS,
        *,
        kernel: Any = "rbf",
        degree: Any = 3,
        gamma: Any = None,
        coef0: Any = 1.0,
        cv: Any = 5,
        penalty: Any = "target",
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.alphas = alphas
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.cv = cv
        self.penalty = penalty
        self.memory = memory
        self.threads = threads

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    def _similar(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if self.kernel == "precomputed":
            return a
        found: np.ndarray = kernel(
            a, b, self.kernel, degree=self.degree, gamma=self.gamma, coef0=self.coef0
        )
        return found

    def fit(self, X: Any, y: Any) -> KernelRidgeCV:
        """Fit to `X` (rows × features) and `y` (rows, or rows × targets); return the estimator.

        Raises `ValueError` for data that scikit-learn refuses, `DataError` for parameters that do
        not fit them.
        """
        x, values, one = checked(self, X, y)
        fit = kernel_ridge_cv(
            self._similar(x, x).astype(np.float64, copy=False),
            values.astype(np.float64, copy=False),
            self.alphas,
            folds_of_rows(self.cv, len(x), ("loo", "gcv")),
            penalty=self.penalty if isinstance(self.penalty, str) else np.asarray(self.penalty),
            memory=self.memory,
            threads=self.threads,
        )
        self.rows_ = None if self.kernel == "precomputed" else x
        self.dual_coef_ = fit.dual[:, 0] if one else fit.dual
        self.intercept_ = float(fit.intercept[0]) if one else fit.intercept
        self.alpha_ = float(fit.alpha[0]) if one else fit.alpha
        self.loss_ = fit.loss[:, 0] if one else fit.loss
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions for `X`: rows, or rows × targets as `y` was."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        k = self._similar(x, x if self.rows_ is None else self.rows_)
        found: np.ndarray = k @ self.dual_coef_ + self.intercept_
        return found.astype(x.dtype, copy=False)
