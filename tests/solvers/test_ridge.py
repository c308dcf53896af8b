"""The fast ridge agrees with scikit-learn, himalaya and a plain float64 SVD."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from threadpoolctl import threadpool_info

from striate.errors import DataError, StriateError
from striate.solvers import _budget, _ridge_blocks
from striate.solvers.ridge import ridge, ridge_cv, ridge_need

ALPHAS = [0.1, 1.0, 10.0, 100.0, 1000.0]


def problem(n, p, targets=7, dtype=np.float64, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * rng.uniform(0.3, 3, p) + rng.normal(size=p) * 3
    signal = x @ rng.normal(size=(p, targets)) / p**0.5
    y = signal + noise * rng.normal(size=(n, targets)) * np.geomspace(0.1, 10, targets) + 5
    return x.astype(dtype), y.astype(dtype)


def slow_loss(x, y, alphas, folds, solve):
    loss = np.zeros((len(alphas), y.shape[1]))
    for f in np.unique(folds):
        train, test = folds != f, folds == f
        for i, a in enumerate(alphas):
            loss[i] += ((y[test] - solve(x[train], y[train], a, x[test])) ** 2).sum(axis=0)
    return loss / len(x)


def by_sklearn(x, y, alpha, new):
    return Ridge(alpha=alpha, solver="cholesky").fit(x, y).predict(new)


def by_svd(x, y, alpha, new):
    x, y, new = (a.astype(np.float64) for a in (x, y, new))
    u, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    keep = s > s[0] * 1e-14
    u, s, vt = u[:, keep], s[keep], vt[keep]
    w = vt.T @ ((s / (s**2 + alpha))[:, None] * (u.T @ (y - y.mean(0))))
    return (new - x.mean(0)) @ w + y.mean(0)


# few rows per fold and many, features fewer than rows, as many, more; predictions and quadratics
@pytest.mark.parametrize(("n", "p"), [(200, 5), (60, 10), (40, 30), (30, 30), (31, 30), (37, 200)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_loss_choice_and_solution_are_those_of_scikit_learn(n, p, dtype):
    x, y = problem(n, p, dtype=dtype)
    folds = np.random.default_rng(1).integers(0, 4, n)  # unequal and shuffled
    fit = ridge_cv(x, y, ALPHAS, folds)
    x, y = x.astype(np.float64), y.astype(np.float64)
    expected = slow_loss(x, y, ALPHAS, folds, by_sklearn)
    rtol = 1e-9 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(fit.loss, expected, rtol=rtol)
    np.testing.assert_array_equal(fit.alpha, np.array(ALPHAS)[expected.argmin(axis=0)])
    peer = Ridge(alpha=fit.alpha).fit(x, y)
    rtol = 1e-7 if dtype == np.float64 else 2e-4
    np.testing.assert_allclose(fit.coef, peer.coef_.T, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(fit.intercept, peer.intercept_, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(fit.predict(x.astype(dtype)), peer.predict(x), rtol=1e-3, atol=1e-4)
    assert fit.coef.dtype == fit.intercept.dtype == dtype
    assert fit.alpha.dtype == fit.loss.dtype == np.float64


@pytest.mark.parametrize(("n", "p"), [(300, 20), (60, 90)])
def test_same_penalties_as_himalaya(n, p):
    himalaya = pytest.importorskip("himalaya.ridge")
    x, y = problem(n, p, targets=40)
    folds = np.arange(n) * 5 // n
    alphas = np.logspace(-2, 4, 8)
    splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(5)]
    quiet = {"warn": False}
    peer = himalaya.RidgeCV(alphas, cv=splits, fit_intercept=True, solver_params=quiet).fit(x, y)
    fit = ridge_cv(x, y, alphas, folds)
    np.testing.assert_allclose(fit.alpha, peer.best_alphas_)
    np.testing.assert_allclose(fit.coef, peer.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.intercept, peer.intercept_, rtol=1e-6)
    assert len(np.unique(fit.alpha)) > 2


@pytest.mark.parametrize("p", [6, 60])
def test_one_penalty_for_all_is_scikit_learns(p):
    x, y = problem(50, p)
    folds = np.arange(50) % 5
    splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(5)]
    peer = RidgeCV(alphas=ALPHAS, cv=splits, scoring="neg_mean_squared_error").fit(x, y)
    fit = ridge_cv(x, y, ALPHAS, folds, penalty="global")
    assert set(fit.alpha) == {peer.alpha_}
    np.testing.assert_allclose(fit.coef, peer.coef_.T, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("p", [10, 80])
def test_a_penalty_per_target(p):
    x, y = problem(50, p)
    alpha = np.geomspace(0.1, 100, y.shape[1])
    fit = ridge(x, y, alpha)
    peer = Ridge(alpha=alpha).fit(x, y)
    np.testing.assert_allclose(fit.coef, peer.coef_.T, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.intercept, peer.intercept_, rtol=1e-8)
    np.testing.assert_allclose(ridge(x, y, 3.0).coef, Ridge(alpha=3.0).fit(x, y).coef_.T)
    assert fit.loss is None


def ill_conditioned(n, p, condition, targets=12, seed=0):
    """Features of geometric variance; every second target lives in the smallest directions."""
    rng = np.random.default_rng(seed)
    u, _ = np.linalg.qr(rng.normal(size=(n, min(n, p))))
    v, _ = np.linalg.qr(rng.normal(size=(p, min(n, p))))
    s = np.geomspace(1, 1 / condition, min(n, p)) * n**0.5
    x = (u * s) @ v.T
    strength = np.ones((s.size, targets))
    strength[:, ::2] = (1 / s / s.size**0.5)[:, None]
    y = (u * s) @ (strength * rng.normal(size=strength.shape))
    return x, y / y.std(axis=0) + 0.05 * rng.normal(size=y.shape)


@pytest.mark.parametrize(
    ("n", "p", "condition", "alphas"),
    [
        (400, 60, 1e3, np.logspace(-6, 3, 10)),  # float32 products are enough
        (400, 60, 1e5, np.logspace(-7, 3, 11)),  # float64 products, float32 quadratic forms
        (400, 60, 1e7, np.logspace(-12, 3, 16)),  # below the digits of a Gram matrix
        (90, 60, 1e5, np.logspace(-8, 3, 12)),  # few held-out rows: predictions
        (80, 120, 1e4, np.logspace(-7, 3, 11)),  # kernel
        (80, 120, 1e7, np.logspace(-12, 3, 16)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_small_penalties_are_right_and_are_chosen(n, p, condition, alphas, dtype):
    x, y = (a.astype(dtype) for a in ill_conditioned(n, p, condition))
    folds = np.arange(n) % 4
    fit = ridge_cv(x, y, alphas, folds)
    expected = slow_loss(x, y, alphas, folds, by_svd)
    # the error of the choice, seen by the exact losses
    chosen = np.searchsorted(alphas, fit.alpha)
    lost = expected[chosen, range(12)] / expected.min(axis=0) - 1
    assert lost.max() < (1e-9 if dtype == np.float64 else 1e-4)
    np.testing.assert_allclose(fit.loss, expected, rtol=1e-5 if dtype == np.float64 else 2e-3)
    if n > p:
        assert np.median(fit.alpha[::2]) <= 1e-2 * np.median(fit.alpha[1::2])


@pytest.mark.parametrize(("n", "p"), [(400, 60), (90, 60)])
def test_targets_almost_without_noise_keep_the_right_penalty_in_float32(n, p):
    x, y = problem(n, p, dtype=np.float32, noise=1e-4)
    folds, alphas = np.arange(n) % 4, np.logspace(-5, 3, 9)
    fit = ridge_cv(x, y, alphas, folds)
    expected = slow_loss(x, y, alphas, folds, by_svd)
    assert (expected.min(axis=0) < 1e-6 * y.var(axis=0)).any()
    np.testing.assert_array_equal(fit.alpha, alphas[expected.argmin(axis=0)])
    np.testing.assert_allclose(fit.loss, expected, rtol=1e-3)


@pytest.mark.parametrize(("n", "p"), [(40, 10), (30, 60)])
def test_zero_penalty_is_least_squares_of_least_norm(n, p):
    x, y = problem(n, p)
    x[:, 3] = x[:, 2]  # rank deficient
    fit = ridge(x, y, 0.0)
    w = np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=1e-12)[0]
    np.testing.assert_allclose(fit.coef, w, rtol=1e-7, atol=1e-9)
    assert np.isfinite(ridge_cv(x, y, [0.0, 1.0], np.arange(n) % 3).loss).all()


@pytest.mark.parametrize("p", [8, 70])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_columns_and_targets(p, dtype):
    x, y = problem(50, p, dtype=dtype)
    x[:, 1], x[:, 4], y[:, 2] = 0.1, 12345.678, 7.7
    fit = ridge_cv(x, y, ALPHAS, np.arange(50) % 5)
    assert np.isfinite(fit.coef).all() and np.isfinite(fit.loss).all()
    np.testing.assert_allclose(fit.coef[[1, 4]], 0, atol=1e-6)
    np.testing.assert_allclose(fit.coef[:, 2], 0, atol=1e-6)
    np.testing.assert_allclose(fit.intercept[2], 7.7, rtol=1e-5)
    everything = ridge_cv(np.ones_like(x), y, [0.0, 1.0], np.arange(50) % 5)
    np.testing.assert_allclose(everything.coef, 0, atol=1e-12)
    np.testing.assert_allclose(everything.intercept, y.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("p", [20, 150])
def test_blocks_waves_and_threads_change_rounding_only(p, monkeypatch):
    monkeypatch.setattr(_budget, "SMALL", 0)
    x, y = problem(100, p, targets=130)
    folds = np.arange(100) // 20
    whole = ridge_cv(x, y, ALPHAS, folds, threads=1)
    before = threadpool_info()
    need = ridge_need(100, p)
    least = need.fixed + need.each
    for memory, threads in [(least, 1), (least + (1 << 20), 1), (1 << 30, 3)]:
        parts = ridge_cv(x, y, ALPHAS, folds, memory=memory, threads=threads)
        np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-9)
        np.testing.assert_allclose(parts.coef, whole.coef, rtol=1e-6, atol=1e-10)
        np.testing.assert_array_equal(parts.alpha, whole.alpha)
    assert threadpool_info() == before
    monkeypatch.setattr(_ridge_blocks, "BLOCK", 17)
    np.testing.assert_allclose(ridge_cv(x, y, ALPHAS, folds).loss, whole.loss, rtol=1e-9)
    with pytest.raises(StriateError, match=rf"ridge of {p} features on 100 rows needs at least"):
        ridge_cv(x, y, ALPHAS, folds, memory=least - 1, threads=1)


@pytest.mark.parametrize(("n", "p"), [(900, 150), (400, 390), (200, 1500)])
@pytest.mark.parametrize(
    ("folds", "dtype"), [("kfold", np.float32), ("kfold", np.float64), ("loo", np.float32)]
)
def test_memory_stays_within_what_is_stated(n, p, folds, dtype):
    x, y = problem(n, p, targets=300, dtype=dtype)
    closed = folds == "loo"
    need = ridge_need(n, p, 4, closed=closed)
    result = (p * 300 + 300 * (len(ALPHAS) + 4)) * 8
    labels = folds if closed else np.random.default_rng(0).integers(0, 4, n)
    ridge_cv(x, y[:, :20], ALPHAS, labels)  # first calls import
    for memory in (need.fixed + 20 * need.each, 1 << 30):
        tracemalloc.start()
        ridge_cv(x, y, ALPHAS, labels, memory=memory, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= memory + result
        if memory < 1 << 30:
            assert peak >= 0.2 * memory  # and no more is asked for than is sensible


def test_a_target_does_not_depend_on_its_neighbours():
    x, y = problem(90, 30, targets=80, dtype=np.float32)
    folds = np.arange(90) % 3
    together, alone = ridge_cv(x, y, ALPHAS, folds), ridge_cv(x, y[:, 40:41], ALPHAS, folds)
    np.testing.assert_allclose(together.loss[:, 40:41], alone.loss, rtol=1e-5)
    np.testing.assert_allclose(together.coef[:, 40:41], alone.coef, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("n", "p"), [(60, 10), (30, 50)])
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_in_tensors_out(n, p, pretend_gpu, monkeypatch):
    if pretend_gpu:  # the same path as on a GPU: torch all the way
        for module in ("striate.solvers.ridge.on_cpu",):
            monkeypatch.setattr(module, lambda *a: (a, lambda b: b))
    x, y = problem(n, p, dtype=np.float32)
    folds = np.random.default_rng(0).integers(0, 3, n)
    expected = ridge_cv(x, y, ALPHAS, folds)
    fit = ridge_cv(torch.tensor(x), torch.tensor(y), ALPHAS, folds)
    assert all(isinstance(a, torch.Tensor) for a in (fit.coef, fit.intercept, fit.alpha, fit.loss))
    assert fit.coef.dtype == torch.float32
    np.testing.assert_array_equal(fit.alpha.numpy(), expected.alpha)
    np.testing.assert_allclose(fit.coef.numpy(), expected.coef, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(fit.loss.numpy(), expected.loss, rtol=1e-4)
    exact = ridge(torch.tensor(x), torch.tensor(y), 0.0)
    np.testing.assert_allclose(exact.coef.numpy(), ridge(x, y, 0.0).coef, rtol=1e-3, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(4, 30),
    p=st.integers(1, 30),
    targets=st.integers(1, 5),
    k=st.integers(2, 4),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_shape(n, p, targets, k, dtype):
    x, y = problem(n, p, targets, dtype)
    fit = ridge_cv(x, y, [0.5, 50.0], np.arange(n) % k)
    assert fit.coef.shape == (p, targets) and fit.loss.shape == (2, targets)
    expected = slow_loss(x, y, [0.5, 50.0], np.arange(n) % k, by_svd)
    np.testing.assert_allclose(fit.loss, expected, rtol=1e-3, atol=1e-5)


def test_mistakes_are_named():
    x, y = problem(20, 3)
    folds = np.arange(20) % 2
    holed = y.copy()
    holed[4, 2] = np.nan
    with pytest.raises(DataError, match=r"y has 1 values that are NaN.*row 4, target 2"):
        ridge_cv(x, holed, [1.0], folds)
    with pytest.raises(DataError, match="row 4, feature 2"):
        ridge(holed, y, 1.0)
    with pytest.raises(DataError, match=r"-1\.0 is not a finite number"):
        ridge_cv(x, y, [1.0, -1.0], folds)
    with pytest.raises(DataError, match="at least one"):
        ridge_cv(x, y, [], folds)
    with pytest.raises(DataError, match="at least two folds"):
        ridge_cv(x, y, [1.0], folds * 0)
    with pytest.raises(DataError, match="float32 but y is float64"):
        ridge(x.astype(np.float32), y, 1.0)
    with pytest.raises(DataError, match=r"penalty has shape \(2,\) for 7 targets"):
        ridge_cv(x, y, [1.0], folds, penalty=np.array([0, 1]))
    with pytest.raises(DataError, match="'each': choose target, global, or give a label"):
        ridge_cv(x, y, [1.0], folds, penalty="each")
    with pytest.raises(DataError, match="'lco': choose loo, gcv"):
        ridge_cv(x, y, [1.0], "lco")
    with pytest.raises(DataError, match="0 features"):
        ridge(x[:, :0], y, 1.0)


@pytest.mark.parametrize("p", [10, 80])
def test_targets_of_a_region_share_a_penalty(p):
    x, y = problem(50, p, targets=9)
    folds, labels = np.arange(50) % 5, np.repeat([3, -1, 7], 3)
    fit = ridge_cv(x, y, ALPHAS, folds, penalty=labels)
    for label in np.unique(labels):
        alone = ridge_cv(x, y[:, labels == label], ALPHAS, folds, penalty="global")
        np.testing.assert_array_equal(fit.alpha[labels == label], alone.alpha)
        np.testing.assert_allclose(fit.coef[:, labels == label], alone.coef, rtol=1e-9, atol=1e-12)
    assert len(set(fit.alpha)) > 1
    each = ridge_cv(x, y, ALPHAS, folds, penalty=np.arange(9))
    np.testing.assert_array_equal(each.alpha, ridge_cv(x, y, ALPHAS, folds).alpha)


def test_labels_share_penalties_whatever_the_scale_of_others():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 15))
    y = 0.1 * x @ rng.normal(size=(15, 4)) + rng.normal(size=(60, 4))
    folds, tried = np.arange(60) % 5, np.logspace(-3, 4, 8)
    alone = ridge_cv(x, y[:, 2:], tried, folds, penalty="global").alpha
    loud = np.concatenate([1e9 * y[:, :2], y[:, 2:]], axis=1)
    for labels in ([0, 0, 1, 1], [1, 1, 0, 0]):
        shared = ridge_cv(x, loud, tried, folds, penalty=np.array(labels)).alpha
        np.testing.assert_array_equal(shared[2:], alone)
