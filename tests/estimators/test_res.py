"""RES as a scikit-learn estimator is the solver's."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.estimators import RES
from striate.solvers.res import res

RNG = np.random.default_rng(0)


@parametrize_with_checks([RES(), RES(similarity="cosine", neighbours=5)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_are_the_solvers(dtype):
    x, y = (RNG.standard_normal((30, k)).astype(dtype) for k in (8, 3))
    options = {"similarity": "spearman", "normaliser": "none", "power": 2.0, "neighbours": 7}
    model = RES(**options).fit(x[:20], y[:20])
    expected = res(x[:20], y[:20], x[20:], **options)
    np.testing.assert_array_equal(model.predict(x[20:]), expected)
    assert model.predict(x[20:]).dtype == dtype
    one = RES(**options).fit(x[:20], y[:20, 0]).predict(x[20:])
    np.testing.assert_allclose(one, expected[:, 0], rtol=1e-4, atol=1e-5)


def test_options_are_searched_by_scikit_learn():
    angle = RNG.uniform(0, 2 * np.pi, 90)
    x = np.stack([np.cos(angle + k * 2 * np.pi / 3) for k in range(3)], axis=1)
    grid = {"neighbours": [5, None], "power": [1.0, 3.0]}
    search = GridSearchCV(RES(), grid, cv=3).fit(x, np.cos(3 * angle))
    assert search.best_params_["neighbours"] == 5
    assert search.best_score_ > 0.8
