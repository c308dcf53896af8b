"""Scikit-learn regressors as encoders."""

from striate.encoders.sklearn import Regressor


def test_unseeded_estimators_are_seeded():
    """The same recipe gives the same numbers, whatever the estimator's own default."""
    forest = Regressor("sklearn.ensemble:RandomForestRegressor", {"n_estimators": 3})
    assert forest._new().random_state == 0
    assert Regressor(forest.estimator, {"random_state": 4})._new().random_state == 4
