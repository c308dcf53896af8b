"""Lasso and elastic nets of many targets as scikit-learn estimators."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from striate.estimators.folds import folds_of_rows
from striate.estimators.ridge import answer, checked, keep
from striate.solvers.sparse import (
    SparseFit,
    elastic_net_cv,
    lasso_cv,
    multitask_elastic_net_cv,
)


class _Sparse(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """What the three share: checks, folds, and coefficients in scikit-learn's shapes.

    By scikit-learn's contract parameters are looked at in `fit`, not before.
    """

    cv: Any

    @abstractmethod
    def _solve(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> SparseFit:
        """Return the fit of arrays."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit to `X` (rows × features) and `y` (rows, or rows × targets); return the estimator.

        Raises `ValueError` for data that scikit-learn refuses, `DataError` for parameters or
        folds that do not fit them.
        """
        x, values, one = checked(self, X, y)
        fit = self._solve(x, values, folds_of_rows(self.cv, len(x)))
        self.alpha_ = float(fit.alpha[0]) if one else fit.alpha
        self.l1_ratio_ = float(fit.l1_ratio[0]) if one else fit.l1_ratio
        self.alphas_ = fit.alphas[:, 0] if one else fit.alphas
        self.loss_ = fit.loss[:, 0] if one else fit.loss
        keep(self, fit, one)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions for `X`: rows, or rows × targets as `y` was."""
        return answer(self, X)


class LassoCV(_Sparse):
    """A lasso per target with the penalty that predicts held-out rows best.

    As scikit-learn's `LassoCV`, but for any number of targets at once; see
    `striate.solvers.sparse.lasso_cv` for the problem, the parameters and the paper.

    `cv` is a number of folds of neighbouring rows, or a fold label per row. Learns `coef_`
    (targets × features), `intercept_`, `alpha_`, `alphas_` and `loss_` (penalties × targets).

    >>> LassoCV(cv=2, alphas=[0.125]).fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1, 2, 3]).coef_
    array([0.9])
    """

    def __init__(
        self,
        *,
        alphas: Any = None,
        n_alphas: Any = 100,
        eps: Any = 1e-3,
        cv: Any = 5,
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.memory = memory
        self.threads = threads

    def _solve(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> SparseFit:
        return lasso_cv(
            x,
            y,
            folds,
            alphas=self.alphas,
            n_alphas=self.n_alphas,
            eps=self.eps,
            memory=self.memory,
            threads=self.threads,
        )


class ElasticNetCV(_Sparse):
    """An elastic net per target with the penalty that predicts held-out rows best.

    As scikit-learn's `ElasticNetCV`, but for any number of targets at once; see
    `striate.solvers.sparse.elastic_net_cv`. Parameters and attributes as of `LassoCV`, and
    `l1_ratio`, one or several to choose from, with the choice in `l1_ratio_`.

    >>> ElasticNetCV(cv=2, alphas=[0.25]).fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1, 2, 3]).alpha_
    0.25
    """

    def __init__(
        self,
        *,
        l1_ratio: Any = 0.5,
        alphas: Any = None,
        n_alphas: Any = 100,
        eps: Any = 1e-3,
        cv: Any = 5,
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.memory = memory
        self.threads = threads

    def _solve(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> SparseFit:
        return elastic_net_cv(
            x,
            y,
            folds,
            l1_ratio=self.l1_ratio,
            alphas=self.alphas,
            n_alphas=self.n_alphas,
            eps=self.eps,
            memory=self.memory,
            threads=self.threads,
        )


class MultiTaskElasticNetCV(ElasticNetCV):
    """An elastic net whose targets share features and penalty.

    As scikit-learn's `MultiTaskElasticNetCV`; see
    `striate.solvers.sparse.multitask_elastic_net_cv`. Parameters and attributes as of
    `ElasticNetCV`.

    >>> y = [[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]
    >>> MultiTaskElasticNetCV(cv=2, alphas=[0.25]).fit([[0.0], [1.0], [2.0], [3.0]], y).alpha_
    array([0.25, 0.25])
    """

    def _solve(self, x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> SparseFit:
        return multitask_elastic_net_cv(
            x,
            y,
            folds,
            l1_ratio=self.l1_ratio,
            alphas=self.alphas,
            n_alphas=self.n_alphas,
            eps=self.eps,
            memory=self.memory,
            threads=self.threads,
        )
