"""PLS as a scikit-learn estimator is the solver's."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.estimators import PLSCV
from striate.solvers.pls import pls_cv

RNG = np.random.default_rng(0)


@parametrize_with_checks([PLSCV(components=3, cv=3), PLSCV(components=[0, 2], choice="global")])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_are_the_solvers(dtype):
    x, y = RNG.standard_normal((31, 8)), RNG.standard_normal((31, 3))
    x, y = x.astype(dtype), (x[:, :3] + y).astype(dtype)
    folds = np.repeat([0, 1, 2], [11, 10, 10])  # as scikit-learn's KFold
    model, fit = PLSCV(4, cv=3).fit(x, y), pls_cv(x, y, 4, folds)
    labelled = PLSCV(4, cv=folds.astype(str)).fit(x, y)
    for found in (model, labelled):
        np.testing.assert_array_equal(found.components_, fit.components)
        np.testing.assert_allclose(found.predict(x), fit.predict(x), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found.loss_, fit.loss)
    assert model.predict(x).dtype == dtype


def test_one_target_in_the_shape_it_came_in():
    x = RNG.standard_normal((40, 6))
    y = x @ np.arange(6.0) + 0.1 * RNG.standard_normal(40)
    model = PLSCV([2], cv=4).fit(x, y)
    expected = PLSRegression(2, scale=False).fit(x, y).predict(x)
    assert model.coef_.shape == (6,)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-9)
