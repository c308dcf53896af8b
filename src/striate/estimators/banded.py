"""Banded ridge, with bands named by a label for every column, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from striate.errors import DataError
from striate.estimators.folds import folds_of_rows
from striate.estimators.ridge import ALPHAS, answer, checked
from striate.solvers.banded import banded_ridge_cv


class BandedRidgeCV(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A ridge with a penalty for each band of features, chosen for each target on held-out rows.

    Minimises ||y - sum_b X_b w_b - c||^2 + sum_b (alpha / gamma_b) ||w_b||^2; see
    `striate.solvers.banded.banded_ridge_cv`.

    Parameters
    ----------
    groups
        A label for every column: columns of the same label are a band. None: all are one band.
    alphas
        Penalties to choose from.
    cv
        Number of folds of rows side by side, or a fold label for every row.
    draws
        How many weights of bands to try, or the weights themselves (draw × band, bands in the order
        of their sorted labels).
    search
        ``"exhaustive"``, ``"halving"`` or ``"guided"``.
    random_state
        Seed of the draws.
    local
        Whether every target has weights and a penalty of its own.
    memory, threads
        Bytes for temporary arrays, and workers; None: as many as BLAS would use.

    Attributes
    ----------
    coef_, intercept_
        Predictions are ``X @ coef_.T + intercept_``, as scikit-learn has them.
    bands_
        The labels of the bands.
    gamma_, alpha_
        Weights of the bands, which sum to one (band × target), and the penalty of each target.
    loss_
        Mean squared error of held-out rows under each draw, draw × target.

    >>> x, y = [[0.0, 1.0], [1.0, -1.0], [2.0, -1.0], [3.0, 1.0]], [0.0, 2.0, 4.0, 6.0]
    >>> BandedRidgeCV([0, 1], alphas=[1e-3], cv=[0, 1, 0, 1], draws=3).fit(x, y).gamma_
    array([1., 0.])

    """

    def __init__(
        self,
        groups: Any = None,
        *,
        alphas: Any = ALPHAS,
        cv: Any = 5,
        draws: Any = 20,
        search: Any = "exhaustive",
        random_state: Any = 0,
        local: Any = True,
        memory: Any = 2 << 30,
        threads: Any = None,
    ) -> None:
        self.groups = groups
        self.alphas = alphas
        self.cv = cv
        self.draws = draws
        self.search = search
        self.random_state = random_state
        self.local = local
        self.memory = memory
        self.threads = threads

    def fit(self, X: Any, y: Any) -> BandedRidgeCV:
        """Fit to `X` (rows × features) and `y` (rows, or rows × targets); return the estimator.

        Raises `ValueError` for data that scikit-learn refuses, `DataError` for parameters that do
        not fit them.
        """
        x, values, one = checked(self, X, y)
        labels = np.zeros(x.shape[1], dtype=int) if self.groups is None else np.asarray(self.groups)
        if labels.shape != (x.shape[1],):
            raise DataError(
                f"groups has shape {labels.shape} for {x.shape[1]} columns: give a label for each"
            )
        self.bands_, band = np.unique(labels, return_inverse=True)
        columns = [np.flatnonzero(band == b) for b in range(len(self.bands_))]
        fit = banded_ridge_cv(
            [x[:, c] for c in columns],
            values,
            self.alphas,
            folds_of_rows(self.cv, len(x)),
            draws=self.draws if isinstance(self.draws, int) else np.asarray(self.draws),
            seed=self.random_state,
            search=self.search,
            local=self.local,
            memory=self.memory,
            threads=self.threads,
        )
        order = np.argsort(np.concatenate(columns))
        coef, self.center_ = np.concatenate(fit.coefs)[order], np.concatenate(fit.centers)[order]
        self.coef_ = coef[:, 0] if one else coef.T
        self.intercept_ = float(fit.intercept[0]) if one else fit.intercept
        self.level_ = float(fit.level[0]) if one else fit.level
        self.alpha_ = float(fit.alpha[0]) if one else fit.alpha
        self.gamma_ = fit.gamma[:, 0] if one else fit.gamma
        self.loss_ = fit.loss[:, 0] if one else fit.loss
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the predictions for `X`: rows, or rows × targets as `y` was."""
        return answer(self, X)
