"""The banded ridge keeps scikit-learn's contract and gives himalaya's and the solver's answers."""

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.solvers.test_banded import ALPHAS, problem

from striate.errors import DataError
from striate.estimators import BandedRidgeCV, RidgeCV
from striate.solvers.banded import banded_ridge_cv


@parametrize_with_checks([BandedRidgeCV(cv=3, threads=1)])
def test_contract(estimator, check):
    check(estimator)


def test_columns_of_a_label_are_a_band():
    spaces, y = problem(50)
    x, labels = np.concatenate(spaces, axis=1), np.repeat(["b", "a", "c"], [8, 15, 30])
    shuffled = np.random.default_rng(0).permutation(53)
    ours = BandedRidgeCV(labels[shuffled], alphas=ALPHAS, cv=4, draws=10).fit(x[:, shuffled], y)
    folds = np.repeat(np.arange(4), [13, 13, 12, 12])
    fit = banded_ridge_cv([spaces[1], spaces[0], spaces[2]], y, ALPHAS, folds, draws=10)
    assert ours.bands_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(ours.gamma_, fit.gamma)
    np.testing.assert_allclose(ours.loss_, fit.loss)
    found = ours.predict(x[:, shuffled])
    np.testing.assert_allclose(found, fit.predict([spaces[1], spaces[0], spaces[2]]), rtol=1e-9)
    np.testing.assert_allclose(x[:, shuffled] @ ours.coef_.T + ours.intercept_, found, rtol=1e-7)
    one = BandedRidgeCV(labels, alphas=ALPHAS, cv=4, draws=10).fit(x, y[:, 2])
    np.testing.assert_allclose(one.predict(x), found[:, 2], rtol=1e-7)
    assert one.gamma_.shape == (3,) and isinstance(one.alpha_, float)
    assert np.isfinite(cross_val_score(one, x, y)).all()


def test_without_groups_it_is_a_ridge():
    spaces, y = problem(50)
    ours = BandedRidgeCV(alphas=ALPHAS).fit(spaces[2], y)
    peer = RidgeCV(ALPHAS).fit(spaces[2], y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-8, atol=1e-10)


def test_mistakes_are_named():
    x, y = np.zeros((10, 3)), np.arange(10.0)
    with pytest.raises(DataError, match=r"\(2,\) for 3 columns"):
        BandedRidgeCV([0, 1]).fit(x, y)
    with pytest.raises(DataError, match="cv = 'loo'"):
        BandedRidgeCV([0, 1, 1], cv="loo").fit(x, y)
    with pytest.raises(DataError, match="choose exhaustive, halving, guided"):
        BandedRidgeCV([0, 1, 1], search="all").fit(x, y)
