"""The ridges keep scikit-learn's contract and give its answers."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV as Peer
from sklearn.model_selection import KFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.solvers.test_ridge import problem

from striate.errors import DataError
from striate.estimators import FractionalRidgeCV, KernelRidgeCV, RidgeCV

ALPHAS = [0.1, 1.0, 10.0, 100.0, 1000.0]


@parametrize_with_checks(
    [
        RidgeCV(ALPHAS, cv=3, threads=1),
        RidgeCV(ALPHAS, cv="gcv", threads=1),
        KernelRidgeCV([0.1, 1.0], cv=3, threads=1),
        KernelRidgeCV([0.1, 1.0], cv=3, kernel="linear", threads=1),
        FractionalRidgeCV([0.3, 0.6, 1.0], cv=3, threads=1),
    ]
)
def test_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cv", [4, "labels", "loo"])
def test_ridge_is_scikit_learns(cv):
    x, y = problem(44, 8)
    labels = np.random.default_rng(0).permutation(np.arange(44) % 4)
    splits = {4: KFold(4), "loo": None}.get(
        cv, [(np.flatnonzero(labels != f), np.flatnonzero(labels == f)) for f in range(4)]
    )
    ours = RidgeCV(ALPHAS, cv=labels if cv == "labels" else cv)
    for t in range(y.shape[1]):
        scoring = None if cv == "loo" else "neg_mean_squared_error"
        peer = Peer(ALPHAS, cv=splits, scoring=scoring).fit(x, y[:, t])
        ours.fit(x, y[:, t])
        assert ours.alpha_ == peer.alpha_
        np.testing.assert_allclose(ours.predict(x), peer.predict(x), rtol=1e-7)
        np.testing.assert_allclose(ours.intercept_, peer.intercept_, rtol=1e-7)
    together = ours.fit(x, y)
    np.testing.assert_allclose(together.predict(x)[:, -1], peer.predict(x), rtol=1e-7)
    assert together.coef_.shape == (7, 8) and together.loss_.shape == (5, 7)
    shared = RidgeCV(ALPHAS, penalty=[0, 0, 0, 1, 1, 1, 1]).fit(x, y)
    assert len(set(shared.alpha_[:3])) == len(set(shared.alpha_[3:])) == 1
    assert np.isfinite(cross_val_score(ours if isinstance(cv, int) else RidgeCV(), x, y)).all()


def test_kernels_given_and_made_agree():
    x, y = problem(40, 8)
    new = problem(5, 8, seed=3)[0]
    made = KernelRidgeCV(ALPHAS, kernel="linear").fit(x, y)
    given = KernelRidgeCV(ALPHAS, kernel="precomputed").fit(x @ x.T, y)
    line = RidgeCV(ALPHAS).fit(x, y)
    np.testing.assert_allclose(made.predict(new), line.predict(new), rtol=1e-6)
    np.testing.assert_allclose(given.predict(new @ x.T), line.predict(new), rtol=1e-6)
    np.testing.assert_array_equal(made.alpha_, line.alpha_)


def test_mistakes_are_named():
    x, y = problem(20, 3)
    with pytest.raises(DataError, match=r"'lco' is unknown.*loo.*gcv"):
        RidgeCV(cv="lco").fit(x, y)
    with pytest.raises(DataError, match="from 0 to 1"):
        FractionalRidgeCV([2.0]).fit(x, y)
