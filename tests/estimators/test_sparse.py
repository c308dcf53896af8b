"""The sparse estimators keep scikit-learn's contract and give its answers."""

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.errors import DataError
from striate.estimators import ElasticNetCV, LassoCV, MultiTaskElasticNetCV


@parametrize_with_checks(
    [LassoCV(n_alphas=20), ElasticNetCV(n_alphas=20), MultiTaskElasticNetCV(n_alphas=20)]
)
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def problem(rows=90, features=8, targets=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features)) + 3
    w = rng.normal(size=(features, targets)) * (rng.random((features, targets)) < 0.5)
    return x, x @ w + rng.normal(size=(rows, targets))


@pytest.mark.parametrize("cv", [5, "labels"])
def test_each_target_is_that_of_scikit_learn(cv):
    x, y = problem()
    labels = np.arange(90) % 4
    splits = [(np.flatnonzero(labels != k), np.flatnonzero(labels == k)) for k in range(4)]
    ours, theirs = (5, 5) if cv == 5 else (labels, splits)
    fitted = LassoCV(cv=ours).fit(x, y)
    alone = LassoCV(cv=ours).fit(x, y[:, 1])
    assert fitted.coef_.shape == (3, 8) and alone.coef_.shape == (8,)
    assert alone.predict(x).shape == (90,) and fitted.predict(x).shape == (90, 3)
    for t in range(3):
        peer = linear_model.LassoCV(cv=theirs, tol=1e-9).fit(x, y[:, t])
        assert fitted.alpha_[t] == pytest.approx(peer.alpha_)
        np.testing.assert_allclose(fitted.coef_[t], peer.coef_, atol=1e-6)
        np.testing.assert_allclose(fitted.predict(x)[:, t], peer.predict(x), atol=1e-5)
        np.testing.assert_allclose(fitted.loss_[:, t], peer.mse_path_.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(alone.coef_, fitted.coef_[1], rtol=1e-9)


def test_joint_and_mixed_penalties():
    x, y = problem()
    joint = MultiTaskElasticNetCV(cv=3, l1_ratio=[0.2, 0.8]).fit(x, y)
    peer = linear_model.MultiTaskElasticNetCV(cv=3, l1_ratio=[0.2, 0.8], tol=1e-9).fit(x, y)
    assert set(joint.l1_ratio_) == {peer.l1_ratio_}
    np.testing.assert_allclose(joint.alpha_, peer.alpha_)
    np.testing.assert_allclose(joint.coef_, peer.coef_, atol=1e-5)
    mixed = ElasticNetCV(cv=3, l1_ratio=[0.2, 0.8]).fit(x, y[:, 0])
    peer = linear_model.ElasticNetCV(cv=3, l1_ratio=[0.2, 0.8], tol=1e-9).fit(x, y[:, 0])
    assert (mixed.l1_ratio_, mixed.alpha_) == pytest.approx((peer.l1_ratio_, peer.alpha_))
    np.testing.assert_allclose(mixed.coef_, peer.coef_, atol=1e-6)


def test_features_with_large_means_keep_their_predictions_in_single_precision():
    x, y = (a.astype(np.float32) for a in problem())
    x += np.float32(1e5)
    single = LassoCV(cv=3, n_alphas=20).fit(x, y).predict(x)
    double = LassoCV(cv=3, n_alphas=20).fit(x.astype(float), y.astype(float)).predict(x)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-5 * np.std(y))


def test_mistakes_are_named():
    x, y = problem()
    with pytest.raises(DataError, match="a label for every row"):
        LassoCV(cv=[0, 1]).fit(x, y)
    with pytest.raises(DataError, match="give at least 2"):
        LassoCV(cv=1).fit(x, y)
    with pytest.raises(DataError, match="l1_ratio"):
        ElasticNetCV(l1_ratio=0.0).fit(x, y)
