"""Fractional ridge against bisection of the penalty, and the lengths it promises."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn.linear_model import Ridge
from tests.solvers.test_ridge import problem

from striate.errors import DataError, StriateError
from striate.solvers.fractional import directions, fractional_need, fractional_ridge_cv, penalties

FRACTIONS = [0.05, 0.3, 0.6, 0.9, 0.999, 1.0]


def least(x, y):
    return np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=1e-6)[0]


def by_bisection(x, y, fraction):
    """The penalty at which ridge of one target has a fraction of the length of least squares."""
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    alive = s > 1e-6 * s[0]
    s, c = s[alive], (u.T @ (y - y.mean()))[alive]
    whole = np.linalg.norm(c / s)
    return np.exp(
        brentq(
            lambda t: np.linalg.norm(c * s / (s**2 + np.exp(t))) / whole - fraction,
            -40,
            40,
            xtol=1e-13,
        )
    )


@pytest.mark.parametrize(("n", "p"), [(60, 9), (40, 39), (30, 80)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_losses_choices_and_solutions_are_those_of_bisection(n, p, dtype):
    x, y = problem(n, p, targets=4, dtype=dtype)
    folds = np.random.default_rng(0).integers(0, 3, n)
    fit = fractional_ridge_cv(x, y, FRACTIONS, folds)
    x, y = x.astype(np.float64), y.astype(np.float64)
    loss = np.zeros((len(FRACTIONS), 4))
    for f in range(3):
        train, test = folds != f, folds == f
        for t in range(4):
            for i, fraction in enumerate(FRACTIONS[:-1]):
                alpha = by_bisection(x[train], y[train, t], fraction)
                peer = Ridge(alpha).fit(x[train], y[train, t])
                loss[i, t] += ((peer.predict(x[test]) - y[test, t]) ** 2).sum()
        ols = (x[test] - x[train].mean(0)) @ least(x[train], y[train]) + y[train].mean(0)
        loss[-1] += ((ols - y[test]) ** 2).sum(axis=0)
    np.testing.assert_allclose(fit.loss, loss / n, rtol=1e-5)
    np.testing.assert_array_equal(fit.fraction, np.array(FRACTIONS)[loss.argmin(axis=0)])
    norms = np.linalg.norm(fit.coef, axis=0) / np.linalg.norm(least(x, y), axis=0)
    np.testing.assert_allclose(norms, fit.fraction, rtol=1e-5)
    np.testing.assert_allclose(
        fit.predict(x.astype(dtype)), x @ fit.coef + fit.intercept, rtol=1e-3, atol=1e-3
    )
    assert fit.coef.dtype == dtype


@pytest.mark.parametrize("condition", [10.0, 1e4])
def test_lengths_are_exact_for_any_spectrum(condition):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 40)) @ np.diag(np.geomspace(1, 1 / condition, 40))
    y = rng.normal(size=(200, 60)) * np.geomspace(1e-6, 1e6, 60)
    found = directions(x)
    ols = found.least_squares(y - y.mean(0))
    fractions = np.array([1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-6])
    alpha = penalties(ols, found.values, fractions)
    for i, fraction in enumerate(fractions):
        kept = found.values[:, None] / (found.values[:, None] + alpha[i])
        norms = np.linalg.norm(ols * kept, axis=0) / np.linalg.norm(ols, axis=0)
        np.testing.assert_allclose(norms, fraction, rtol=1e-8)
        assert (alpha[i] > 0).all()


def test_the_ends_and_targets_without_variance():
    x, y = problem(40, 6)
    y[:, 2] = 3.0
    fit = fractional_ridge_cv(x, y, [0.0], np.arange(40) % 2)
    np.testing.assert_array_equal(fit.coef, 0)
    np.testing.assert_allclose(fit.predict(x), np.broadcast_to(y.mean(0), y.shape))
    fit = fractional_ridge_cv(x, y, [0.0, 0.5, 1.0], np.arange(40) % 2)
    np.testing.assert_allclose(fit.coef[:, 2], 0, atol=1e-12)
    assert np.isfinite(fit.loss).all()
    flat = fractional_ridge_cv(np.ones_like(x), y, [0.5, 1.0], np.arange(40) % 2)
    np.testing.assert_allclose(flat.predict(x), np.broadcast_to(y.mean(0), y.shape))


def test_batches_tensors_and_memory(monkeypatch):
    x, y = problem(90, 20, targets=70)
    folds = np.arange(90) % 3
    whole = fractional_ridge_cv(x, y, FRACTIONS, folds)
    need = fractional_need(90, 20, len(FRACTIONS))
    small = need.fixed + 5 * need.each
    tracemalloc.start()
    parts = fractional_ridge_cv(x, y, FRACTIONS, folds, memory=small, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.2 * small <= peak <= small + 8 * 70 * (20 + 10)
    np.testing.assert_allclose(parts.coef, whole.coef, rtol=1e-9, atol=1e-12)
    with pytest.raises(StriateError, match="fractional ridge of 20 features"):
        fractional_ridge_cv(x, y, FRACTIONS, folds, memory=1000)
    monkeypatch.setattr("striate.solvers.fractional.on_cpu", lambda *a: (a, lambda b: b))
    fit = fractional_ridge_cv(torch.tensor(x), torch.tensor(y), FRACTIONS, folds)
    assert isinstance(fit.coef, torch.Tensor)
    np.testing.assert_allclose(fit.coef.numpy(), whole.coef, rtol=1e-6, atol=1e-9)
    with pytest.raises(DataError, match=r"fractions \[0.5, 1.5\]: .* from 0 to 1"):
        fractional_ridge_cv(x, y, [0.5, 1.5], folds)
