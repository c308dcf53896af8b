"""Banded ridge against plain solves, scikit-learn and himalaya, and what its searches find."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from striate.errors import DataError, StriateError
from striate.solvers import _banded_fit
from striate.solvers.banded import band_draws, band_shares, banded_need, banded_ridge_cv
from striate.solvers.ridge import ridge_cv

ALPHAS = np.logspace(-1, 4, 6)


def problem(n=60, widths=(8, 15, 30), targets=9, seed=0, noise=1.0, dtype=np.float64):
    """Targets that follow one band, two, or all of them."""
    rng = np.random.default_rng(seed)
    spaces = [rng.normal(size=(n, p)) * rng.uniform(0.5, 2) + rng.normal(size=p) for p in widths]
    share = rng.dirichlet(np.full(len(widths), 0.5), targets).T
    y = noise * rng.normal(size=(n, targets)) + 3
    for x, s in zip(spaces, share, strict=True):
        y += (x - x.mean(0)) @ rng.normal(size=(x.shape[1], targets)) * np.sqrt(s / x.shape[1])
    return [x.astype(dtype) for x in spaces], y.astype(dtype)


def scaled(spaces, gamma):
    return np.concatenate([np.sqrt(g) * x for g, x in zip(gamma, spaces, strict=True)], axis=1)


def slow_losses(spaces, y, alphas, folds, draws):
    """Held-out mean squared errors by a plain solve for every draw, penalty and fold."""
    loss = np.zeros((len(draws), len(alphas), y.shape[1]))
    for d, gamma in enumerate(draws):
        x = scaled(spaces, gamma)
        for f in np.unique(folds):
            inside, outside = folds != f, folds == f
            for a, alpha in enumerate(alphas):
                model = Ridge(alpha=alpha, solver="svd").fit(x[inside], y[inside])
                made = model.predict(x[outside]).reshape(-1, y.shape[1])
                loss[d, a] += ((made - y[outside]) ** 2).sum(axis=0)
    return loss / len(y)


# rows fewer than features (kernels) and many more (a ridge per draw)
@pytest.mark.parametrize("n", [50, 130])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_choice_and_loss_are_those_of_plain_solves(n, dtype):
    spaces, y = problem(n, dtype=dtype)
    folds = np.random.default_rng(1).integers(0, 4, n)
    some = np.random.default_rng(3).dirichlet([1, 1, 1], 5)  # corners drawn would tie with bands
    draws = np.concatenate([band_draws(3, 4), some])
    fit = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=draws)
    spaces, y = [x.astype(np.float64) for x in spaces], y.astype(np.float64)
    slow = slow_losses(spaces, y, ALPHAS, folds, draws)
    np.testing.assert_allclose(
        fit.loss, slow.min(axis=1), rtol=1e-8 if dtype == np.float64 else 1e-4
    )
    best = slow.reshape(-1, y.shape[1]).argmin(axis=0)
    np.testing.assert_allclose(fit.gamma.T, draws[best // len(ALPHAS)], atol=1e-12)
    np.testing.assert_array_equal(fit.alpha, ALPHAS[best % len(ALPHAS)])
    assert len(np.unique(best)) > 4
    assert fit.gamma.dtype == fit.alpha.dtype == fit.loss.dtype == np.float64


@pytest.mark.parametrize("n", [50, 130])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_given_weights_are_a_ridge_on_scaled_features(n, dtype):
    spaces, y = problem(n, dtype=dtype)
    folds, gamma = np.arange(n) % 3, np.array([0.2, 0.7, 0.1])
    fit = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=gamma[None] * 5)
    np.testing.assert_allclose(fit.gamma, np.tile(gamma[:, None], y.shape[1]))
    tight = 1e-6 if dtype == np.float64 else 1e-3
    for t in range(y.shape[1]):
        x = scaled([x.astype(np.float64) for x in spaces], gamma)
        peer = Ridge(alpha=fit.alpha[t], solver="svd").fit(x, y[:, t].astype(np.float64))
        coef = np.concatenate([c[:, t] for c in fit.coefs])
        expected = peer.coef_ * np.sqrt(np.repeat(gamma, [8, 15, 30]))
        np.testing.assert_allclose(coef, expected, rtol=tight, atol=tight * 0.1)
        assert fit.intercept[t] == pytest.approx(peer.intercept_, rel=tight, abs=tight)
        np.testing.assert_allclose(
            fit.predict(spaces)[:, t], peer.predict(x), rtol=0, atol=tight * 10
        )
    assert all(c.dtype == dtype for c in (*fit.coefs, *fit.centers, fit.level, fit.intercept))


def test_same_choice_as_himalaya():
    himalaya = pytest.importorskip("himalaya.ridge")
    spaces, y = problem(90, (10, 12, 8), targets=30)
    folds, draws = np.arange(90) * 5 // 90, np.random.default_rng(2).dirichlet([1, 1, 1], 8)
    splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(5)]
    deltas, weights, scores, intercept = himalaya.solve_group_ridge_random_search(
        spaces, y, n_iter=draws, alphas=ALPHAS, cv=splits, fit_intercept=True,
        return_weights=True, progress_bar=False,
    )  # fmt: skip
    fit = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=draws)
    np.testing.assert_allclose(fit.loss, -scores, rtol=1e-7)
    np.testing.assert_allclose(np.exp(deltas) * fit.alpha, fit.gamma, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(np.concatenate(fit.coefs), weights, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(fit.intercept, intercept, rtol=1e-6)


@pytest.mark.parametrize("n", [40, 120])
def test_one_band_is_a_ridge_and_a_lone_band_is_one_too(n):
    spaces, y = problem(n)
    folds = np.arange(n) % 4
    x = spaces[2]
    peer = ridge_cv(x, y, ALPHAS, folds)
    fit = banded_ridge_cv([x], y, ALPHAS, folds)
    np.testing.assert_array_equal(fit.coefs[0], peer.coef)
    np.testing.assert_array_equal(fit.alpha, peer.alpha)
    np.testing.assert_allclose(fit.loss[0], peer.loss.min(axis=0))
    np.testing.assert_array_equal(fit.gamma, np.ones((1, y.shape[1])))
    beside = banded_ridge_cv([*spaces[:2], x], y, ALPHAS, folds, draws=np.array([[0, 0, 1.0]]))
    np.testing.assert_allclose(beside.coefs[2], peer.coef, rtol=1e-6, atol=1e-9)
    assert not beside.coefs[0].any() and not beside.coefs[1].any()


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_bands_are_recovered(search, seed):
    rng = np.random.default_rng(seed)
    spaces = [rng.normal(size=(160, 60)).astype(np.float32) for _ in range(3)]
    signal = [x @ rng.normal(size=(60, 20)) / 60**0.5 for x in spaces]
    y = np.concatenate([signal[0], signal[1], 0.8 * signal[0] + 0.4 * signal[1]], axis=1)
    y = (y + 0.5 * rng.normal(size=y.shape)).astype(np.float32)
    folds = np.arange(160) % 5
    fit = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=60, search=search, seed=seed)
    first, second, third = (fit.gamma[b].reshape(3, 20).mean(axis=1) for b in range(3))
    assert first[0] > 0.8 and second[0] < 0.1 and second[1] > 0.8 and first[1] < 0.1
    assert first[2] > 2 * second[2] and second[2] > 1.2 * third[2]
    assert third.max() < 0.1


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
def test_permuting_the_bands_permutes_the_answer(search):
    spaces, y = problem(60, targets=40)
    folds, order = np.arange(60) % 4, [2, 0, 1]
    draws = band_draws(3, 10)
    fit = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=draws, search=search)
    turned = banded_ridge_cv(
        [spaces[b] for b in order], y, ALPHAS, folds, draws=draws[:, order], search=search
    )
    np.testing.assert_allclose(turned.gamma, fit.gamma[order], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(turned.alpha, fit.alpha, rtol=1e-6)
    np.testing.assert_allclose(turned.loss, fit.loss, rtol=1e-6)
    for b, at in enumerate(order):
        np.testing.assert_allclose(turned.coefs[b], fit.coefs[at], rtol=1e-5, atol=1e-8)


def wide(seed=5, targets=150, n=200):
    spaces, y = problem(2 * n, (70, 80, 90), targets, seed, noise=0.8, dtype=np.float32)
    return [x[:n] for x in spaces], y[:n], [x[n:] for x in spaces], y[n:]


def test_quick_searches_are_as_good():
    spaces, y, new, truth = wide()
    folds = np.arange(len(y)) % 5
    fits = {
        search: banded_ridge_cv(spaces, y, ALPHAS, folds, search=search, draws=24)
        for search in ("exhaustive", "halving", "guided")
    }
    full = fits["exhaustive"].loss.min(axis=0)
    tried = np.isfinite(fits["halving"].loss)
    assert 0.1 < tried.mean() < 0.8 and tried[:4].all()
    lost = fits["halving"].loss.min(axis=0) / full - 1
    assert lost.min() >= -1e-6 and lost.mean() < 2e-3 and lost.max() < 0.08
    # what was tried to the end has the losses of the exhaustive search
    both = fits["halving"].loss[tried] / fits["exhaustive"].loss[tried]
    np.testing.assert_allclose(both, 1, rtol=1e-5)
    error = {s: ((f.predict(new) - truth) ** 2).mean(axis=0) for s, f in fits.items()}
    alike = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=1)
    plain = ((alike.predict(new) - truth) ** 2).mean(axis=0).mean()
    gain = plain - error["exhaustive"].mean()
    assert gain > 0.02 * plain
    assert plain - error["halving"].mean() > 0.95 * gain
    assert plain - error["guided"].mean() > 0.95 * gain
    assert (fits["guided"].loss.min(axis=0) <= alike.loss[0] * (1 + 1e-6)).all()
    assert fits["guided"].alpha.min() >= ALPHAS[0] and fits["guided"].alpha.max() <= ALPHAS[-1]


def test_moments_are_the_variances_that_made_the_targets():
    from striate.solvers._banded_kernel import Kernels

    rng = np.random.default_rng(0)
    spaces = [rng.normal(size=(300, p)) for p in (80, 200)]
    spaces = [x - x.mean(0) for x in spaces]
    y = 0.3 * spaces[0] @ rng.normal(size=(80, 400)) + 0.1 * spaces[1] @ rng.normal(size=(200, 400))
    y += 2 * rng.normal(size=y.shape)
    kernels = Kernels(spaces, [(0, 150), (150, 300)])
    for gamma, alpha in (([0.5, 0.5], 100.0), ([0.9, 0.1], 40.0)):
        theta = kernels.moments(kernels.mix(np.array(gamma)), alpha, y - y.mean(0))
        np.testing.assert_allclose(theta.mean(axis=1), [4.0, 0.09, 0.01], rtol=0.1)


def test_one_pair_for_all_targets():
    spaces, y = problem(60)
    folds, draws = np.arange(60) % 4, band_draws(3, 8)
    fit = banded_ridge_cv(spaces, y, ALPHAS, folds, draws=draws, local=False)
    slow = slow_losses(spaces, y, ALPHAS, folds, draws).sum(axis=2)
    d, a = np.unravel_index(slow.argmin(), slow.shape)
    assert set(fit.alpha) == {ALPHAS[a]}
    np.testing.assert_array_equal(fit.gamma.T, np.tile(draws[d], (y.shape[1], 1)))


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dead_bands_constant_columns_and_constant_targets(search, dtype):
    spaces, y = problem(50, (8, 200, 5), dtype=dtype)
    spaces[0][:, 3], spaces[2][:], y[:, 4] = 1e4, 0, 7.5
    fit = banded_ridge_cv(spaces, y, ALPHAS, np.arange(50) % 5, search=search)
    assert all(np.isfinite(c).all() for c in fit.coefs) and np.isfinite(fit.loss[0]).all()
    np.testing.assert_allclose(fit.coefs[0][3], 0, atol=1e-6)
    np.testing.assert_allclose(fit.coefs[2], 0, atol=1e-12)
    np.testing.assert_allclose(np.concatenate(fit.coefs)[:, 4], 0, atol=1e-6)
    np.testing.assert_allclose(fit.predict(spaces)[:, 4], 7.5, rtol=1e-6)
    np.testing.assert_allclose(fit.gamma.sum(axis=0), 1)
    nothing = banded_ridge_cv([0 * x for x in spaces], y, ALPHAS, np.arange(50) % 5, search=search)
    np.testing.assert_allclose(nothing.predict(spaces), np.tile(y.mean(0), (50, 1)), rtol=1e-5)


def test_huge_means_and_float32():
    spaces, y = problem(70, dtype=np.float64)
    spaces = [(x + 3000).astype(np.float32) for x in spaces]
    folds, y = np.arange(70) % 5, (y + 500).astype(np.float32)
    single = banded_ridge_cv(spaces, y, ALPHAS, folds)
    double = banded_ridge_cv([x.astype(float) for x in spaces], y.astype(float), ALPHAS, folds)
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-4)
    np.testing.assert_array_equal(single.alpha, double.alpha)
    found, exact = single.predict(spaces), double.predict([x.astype(float) for x in spaces])
    np.testing.assert_allclose(found, exact, atol=1e-3)


def ill(n, p, condition, rng):
    u, v = (np.linalg.qr(rng.normal(size=(k, min(n, p))))[0] for k in (n, p))
    return (u * np.geomspace(1, 1 / condition, min(n, p))) @ v.T * n**0.5


@pytest.mark.parametrize("search", ["exhaustive", "guided"])
@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_small_penalties_on_ill_conditioned_spaces_are_right_in_float32(search, shift):
    rng = np.random.default_rng(0)
    spaces = [ill(80, 30, 1e12, rng), ill(80, 300, 1e4, rng), np.repeat(ill(80, 9, 3, rng), 3, 1)]
    spaces = [(x + shift).astype(np.float32) for x in spaces]
    wide = [x.astype(float) for x in spaces]
    y = sum(x @ rng.normal(size=(x.shape[1], 12)) for x in wide) + rng.normal(size=(80, 12))
    y = y.astype(np.float32)
    alpha = 1e-6 * max(np.linalg.norm(x - x.mean(0), 2) ** 2 for x in wide)
    fit = banded_ridge_cv(spaces, y, [alpha], np.arange(80) % 4, draws=1, search=search)
    found = fit.predict(spaces)
    for t in range(12):
        x = scaled(wide, fit.gamma[:, t])
        peer = Ridge(alpha=fit.alpha[t], solver="svd").fit(x, y[:, t].astype(float))
        off = np.linalg.norm(found[:, t] - peer.predict(x)) / np.linalg.norm(peer.predict(x))
        assert off < 1e-3


@pytest.mark.parametrize("alphas", [[0.0, 1.0], [1e-13, 1e-3, 1.0]])
def test_penalties_without_digits_take_the_other_way(alphas):
    spaces, y = problem(30)
    folds, draws = np.arange(30) % 3, band_draws(3, 5)
    fit = banded_ridge_cv(spaces, y, alphas, folds, draws=draws)
    assert np.isfinite(fit.loss).all()
    slow = slow_losses(spaces, y, alphas[1:], folds, draws)
    assert (fit.loss <= slow.min(axis=1) * (1 + 1e-6)).all()


def test_targets_almost_without_noise_keep_the_right_loss_in_float32():
    spaces, y = problem(160, (20, 30, 60), noise=1e-4)
    single = [x.astype(np.float32) for x in spaces]
    folds, alphas = np.arange(160) % 4, np.logspace(-3, 2, 6)
    fit = banded_ridge_cv(single, y.astype(np.float32), alphas, folds, draws=6)
    slow = slow_losses(
        [x.astype(float) for x in single], y.astype(np.float32).astype(float), alphas, folds,
        band_draws(3, 6),
    )  # fmt: skip
    assert (slow.min(axis=(0, 1)) < 1e-4 * y.var(axis=0)).any()
    np.testing.assert_allclose(fit.loss.min(axis=0), slow.min(axis=(0, 1)), rtol=1e-3)


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
def test_batches_threads_and_memory_change_rounding_only(search):
    spaces, y = problem(64, targets=90)
    folds = np.arange(64) // 16
    whole = banded_ridge_cv(spaces, y, ALPHAS, folds, search=search, threads=1)
    single = _banded_fit.kernel_need(
        64, 53, 3, len(ALPHAS) if search == "halving" else 1, threads=1, single=False
    )
    room = single.fixed + (90 if search == "guided" else 40) * single.each
    for memory, threads in ((room, 1), (1 << 30, 3)):
        other = banded_ridge_cv(
            spaces, y, ALPHAS, folds, search=search, memory=memory, threads=threads
        )
        np.testing.assert_allclose(other.loss, whole.loss, rtol=1e-8)
        np.testing.assert_allclose(other.gamma, whole.gamma, atol=1e-9)
        np.testing.assert_allclose(other.coefs[1], whole.coefs[1], rtol=1e-6, atol=1e-9)


def test_memory_is_within_what_is_stated_and_too_little_is_refused():
    spaces, y = problem(260, (150, 150, 200), targets=60, dtype=np.float32)
    folds = np.arange(260) % 5
    banded_ridge_cv(spaces, y, ALPHAS, folds, draws=2, threads=1)
    for search in ("exhaustive", "halving", "guided"):
        need = _banded_fit.kernel_need(260, 500, 3, len(ALPHAS), threads=1, single=True)
        tracemalloc.start()
        banded_ridge_cv(spaces, y, ALPHAS, folds, draws=6, search=search, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.2 * need.fixed < peak < need.fixed + need.each * 60, search
    assert banded_need(260, 500, 3, 6).fixed > need.fixed
    for search in ("exhaustive", "halving", "guided"):
        with pytest.raises(StriateError, match=r"needs at least \d+ MiB"):
            banded_ridge_cv(spaces, y, ALPHAS, folds, search=search, memory=1 << 16)


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_in_tensors_out(search, pretend_gpu, monkeypatch):
    if pretend_gpu:  # the same path as on a GPU: torch all the way
        monkeypatch.setattr("striate.solvers.banded.on_cpu", lambda *a: (a, lambda b: b))
    spaces, y = problem(50, dtype=np.float32)
    folds = np.random.default_rng(0).integers(0, 4, 50)
    expected = banded_ridge_cv(spaces, y, ALPHAS, folds, search=search)
    fit = banded_ridge_cv(
        [torch.tensor(x) for x in spaces], torch.tensor(y), ALPHAS, folds, search=search
    )
    assert all(isinstance(a, torch.Tensor) for a in (*fit.coefs, fit.gamma, fit.alpha, fit.loss))
    np.testing.assert_allclose(fit.gamma.numpy(), expected.gamma, atol=1e-3)
    np.testing.assert_allclose(fit.coefs[1].numpy(), expected.coefs[1], rtol=1e-2, atol=1e-3)
    shares = band_shares(fit.apart([torch.tensor(x) for x in spaces]), torch.tensor(y))
    assert isinstance(shares, torch.Tensor) and shares.shape == (3, 9)


@pytest.mark.parametrize("n", [40, 150])
def test_a_grid_of_twenty_decades_is_right_in_float32(n):
    spaces, y = problem(n, dtype=np.float32)
    folds, alphas = np.arange(n) % 4, np.logspace(0, 19, 20)
    fit = banded_ridge_cv(spaces, y, alphas, folds, draws=5)
    wide = [x.astype(float) for x in spaces]
    slow = slow_losses(wide, y.astype(float), alphas, folds, band_draws(3, 5))
    np.testing.assert_allclose(fit.loss, slow.min(axis=1), rtol=1e-4)


def test_shares_sum_to_the_variance_explained_and_are_himalayas():
    scoring = pytest.importorskip("himalaya.scoring")
    spaces, y = problem(80, targets=5)
    fit = banded_ridge_cv(spaces, y, ALPHAS, np.arange(80) % 4)
    parts = fit.apart(spaces)
    shares = band_shares(parts, y)
    error = y - fit.predict(spaces)
    r2 = 1 - (error**2).sum(axis=0) / ((y - y.mean(0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(shares.sum(axis=0), r2, rtol=1e-9)
    peer = scoring.r2_score_split(y - y.mean(0), np.stack(parts))
    np.testing.assert_allclose(shares, peer, rtol=1e-8, atol=1e-12)
    y[:, 1] = 4.0
    assert (band_shares(parts, y)[:, 1] == 0).all()


@settings(max_examples=8, deadline=None)
@given(
    n=st.integers(6, 30),
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    targets=st.integers(1, 5),
    k=st.integers(2, 4),
    dtype=st.sampled_from([np.float32, np.float64]),
    search=st.sampled_from(["exhaustive", "halving", "guided"]),
)
def test_any_shape(n, widths, targets, k, dtype, search):
    spaces, y = problem(n, widths, targets, dtype=dtype)
    folds = np.arange(n) % k
    fit = banded_ridge_cv(spaces, y, [0.5, 50.0], folds, draws=6, search=search)
    assert [c.shape for c in fit.coefs] == [(p, targets) for p in widths]
    slow = slow_losses(spaces, y, [0.5, 50.0], folds, np.full((1, len(widths)), 1 / len(widths)))
    np.testing.assert_allclose(fit.loss[0], slow[0].min(axis=0), rtol=2e-3, atol=1e-5)
    assert fit.predict(spaces).shape == y.shape


def test_draws():
    draws = band_draws(4, 30, seed=7)
    np.testing.assert_allclose(draws.sum(axis=1), 1)
    np.testing.assert_array_equal(draws[1:5], np.eye(4))
    np.testing.assert_array_equal(draws, band_draws(4, 30, seed=7))
    assert (draws[5:] != band_draws(4, 30, seed=8)[5:]).any()
    assert band_draws(4, 3).shape == (3, 4) and band_draws(1, 9).tolist() == [[1.0]]


def test_mistakes_are_named():
    spaces, y = problem(20)
    folds = np.arange(20) % 2
    with pytest.raises(DataError, match=r"space 1: x has 19 rows and y has 20"):
        banded_ridge_cv([spaces[0], spaces[1][:19]], y, ALPHAS, folds)
    with pytest.raises(DataError, match="no feature spaces"):
        banded_ridge_cv([], y, ALPHAS, folds)
    with pytest.raises(DataError, match=r"draw 1 has the weights \[0.0, -1.0, 2.0\]"):
        banded_ridge_cv(spaces, y, ALPHAS, folds, draws=np.array([[1.0, 0, 0], [0, -1, 2]]))
    with pytest.raises(DataError, match=r"shape \(1, 2\): give a row of 3 weights"):
        banded_ridge_cv(spaces, y, ALPHAS, folds, draws=np.ones((1, 2)))
    with pytest.raises(DataError, match="at least one"):
        banded_ridge_cv(spaces, y, ALPHAS, folds, draws=0)
    with pytest.raises(DataError, match="not 'halving'"):
        banded_ridge_cv(spaces, y, ALPHAS, folds, search="halving", local=False)
    with pytest.raises(DataError, match="3"):
        banded_ridge_cv(spaces, y, ALPHAS, folds).predict(spaces[:2])
    holed = [spaces[0], spaces[1].copy(), spaces[2]]
    holed[1][4, 2] = np.nan
    with pytest.raises(DataError, match=r"space 1: x has 1 values that are NaN.*row 4, feature 2"):
        banded_ridge_cv(holed, y, ALPHAS, folds)
