"""Leave-one-out and GCV in closed form against refits, scikit-learn and explicit hat matrices."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from tests.solvers.test_ridge import by_svd, ill_conditioned, problem, slow_loss

from striate.errors import DataError
from striate.solvers.ridge import ridge_cv

ALPHAS = [0.01, 1.0, 10.0, 1000.0]
SHAPES = [(40, 6), (30, 28), (30, 29), (30, 30), (25, 70)]


@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_left_out_rows_are_those_of_refits(n, p, dtype):
    x, y = problem(n, p, dtype=dtype)
    x[3] = x[2]  # a repeated row
    fit = ridge_cv(x, y, ALPHAS, "loo")
    expected = slow_loss(x, y, ALPHAS, np.arange(n), by_svd)
    np.testing.assert_allclose(fit.loss, expected, rtol=1e-6)
    np.testing.assert_array_equal(fit.alpha, np.array(ALPHAS)[expected.argmin(axis=0)])
    folds = ridge_cv(x.astype(float), y.astype(float), ALPHAS, np.arange(n))
    tolerance = 1e-5 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(fit.coef, folds.coef, rtol=tolerance, atol=tolerance)
    assert fit.coef.dtype == dtype


@pytest.mark.parametrize(("n", "p"), [(60, 8), (30, 70)])
def test_choice_is_scikit_learns(n, p):
    x, y = problem(n, p, targets=12)
    alphas = np.logspace(-2, 4, 9)
    fit = ridge_cv(x, y, alphas, "loo")
    peer = RidgeCV(alphas, alpha_per_target=True).fit(x, y)
    np.testing.assert_allclose(fit.alpha, peer.alpha_)
    np.testing.assert_allclose(fit.coef, peer.coef_.T, rtol=1e-7, atol=1e-9)
    assert len(set(fit.alpha)) > 2


@pytest.mark.parametrize(("n", "p"), SHAPES)
def test_gcv_is_that_of_the_hat_matrix(n, p):
    x, y = problem(n, p)
    loss = ridge_cv(x, y, ALPHAS, "gcv").loss
    centred = x - x.mean(axis=0)
    for a, alpha in enumerate(ALPHAS):
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(p), centred.T) + 1 / n
        freedom = n - np.trace(hat)
        expected = n * ((y - hat @ y) ** 2).sum(axis=0) / freedom**2
        np.testing.assert_allclose(loss[a], expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["loo", "gcv"])
def test_small_penalties(method):
    x, y = ill_conditioned(80, 20, 1e7)
    alphas = np.logspace(-13, 2, 16)
    fit = ridge_cv(x, y, alphas, method)
    if method == "loo":
        expected = slow_loss(x, y, alphas, np.arange(80), by_svd)
        np.testing.assert_allclose(fit.loss, expected, rtol=1e-5)
    assert np.median(fit.alpha[::2]) < 1e-2 * np.median(fit.alpha[1::2])
    x, y = problem(30, 40)
    tiny = ridge_cv(x, y, [1e-6], method)  # 1 - h is as small: the limit of interpolation
    if method == "loo":
        np.testing.assert_allclose(
            tiny.loss, slow_loss(x, y, [1e-6], np.arange(30), by_svd), rtol=1e-5
        )
    with pytest.raises(DataError, match=r"below the rounding.*or folds"):
        ridge_cv(x, y, [1e-14], method)
    alone = np.eye(12)[:, :3] * 5
    if method == "loo":
        with pytest.raises(DataError, match="rows predict themselves"):
            ridge_cv(alone, problem(12, 3)[1], [0.0], method)


@pytest.mark.parametrize(("n", "p"), [(40, 6), (25, 70)])
@pytest.mark.parametrize("method", ["loo", "gcv"])
def test_tensors_all_the_way(n, p, method, monkeypatch):
    x, y = problem(n, p, dtype=np.float32)
    expected = ridge_cv(x, y, ALPHAS, method, penalty=np.arange(7) % 2)
    monkeypatch.setattr("striate.solvers.ridge.on_cpu", lambda *a: (a, lambda b: b))
    fit = ridge_cv(torch.tensor(x), torch.tensor(y), ALPHAS, method, penalty=np.arange(7) % 2)
    assert isinstance(fit.loss, torch.Tensor) and fit.coef.dtype == torch.float32
    np.testing.assert_allclose(fit.loss.numpy(), expected.loss, rtol=1e-6)
    np.testing.assert_array_equal(fit.alpha.numpy(), expected.alpha)
