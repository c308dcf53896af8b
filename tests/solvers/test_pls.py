"""PLS against scikit-learn's, whose components are found by singular vectors."""

import inspect
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression

from striate.errors import DataError, StriateError
from striate.solvers.pls import pls, pls_cv, pls_need


class Reference(PLSRegression):
    """Exact singular vectors in the place of power iterations that stop early."""

    def fit(self, x, y):
        self.algorithm = "svd"
        return super().fit(x, y)


def by_sklearn(x, y, count, new):
    x, y, new = (a.astype(np.float64) for a in (x, y, new))
    if count == 0:
        return np.repeat(y.mean(axis=0)[None], len(new), axis=0)
    model = Reference(count, scale=False, max_iter=100_000, tol=1e-30)
    return model.fit(x, y).predict(new).reshape(len(new), -1)


def problem(n, p, targets, dtype=np.float64, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 5)) * np.geomspace(3, 0.5, 5)
    x = latent @ rng.standard_normal((5, p)) + 0.5 * rng.standard_normal((n, p)) + 7
    y = latent @ rng.standard_normal((5, targets)) + noise * rng.standard_normal((n, targets)) - 3
    return x.astype(dtype), y.astype(dtype)


def slow_loss(x, y, numbers, folds):
    loss = np.zeros((len(numbers), y.shape[1]))
    for f in np.unique(folds):
        train, test = folds != f, folds == f
        for k, a in enumerate(numbers):
            error = by_sklearn(x[train], y[train], a, x[test]) - y[test]
            loss[k] += (error**2).sum(axis=0)
    return loss / len(x)


SHAPES = [(80, 12, 7), (40, 90, 20), (60, 30, 1), (30, 30, 3)]


@pytest.mark.parametrize(("n", "p", "targets"), SHAPES)
@pytest.mark.parametrize("count", [1, 3, 8])
def test_predictions_are_scikit_learns(n, p, targets, count):
    x, y = problem(n, p, targets)
    new = problem(9, p, targets, seed=1)[0]
    expected = by_sklearn(x, y, count, new)
    fit = pls(x, y, count)
    np.testing.assert_allclose(fit.predict(new), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(new @ fit.coef + fit.intercept, expected, rtol=1e-6, atol=1e-6)
    single = pls(x.astype(np.float32), y.astype(np.float32), count)
    assert single.coef.dtype == single.level.dtype == np.float32
    np.testing.assert_allclose(single.predict(new.astype(np.float32)), expected, atol=3e-4)
    assert not np.allclose(by_sklearn(x, y, count + 1, new), expected, atol=1e-2)


@pytest.mark.parametrize(("n", "p", "targets"), SHAPES)
def test_errors_and_choices_are_those_of_refitting(n, p, targets):
    x, y = problem(n, p, targets)
    folds = np.random.default_rng(1).integers(0, 4, n)
    numbers = [0, 1, 2, 5]
    expected = slow_loss(x, y, numbers, folds)
    fit = pls_cv(x, y, numbers, folds)
    np.testing.assert_allclose(fit.loss, expected, rtol=1e-6)
    chosen = np.array(numbers)[expected.argmin(axis=0)]
    np.testing.assert_array_equal(fit.components, chosen)
    for t in range(targets):
        own = by_sklearn(x, y, int(chosen[t]), x)[:, t]
        np.testing.assert_allclose(fit.predict(x)[:, t], own, rtol=1e-6, atol=1e-6)
    together = pls_cv(x, y, numbers, folds, choice="global")
    assert set(together.components) == {numbers[int(expected.sum(axis=1).argmin())]}
    labels = np.arange(targets) % 2
    grouped = pls_cv(x, y, numbers, folds, choice=labels)
    for label in np.unique(labels):
        best = numbers[int(expected[:, labels == label].sum(axis=1).argmin())]
        assert set(grouped.components[labels == label]) == {best}


def test_the_largest_number_stands_for_all_up_to_it():
    x, y = problem(50, 10, 4)
    folds = np.arange(50) % 5
    one, other = pls_cv(x, y, 4, folds), pls_cv(x, y, [4, 2, 3, 1, 2], folds)
    np.testing.assert_array_equal(one.loss, other.loss)
    np.testing.assert_array_equal(one.coef, other.coef)


def test_many_features_go_the_faster_way_for_the_largest_eigenvector():
    x, y = problem(340, 320, 6)
    np.testing.assert_allclose(pls(x, y, 6).predict(x), by_sklearn(x, y, 6, x), rtol=1e-6)


def test_folds_part_no_rows_of_one_label_whatever_their_order():
    x, y = problem(60, 8, 3)
    folds = np.repeat([3, 1, 2], 20)
    order = np.random.default_rng(0).permutation(60)
    one, other = pls_cv(x, y, 5, folds), pls_cv(x[order], y[order], 5, folds[order])
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-9)
    np.testing.assert_allclose(one.coef, other.coef, rtol=1e-6, atol=1e-9)


def test_more_components_than_there_are_change_nothing():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 8))  # of rank three
    y = x @ rng.standard_normal((8, 2)) + 4
    fit = pls(x, y, 30)
    np.testing.assert_allclose(fit.predict(x), y, atol=1e-6)
    chosen = pls_cv(x, y, 30, np.arange(40) % 4)
    np.testing.assert_allclose(chosen.loss[5:], chosen.loss[4:-1], atol=1e-9)
    np.testing.assert_allclose(chosen.predict(x), y, atol=1e-5)


def test_constant_features_and_targets():
    x, y = problem(40, 6, 3)
    x[:, 2] = 5.0
    y[:, 1] = 7.7
    fit = pls_cv(x, y, 3, np.arange(40) % 4)
    np.testing.assert_allclose(fit.coef[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(fit.predict(x)[:, 1], 7.7)
    assert fit.components[1] == 1
    assert (np.abs(fit.coef[2]) < 1e-12).all()
    flat = pls(np.ones_like(x), y, 2)
    np.testing.assert_allclose(flat.predict(x), np.repeat(y.mean(axis=0)[None], 40, axis=0))
    flat = pls(x, np.full((40, 2), 3.0), 2)
    np.testing.assert_allclose(flat.predict(x), 3)


def test_two_rows():
    x, y = np.array([[1.0, 2, 3], [3, 2, 2]]), np.array([[1.0], [5.0]])
    np.testing.assert_allclose(pls(x, y, 4).predict(x), y)


def test_large_means_in_single_precision():
    x, y = problem(80, 12, 5)
    x, y = (1e4 + x).astype(np.float32), (1e4 + y).astype(np.float32)
    expected = by_sklearn(x, y, 3, x)
    found = pls(x, y, 3).predict(x).astype(np.float64)
    assert np.abs(found - expected).max() < 2e-3  # that is two units in the last place of 1e4


@pytest.mark.parametrize(("n", "p"), [(60, 20), (30, 50)])
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_in_tensors_out(n, p, pretend_gpu, monkeypatch):
    if pretend_gpu:
        monkeypatch.setattr("striate.solvers.pls.on_cpu", lambda *a: (a, lambda b: b))
    x, y = problem(n, p, 5, np.float32)
    folds = np.random.default_rng(0).integers(0, 3, n)
    expected = pls_cv(x, y, 4, folds)
    fit = pls_cv(torch.tensor(x), torch.tensor(y), 4, folds)
    parts = (fit.coef, fit.center, fit.level, fit.components, fit.loss, fit.intercept)
    assert all(isinstance(a, torch.Tensor) for a in parts)
    assert fit.coef.dtype == torch.float32
    np.testing.assert_array_equal(fit.components.numpy(), expected.components)
    np.testing.assert_allclose(fit.loss.numpy(), expected.loss, rtol=1e-4)
    np.testing.assert_allclose(fit.predict(torch.tensor(x)), expected.predict(x), atol=1e-3)


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(6, 20),
    p=st.integers(1, 20),
    targets=st.integers(1, 5),
    k=st.integers(2, 3),
)
def test_any_shape(n, p, targets, k):
    x, y = problem(n, p, targets)
    fit = pls_cv(x, y, [1], np.arange(n) % k)
    np.testing.assert_allclose(fit.loss, slow_loss(x, y, [1], np.arange(n) % k), rtol=1e-5)


@pytest.mark.parametrize(("n", "p"), [(200, 30), (50, 300)])
def test_batches_and_threads_change_rounding_only_within_what_was_said(n, p):
    x, y = problem(n, p, 700)
    folds = np.arange(n) % 4
    whole = pls_cv(x, y, 5, folds, threads=1)
    need = pls_need(n, p, 5, 4)
    for memory, threads in [(need.fixed + 20 * need.each, 1), (need.fixed + 90 * need.each, 3)]:
        tracemalloc.start()
        parts = pls_cv(x, y, 5, folds, memory=memory, threads=threads)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-9)
        np.testing.assert_allclose(parts.coef, whole.coef, rtol=1e-6, atol=1e-9)
        results = 2 * (parts.coef.nbytes + parts.loss.nbytes)
        assert peak < memory + 2 * x.nbytes + results
    with pytest.raises(StriateError, match=f"PLS of {p} features on {n} rows needs at least"):
        pls_cv(x, y, 5, folds, memory=1000)


def test_mistakes_are_named():
    x, y = problem(20, 3, 2)
    folds = np.arange(20) % 2
    holed = x.copy()
    holed[4, 2] = np.nan
    with pytest.raises(DataError, match="row 4, feature 2"):
        pls(holed, y, 1)
    with pytest.raises(DataError, match="at least two folds"):
        pls_cv(x, y, 2, folds * 0)
    with pytest.raises(DataError, match="components 0: give a number"):
        pls_cv(x, y, 0, folds)
    with pytest.raises(DataError, match=r"components \[-1, 2\]"):
        pls_cv(x, y, [-1, 2], folds)
    with pytest.raises(DataError, match="float32 but y is float64"):
        pls(x.astype(np.float32), y, 1)
    with pytest.raises(DataError, match="give both the same rows"):
        inspect.unwrap(pls)(x[:5], y, 1)
