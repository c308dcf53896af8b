"""Kernel ridge against scikit-learn and himalaya with kernels centred by hand, and ridge."""

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import pairwise
from tests.solvers.test_ridge import problem

from striate.errors import DataError, StriateError
from striate.solvers.kernel_ridge import KERNELS, kernel, kernel_ridge_cv, kernel_ridge_need
from striate.solvers.ridge import ridge_cv

ALPHAS = [0.01, 0.1, 1.0, 10.0]


def centred(k, train):
    """A kernel of all rows against all, about the mean of the rows of `train`."""
    aside = k[:, train].mean(axis=1, keepdims=True)
    return k - aside - aside.T + k[np.ix_(train, train)].mean()


def by_sklearn(k, y, alpha, train, test):
    k, mean = centred(k, train), y[train].mean(axis=0)
    peer = KernelRidge(alpha=alpha, kernel="precomputed")
    return peer.fit(k[np.ix_(train, train)], y[train] - mean).predict(k[np.ix_(test, train)]) + mean


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_scikit_learns(name):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 20)) + 2, rng.normal(size=(9, 20)) + 2
    expected = {
        "linear": lambda: (a - b.mean(0)) @ (b - b.mean(0)).T,
        "polynomial": lambda: pairwise.polynomial_kernel(a, b, degree=2, gamma=0.3, coef0=0.5),
        "rbf": lambda: pairwise.rbf_kernel(a, b, gamma=0.3),
        "correlation": lambda: np.corrcoef(a, b)[:7, 7:],
    }[name]()
    options = {"degree": 2, "gamma": 0.3, "coef0": 0.5}
    np.testing.assert_allclose(kernel(a, b, name, **options), expected, rtol=1e-9, atol=1e-12)
    far = (a.astype(np.float32) + 1000, b.astype(np.float32) + 1000)
    if name in ("linear", "rbf"):  # what is far from zero keeps its digits
        found = kernel(*far, name, **options)
        exact = kernel(*(m.astype(np.float64) for m in far), name, **options)
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-9)
    tensors = kernel(torch.tensor(a), torch.tensor(b), name, **options)
    np.testing.assert_allclose(tensors.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_a_constant_row_correlates_with_nothing():
    a = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)
    a[2] = 0.1
    k = kernel(a, a, "correlation")
    assert (k[2] == 0).all() and np.isfinite(k).all()
    assert (np.diag(k)[[0, 1, 3]] > 1 - 1e-7).all()


@pytest.mark.parametrize("name", KERNELS)
def test_losses_and_predictions_are_scikit_learns(name):
    x, y = problem(50, 12)
    x = x / x.std(axis=0)
    folds = np.random.default_rng(3).integers(0, 4, 50)
    k = kernel(x, x, name)
    fit = kernel_ridge_cv(k, y, ALPHAS, folds)
    for i, alpha in enumerate(ALPHAS):
        loss = sum(
            ((by_sklearn(k, y, alpha, folds != f, folds == f) - y[folds == f]) ** 2).sum(axis=0)
            for f in range(4)
        )
        np.testing.assert_allclose(fit.loss[i], loss / 50, rtol=1e-7)
    np.testing.assert_array_equal(fit.alpha, np.array(ALPHAS)[fit.loss.argmin(axis=0)])
    new, _ = problem(6, 12, seed=9)
    together = kernel(np.concatenate([x, new]), x, name)
    whole = np.zeros((56, 56))
    whole[:, :50], whole[:50, 50:] = together, together[50:].T
    for t in range(y.shape[1]):
        expected = by_sklearn(
            whole, np.append(y[:, t], np.zeros(6)), fit.alpha[t], np.arange(50), np.arange(50, 56)
        )
        np.testing.assert_allclose(fit.predict(together[50:])[:, t], expected, rtol=1e-5)


@pytest.mark.parametrize("folds", ["kfold", "loo", "gcv"])
@pytest.mark.parametrize("p", [8, 90])
def test_a_linear_kernel_is_ridge(folds, p):
    x, y = problem(40, p)
    folds = np.arange(40) % 3 if folds == "kfold" else folds
    alphas = [1.0, 30.0, 1000.0]
    fit, peer = kernel_ridge_cv(x @ x.T, y, alphas, folds), ridge_cv(x, y, alphas, folds)
    np.testing.assert_allclose(fit.loss, peer.loss, rtol=1e-6)
    np.testing.assert_array_equal(fit.alpha, peer.alpha)
    np.testing.assert_allclose(fit.predict(x @ x.T), peer.predict(x), rtol=1e-6)
    labels = np.arange(7) % 2
    shared = kernel_ridge_cv(x @ x.T, y, alphas, folds, penalty=labels)
    np.testing.assert_array_equal(shared.alpha, ridge_cv(x, y, alphas, folds, penalty=labels).alpha)


def test_penalties_are_himalayas_on_centred_targets():
    himalaya = pytest.importorskip("himalaya.kernel_ridge")
    x, y = problem(60, 90, targets=30)
    alphas, folds = np.logspace(-1, 5, 7), np.arange(60) // 12
    splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(5)]
    # himalaya knows no intercept: rows that sum to zero within every fold need none
    for f in range(5):
        x[folds == f] -= x[folds == f].mean(axis=0)
        y[folds == f] -= y[folds == f].mean(axis=0)
    peer = himalaya.KernelRidgeCV(alphas, kernel="precomputed", cv=splits).fit(x @ x.T, y)
    fit = kernel_ridge_cv(x @ x.T, y, alphas, folds)
    np.testing.assert_allclose(fit.alpha, peer.best_alphas_)
    np.testing.assert_allclose(
        x.T @ fit.dual, x.T @ np.asarray(peer.dual_coef_), rtol=1e-5, atol=1e-8
    )
    assert len(set(fit.alpha)) > 2


def test_single_precision_and_tensors(monkeypatch):
    x, y = problem(40, 60)
    k = kernel(x, x, "rbf", gamma=0.01)
    folds = np.random.default_rng(0).integers(0, 3, 40)
    expected = kernel_ridge_cv(k, y, ALPHAS, folds)
    single = k.astype(np.float32), y.astype(np.float32)
    fit = kernel_ridge_cv(*single, ALPHAS, folds)
    np.testing.assert_allclose(fit.loss, expected.loss, rtol=1e-4)
    assert fit.predict(single[0]).dtype == np.float32
    monkeypatch.setattr("striate.solvers.kernel_ridge.on_cpu", lambda *a: (a, lambda b: b))
    fit = kernel_ridge_cv(torch.tensor(k), torch.tensor(y), ALPHAS, folds)
    assert isinstance(fit.dual, torch.Tensor)
    np.testing.assert_allclose(fit.dual.numpy(), expected.dual, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("folds", ["kfold", "loo"])
def test_memory_stays_within_what_is_stated(folds):
    x, y = problem(400, 20, targets=300)
    k, closed = x @ x.T, folds == "loo"
    labels = folds if closed else np.random.default_rng(0).integers(0, 4, 400)
    need = kernel_ridge_need(400, 4, closed=closed)
    kernel_ridge_cv(k, y, ALPHAS, labels)
    for memory in (need.fixed + 20 * need.each, 1 << 30):
        tracemalloc.start()
        kernel_ridge_cv(k, y, ALPHAS, labels, memory=memory, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= memory + 16 * 400 * 300
        if memory < 1 << 30:
            assert peak >= 0.2 * memory
    with pytest.raises(StriateError, match="kernel ridge on 400 rows needs at least"):
        kernel_ridge_cv(k, y, ALPHAS, labels, memory=1 << 16)


def test_mistakes_are_named():
    x, y = problem(20, 3)
    k, folds = x @ x.T, np.arange(20) % 2
    with pytest.raises(DataError, match="not symmetric"):
        kernel_ridge_cv(k + np.arange(20.0), y, ALPHAS, folds)
    with pytest.raises(DataError, match="below the digits of this kernel: use penalties of"):
        kernel_ridge_cv(k, y, [0.0, 1.0], folds)
    with pytest.raises(DataError, match="gamma -1"):
        kernel(x, x, "rbf", gamma=-1.0)
    constant = kernel_ridge_cv(np.ones((20, 20)), y, ALPHAS, folds)
    np.testing.assert_allclose(constant.predict(np.ones((1, 20)))[0], y.mean(axis=0))
