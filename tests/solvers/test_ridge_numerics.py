"""Predictions are those of a float64 SVD wherever the penalty is not absurdly small."""

import numpy as np
import pytest
from tests.solvers.test_ridge import by_svd, ill_conditioned, problem

from striate.solvers.ridge import ridge, ridge_cv


def hard(kind, n, p):
    """Features and targets that take digits away, in float64."""
    if kind == "condition 1e12":
        return ill_conditioned(n, p, 1e12)
    x, y = problem(n, p, targets=12)
    if kind == "rank deficient":
        x = x[:, : p // 3] @ np.random.default_rng(1).normal(size=(p // 3, p))
    if kind == "huge means":
        x = (x - x.mean(axis=0)) / x.std(axis=0) + 1e4
        y = (y - y.mean(axis=0)) / y.std(axis=0)
    if kind == "huge means of targets":
        y = (y - y.mean(axis=0)) / y.std(axis=0) + 1e4
    if kind == "one huge feature":
        x[:, 1] *= 1e5
    if kind == "constant":
        x[:, 1], y[:, 2] = 3e3, 7.0
    return x, y


KINDS = (
    "condition 1e12",
    "rank deficient",
    "huge means",
    "huge means of targets",
    "one huge feature",
    "constant",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "p"), [(600, 60), (70, 60), (80, 400)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_at_the_same_penalty(kind, n, p, dtype):
    x, y = (a.astype(dtype) for a in hard(kind, n + 50, p))
    (x, new), (y, _) = (x[:n], x[n:]), (y[:n], y[n:])
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    size = np.linalg.norm(centred, 2) ** 2
    for relative in (1e-6, 1e-4, 1e-2, 1.0):
        fit = ridge(x, y, relative * size)
        for rows in (x, new):
            expected = by_svd(x, y, relative * size, rows)
            about = y.mean(axis=0, dtype=np.float64)
            off = np.linalg.norm(fit.predict(rows) - expected, axis=0)
            scale = np.linalg.norm(expected - about, axis=0)
            # a target with a huge mean has the digits of its own type, and no more
            rounding = np.finfo(dtype).eps * np.abs(about) * len(rows) ** 0.5
            assert (off <= 1e-3 * scale + rounding + 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "p"), [(600, 60), (80, 400)])
def test_penalties_and_losses_in_float32(kind, n, p):
    x, y = (a.astype(np.float32) for a in hard(kind, n, p))
    wide, folds = (x.astype(np.float64), y.astype(np.float64)), np.arange(n) % 4
    alphas = np.linalg.norm(wide[0] - wide[0].mean(axis=0), 2) ** 2 * np.logspace(-6, 0, 7)
    single, double = ridge_cv(x, y, alphas, folds), ridge_cv(*wide, alphas, folds)
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-3, atol=1e-9)
    lost = double.loss[np.searchsorted(alphas, single.alpha), range(12)] - double.loss.min(axis=0)
    assert (lost <= 1e-4 * double.loss.min(axis=0) + 1e-9).all()
