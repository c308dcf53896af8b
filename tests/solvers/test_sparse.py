"""Sparse regression agrees with scikit-learn and with its own optimality conditions."""

import builtins
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNetCV, Lasso, LassoCV, MultiTaskElasticNetCV

from striate.errors import DataError, StriateError
from striate.solvers import _active_set, _lasso_paths, sparse
from striate.solvers._sparse_grams import Grams
from striate.solvers.ridge import ridge_cv
from striate.solvers.sparse import (
    elastic_net_cv,
    lasso_cv,
    multitask_elastic_net_cv,
    sparse_need,
)

EXACT = {"tol": 1e-7, "max_iter": 100_000}


def problem(n=120, p=20, targets=5, seed=0, correlation=0.0, used=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    steps = np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    x = x @ np.linalg.cholesky(np.power(correlation, steps)).T + 2
    signal = x @ (rng.normal(size=(p, targets)) * (rng.random((p, targets)) < used))
    noise = np.geomspace(0.3, 4, targets) * (signal.std(axis=0) + 0.1)
    return x, signal + noise * rng.normal(size=(n, targets)) + 5


def splits(folds):
    return [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]


def missed(x, y, fit):
    """By how much the equations of the solutions are missed, relative to the penalties."""
    centred, rest = x - x.mean(axis=0), y - x @ fit.coef
    slope = centred.T @ (rest - rest.mean(axis=0)) / len(x)
    slope = slope - fit.alpha * (1 - fit.l1_ratio) * fit.coef
    l1 = fit.alpha * fit.l1_ratio
    inside = np.abs(slope - l1 * np.sign(fit.coef))
    outside = np.maximum(np.abs(slope) - l1, 0)
    return (np.where(fit.coef != 0, inside, outside) / l1).max()


@pytest.mark.parametrize(("n", "p", "correlation"), [(120, 20, 0), (120, 20, 0.95), (40, 60, 0.3)])
def test_lasso_is_that_of_scikit_learn(n, p, correlation):
    x, y = problem(n, p, targets=3 if p > n else 5, correlation=correlation)
    folds = np.random.default_rng(1).integers(0, 3, n)
    fit = lasso_cv(x, y, folds, n_alphas=50)
    for t in range(y.shape[1]):
        peer = LassoCV(cv=splits(folds), alphas=50, **EXACT).fit(x, y[:, t])
        np.testing.assert_allclose(fit.alphas[:, t], peer.alphas_, rtol=1e-10)
        np.testing.assert_allclose(fit.loss[:, t], peer.mse_path_.mean(axis=1), rtol=1e-3)
        assert fit.alpha[t] == pytest.approx(peer.alpha_, rel=1e-10)
        np.testing.assert_allclose(fit.coef[:, t], peer.coef_, atol=1e-4 * np.abs(peer.coef_).max())
        assert fit.intercept[t] == pytest.approx(peer.intercept_, rel=1e-4)
    assert len(np.unique(fit.alpha / fit.alphas[0])) > 1
    assert missed(x, y, fit) < 1e-6 and fit.fallbacks == fit.loose == 0
    np.testing.assert_allclose(fit.predict(x), x @ fit.coef + fit.intercept, rtol=1e-10)


@pytest.mark.parametrize(("n", "p", "correlation"), [(120, 20, 0.0), (120, 20, 0.9), (40, 60, 0.3)])
@pytest.mark.parametrize("ratio", [0.5, [0.1, 0.6, 1.0]])
def test_elastic_net_is_that_of_scikit_learn(n, p, correlation, ratio):
    x, y = problem(n, p, correlation=correlation, targets=2 if p > n else 4)
    folds = np.arange(n) % 3
    fit = elastic_net_cv(x, y, folds, l1_ratio=ratio, n_alphas=40)
    for t in range(y.shape[1]):
        peer = ElasticNetCV(cv=splits(folds), l1_ratio=ratio, alphas=40, **EXACT).fit(x, y[:, t])
        assert fit.alpha[t] == pytest.approx(peer.alpha_, rel=1e-10)
        assert fit.l1_ratio[t] == peer.l1_ratio_
        np.testing.assert_allclose(fit.coef[:, t], peer.coef_, atol=1e-4 * np.abs(peer.coef_).max())
    assert missed(x, y, fit) < 3e-6


@pytest.mark.parametrize("targets", [4, 45])  # fewer than features, and more
@pytest.mark.parametrize("ratio", [0.5, [0.2, 1.0]])
def test_multi_task_is_that_of_scikit_learn(targets, ratio):
    x, y = problem(90, 15, targets, correlation=0.5)
    folds = np.random.default_rng(2).integers(0, 3, 90)
    fit = multitask_elastic_net_cv(x, y, folds, l1_ratio=ratio, n_alphas=30)
    peer = MultiTaskElasticNetCV(cv=splits(folds), l1_ratio=ratio, alphas=30, **EXACT).fit(x, y)
    assert set(fit.l1_ratio) == {peer.l1_ratio_}
    np.testing.assert_allclose(fit.alpha, peer.alpha_, rtol=1e-10)
    np.testing.assert_allclose(fit.coef, peer.coef_.T, atol=1e-4 * np.abs(peer.coef_).max())
    np.testing.assert_allclose(fit.intercept, peer.intercept_, rtol=1e-5)
    losses = peer.mse_path_.reshape(-1, 30, 3).mean(axis=2)
    np.testing.assert_allclose(fit.loss[:, 0], losses[losses.min(axis=1).argmin()], rtol=1e-4)
    zero = fit.coef == 0
    assert (zero.all(axis=1) == zero.any(axis=1)).all() and fit.loose == 0


DESIGNS = {
    "twice": lambda x, rng: np.hstack([x, x]),
    "negated": lambda x, rng: np.hstack([x, -x]),
    "almost twice": lambda x, rng: np.hstack([x, x + 1e-6 * rng.normal(size=x.shape)]),
    "nearly twice": lambda x, rng: np.hstack([x, x + 1e-3 * rng.normal(size=x.shape)]),
    "low rank": lambda x, rng: x[:, :5] @ rng.normal(size=(5, 30)),
    "a sum": lambda x, rng: np.hstack([x, x.sum(axis=1, keepdims=True)]),
    "one-hot": lambda x, rng: np.eye(12)[rng.integers(0, 12, len(x))],
    "ties": lambda x, rng: rng.integers(-1, 2, size=x.shape).astype(float),
    "constant": lambda x, rng: np.hstack([x, np.full((len(x), 3), 12345.678)]),
    "scales": lambda x, rng: x * np.geomspace(1e-4, 1e4, x.shape[1]),
    "one factor": lambda x, rng: x + 10 * rng.normal(size=(len(x), 1)),
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("n", [100, 24])  # more rows than features, and fewer
@pytest.mark.parametrize("ratio", [1.0, 0.3])
def test_hard_designs_are_solved_and_predict_as_scikit_learn(design, n, ratio):
    rng = np.random.default_rng(5)
    x, y = problem(n, 20, targets=6, seed=3)
    x = DESIGNS[design](x, rng)
    folds = np.arange(n) % 3
    fit = elastic_net_cv(x, y, folds, l1_ratio=ratio, n_alphas=30)
    assert np.isfinite(fit.coef).all() and np.isfinite(fit.loss).all() and fit.loose == 0
    assert missed(x, y, fit) < 1e-5
    if design in ("almost twice", "nearly twice", "scales", "one factor"):
        return  # coordinate descent hardly comes to rest: no reference
    if design == "one-hot" and ratio == 1:
        return  # columns of a constant sum: equally good solutions, which differ on other rows
    for t in range(0, 6, 3):
        peer = ElasticNetCV(cv=splits(folds), l1_ratio=ratio, alphas=30, **EXACT).fit(x, y[:, t])
        np.testing.assert_allclose(fit.loss[:, t], peer.mse_path_.mean(axis=1), rtol=1e-3)
        assert fit.alpha[t] == pytest.approx(peer.alpha_)
        off = np.abs(fit.predict(x)[:, t] - peer.predict(x)).max()
        assert off < 1e-3 * y[:, t].std()


@pytest.mark.parametrize("ratio", [1.0, 0.4])
@pytest.mark.parametrize("design", ["plain", "twice", "low rank"])
def test_coordinate_descent_takes_over_where_the_active_set_gives_up(design, ratio):
    x, y = problem(80, 12)
    x = {"plain": lambda x, rng: x, **DESIGNS}[design](x, np.random.default_rng(0))
    grams = Grams(x, None, [(0, 40), (40, 80)])
    gram, c = grams.train[-1], grams.products(y).c[-1]
    p = x.shape[1]
    wide = np.pad(gram, ((0, 0), (0, -p % 16)))  # some designs have 12 features, some 24
    for t in range(y.shape[1]):
        alphas = np.geomspace(1, 0.01, 20) * np.abs(c[t]).max()
        w, q = np.zeros(p), c[t].copy()
        for alpha in alphas:
            tight = 1e-6 * alpha
            assert _lasso_paths.descend(gram, q, w, alpha * ratio, alpha * (1 - ratio), tight)
        np.testing.assert_allclose(q, c[t] - gram @ w, atol=1e-10)
        path, numbers = np.zeros((20, p)), np.zeros((3, p), dtype=np.int64)
        room = np.zeros((p + _lasso_paths.VECTORS, wide.shape[1]))
        status = _lasso_paths.walk(wide, c[t], alphas, ratio, 20, path, room, numbers)
        assert status == 0
        off = x @ (w - path[-1])
        np.testing.assert_allclose(off - off.mean(), 0, atol=1e-3)


def test_a_tie_broken_by_descent_goes_on_with_the_active_set(monkeypatch):
    """With no exchanges at all, designs without full rank still come out right."""
    x, y = problem(24, 20, seed=3)
    x = DESIGNS["negated"](x, None)
    folds = np.arange(24) % 3
    expected = lasso_cv(x, y, folds, n_alphas=30)
    plain = {n: getattr(f, "py_func", f) for n, f in vars(_lasso_paths).items()}
    for name in ("walk_all", "walk"):
        monkeypatch.setattr(_lasso_paths, name, plain[name])
    monkeypatch.setattr(_lasso_paths, "knots", lambda *a: False)
    monkeypatch.setattr(_lasso_paths, "ROUNDS", -2 * 40)  # gives up at once
    found = lasso_cv(x, y, folds, n_alphas=30)
    assert found.fallbacks == y.shape[1] and expected.fallbacks == 0
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
    np.testing.assert_allclose(found.predict(x), expected.predict(x), atol=1e-4)


def test_constant_targets_and_features_and_huge_means():
    x, y = problem(60, 10)
    y[:, 1], x[:, 3], y[:, 0] = 7.7, 0.1, y[:, 0] + 1e6
    folds = np.arange(60) % 3
    x[folds == 0, 4] = x[folds == 0, 4] * 0 + 3.0  # constant where fold 0 is held out: two others
    x[folds != 0, 5] = 1.5  # constant in the training set of fold 0
    for solver in (lasso_cv, elastic_net_cv, multitask_elastic_net_cv):
        fit = solver(x, y, folds)
        assert np.isfinite(fit.coef).all() and np.isfinite(fit.loss).all()
        assert (fit.coef[3] == 0).all() and (fit.coef[:, 1] == 0).all()
        assert fit.intercept[1] == pytest.approx(7.7)
    single = lasso_cv((x + 1e4).astype(np.float32), y.astype(np.float32), folds)
    assert single.coef.dtype == np.float32 and single.alpha.dtype == np.float64
    assert np.isfinite(single.loss).all()


def test_float32_loses_nothing_but_the_last_digits():
    x, y = (a.astype(np.float32) for a in problem())
    x += np.float32(1000)
    folds = np.arange(120) % 3
    single, wide = lasso_cv(x, y, folds), lasso_cv(x.astype(float), y.astype(float), folds)
    np.testing.assert_array_equal(single.alpha, wide.alpha)
    np.testing.assert_array_equal(single.coef, wide.coef.astype(np.float32))


def test_given_penalties():
    x, y = problem(targets=2)
    folds = np.arange(120) % 3
    fit = lasso_cv(x, y, folds, alphas=[0.01, 1.0, 0.1])
    assert fit.alphas[:, 0].tolist() == [1.0, 0.1, 0.01]
    peer = Lasso(alpha=fit.alpha[0], tol=1e-10).fit(x, y[:, 0])
    np.testing.assert_allclose(fit.coef[:, 0], peer.coef_, atol=1e-7)
    none = lasso_cv(x, y, folds, alphas=[0.0])
    least = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(none.coef, least, atol=1e-8)


@pytest.mark.parametrize("solver", [lasso_cv, elastic_net_cv, multitask_elastic_net_cv])
@pytest.mark.parametrize("kind", ["tensors", "gpu", "no numba"])
def test_the_batched_solver_gives_the_same(solver, kind, monkeypatch):
    x, y = problem(60, 8, targets=11, correlation=0.5)
    folds = np.arange(60) % 3
    expected = solver(x, y, folds, n_alphas=12)
    if kind == "no numba":
        monkeypatch.setattr(sparse, "find_spec", lambda name: None)
        fit = solver(x, y, folds, n_alphas=12)
    else:
        if kind == "gpu":  # torch all the way
            monkeypatch.setattr(sparse, "on_cpu", lambda *a: (a, lambda b: b))
        fit = solver(torch.tensor(x), torch.tensor(y), folds, n_alphas=12)
        assert isinstance(fit.coef, torch.Tensor) and isinstance(fit.alphas, torch.Tensor)
    np.testing.assert_allclose(np.asarray(fit.alpha), expected.alpha, rtol=1e-10)
    np.testing.assert_allclose(np.asarray(fit.loss), expected.loss, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(fit.coef), expected.coef, atol=1e-5)
    np.testing.assert_allclose(np.asarray(fit.intercept), expected.intercept, rtol=1e-5)
    assert fit.loose == 0


def test_blocks_and_threads_change_nothing():
    x, y = problem(100, 15, targets=70)
    folds = np.arange(100) % 3
    whole = lasso_cv(x, y, folds, n_alphas=20, threads=1)
    need = sparse_need(100, 15, 3, 20)
    for memory, threads in ((need.fixed + 9 * need.each, 1), (1 << 30, 3)):
        parts = lasso_cv(x, y, folds, n_alphas=20, memory=memory, threads=threads)
        np.testing.assert_allclose(parts.coef, whole.coef, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(parts.alpha, whole.alpha)
    alone = lasso_cv(x, y[:, 40:41], folds, n_alphas=20)
    np.testing.assert_allclose(alone.coef, whole.coef[:, 40:41], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", [lasso_cv, elastic_net_cv, multitask_elastic_net_cv])
def test_memory_is_what_was_said_and_too_little_is_refused(solver):
    x, y = problem(300, 40, targets=400)
    folds, joint = np.arange(300) % 3, solver is multitask_elastic_net_cv
    need = sparse_need(300, 40, 3, 20, joint=joint)
    solver(x[:30], y[:30, :2], folds[:30], n_alphas=3)  # compiled, imported
    memory = need.fixed + (400 if joint else 100) * need.each
    tracemalloc.start()
    fit = solver(x, y, folds, n_alphas=20, memory=memory, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = 2 * sum(a.nbytes for a in (fit.coef, fit.alphas, fit.loss))
    assert 0.15 * memory < peak < memory + result
    with pytest.raises(StriateError, match=r"features on 300 rows needs at least"):
        solver(x, y, folds, memory=1 << 10)


def test_where_the_compiled_code_cannot_be_kept(monkeypatch):
    import numba

    real = numba.njit

    def refuse(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*args, **options)

    monkeypatch.setattr(numba, "njit", refuse)
    double = _active_set.compiled(_double)
    assert double(2.0) == 4.0
    assert builtins.callable(double)


def _double(a):
    return 2.0 * a


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(4, 30),
    p=st.integers(1, 25),
    targets=st.integers(1, 4),
    k=st.integers(2, 4),
    ratio=st.sampled_from([1.0, 0.5]),
    whole=st.booleans(),
)
def test_any_shape(n, p, targets, k, ratio, whole):
    x, y = problem(n, p, targets, seed=n)
    if whole:  # ties
        x, y = np.round(x), np.round(y)
    fit = elastic_net_cv(x, y, np.arange(n) % k, l1_ratio=ratio, n_alphas=15)
    assert fit.coef.shape == (p, targets) and fit.loss.shape == (15, targets)
    assert np.isfinite(fit.loss).all() and fit.loose == 0
    moves = np.ptp(y, axis=0) > 0
    if np.ptp(x, axis=0).any():
        active = moves & (fit.alpha > 1e-12)
        if active.any():
            part = sparse.SparseFit(
                fit.coef[:, active],
                fit.center,
                fit.level[active],
                fit.alpha[active],
                fit.l1_ratio[active],
                fit.alphas[:, active],
                fit.loss[:, active],
            )
            assert missed(x, y[:, active], part) < 1e-5


def held_out_r(fit, x, y):
    found = fit.predict(x)
    return np.mean([np.corrcoef(found[:, t], y[:, t])[0, 1] for t in range(y.shape[1])])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sparse_plants_are_for_the_lasso_and_dense_ones_for_ridge(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 100))
    folds, alphas = np.arange(200) % 4, np.logspace(-1, 4, 16)
    scores = {}
    for plant, used in (("sparse", 6), ("dense", 100)):
        w = np.zeros((100, 30))
        for t in range(30):
            w[rng.permutation(100)[:used], t] = rng.normal(size=used)
        y = x @ w
        y = y / y.std(axis=0) + 1.2 * rng.normal(size=y.shape)
        lasso = lasso_cv(x[:200], y[:200], folds)
        ridge = ridge_cv(x[:200], y[:200], alphas, folds)
        scores[plant] = [held_out_r(f, x[200:], y[200:]) for f in (lasso, ridge)]
        if plant == "sparse":
            assert 0.2 < (lasso.coef != 0)[w != 0].mean() <= 1
    assert 0.02 < scores["sparse"][0] - scores["sparse"][1] < 0.25, scores
    assert 0.0 < scores["dense"][1] - scores["dense"][0] < 0.15, scores


def test_mistakes_are_named():
    x, y = problem(20, 3)
    folds = np.arange(20) % 2
    holed = y.copy()
    holed[4, 2] = np.nan
    with pytest.raises(DataError, match=r"y has 1 values that are NaN.*row 4, target 2"):
        lasso_cv(x, holed, folds)
    with pytest.raises(DataError, match="at least two folds"):
        lasso_cv(x, y, folds * 0)
    with pytest.raises(DataError, match=r"-1\.0 is not a finite number"):
        lasso_cv(x, y, folds, alphas=[1.0, -1.0])
    with pytest.raises(DataError, match=r"n_alphas = 0 and eps = 0.001"):
        lasso_cv(x, y, folds, n_alphas=0)
    with pytest.raises(DataError, match="between 0 and 1"):
        lasso_cv(x, y, folds, eps=1.5)
    for ratio in (0.0, 1.1, [], [0.5, -1.0]):
        with pytest.raises(DataError, match="above 0 and at most 1"):
            elastic_net_cv(x, y, folds, l1_ratio=ratio)
    with pytest.raises(DataError, match="float32 but y is float64"):
        lasso_cv(x.astype(np.float32), y, folds)
