"""Similarities of values are numpy's and scipy's, all at once; layer weights are scipy's nnls."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import nnls
from scipy.spatial.distance import cdist

from striate.errors import DataError
from striate.solvers import _moments, similarity


def vectors(rows, pairs, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, pairs)) + 1


@settings(max_examples=15, deadline=None)
@given(
    rows=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pairs=st.integers(3, 60),
    chunk=st.sampled_from([7, 4096]),
)
@pytest.mark.parametrize("kind", ["pearson", "cosine"])
def test_same_as_scipy(kind, rows, pairs, chunk):
    a, b = vectors(rows[0], pairs), vectors(rows[1], pairs, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "CHUNK", chunk)
        got = getattr(similarity, kind)(a, b)
    expected = 1 - cdist(a, b, "correlation" if kind == "pearson" else "cosine")
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
def test_threads_and_far_means_change_rounding_only(kind):
    a, b = vectors(3, 40_000), vectors(2, 40_000, 1)
    f = getattr(similarity, kind)
    np.testing.assert_allclose(f(a, b, threads=3), f(a, b, threads=1), atol=1e-14)
    far = f(a + 1e6, b) - f(a, b)
    assert abs(far).max() < 1e-9 if kind == "pearson" else abs(far).max() > 1e-3


@pytest.mark.parametrize("rows", [(1, 1), (3, 5), (8, 4), (17, 2), (17, 18)])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_rows_in_a_compiled_loop(rows, threads, monkeypatch):
    monkeypatch.setattr(similarity, "SHORT", 1000)
    monkeypatch.setattr(_moments, "fitting", lambda threads, work: threads)
    a, b = vectors(rows[0], 1301) + 50, vectors(rows[1], 1301, seed=1)
    for kind, name in (("pearson", "correlation"), ("cosine", "cosine")):
        got = getattr(similarity, kind)(a, b, threads=threads)
        np.testing.assert_allclose(got, 1 - cdist(a, b, name), atol=1e-12)
    a[0, 7] = np.nan
    for f in (similarity.pearson, similarity.cosine):
        with pytest.raises(DataError, match="row 0, pair 7"):
            f(a, b, threads=threads)


def test_compiled_products_of_whole_numbers_are_exact_and_memory_is_not_taken():
    a, b = (
        np.random.default_rng(k).integers(-99, 99, (3, 30_000)).astype(np.int32) for k in range(2)
    )
    found = similarity.products(a, b, None, totals=True)
    wide = a.astype(np.int64), b.astype(np.int64)
    expected = wide[0] @ wide[1].T, *((w * w).sum(1) for w in wide), *(w.sum(1) for w in wide)
    for got, exact in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, exact)
    values = vectors(8, 60_000)
    tracemalloc.start()
    similarity.pearson(values, values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.1 * values.nbytes


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_and_types(kind, pretend_gpu, monkeypatch):
    if pretend_gpu:
        monkeypatch.setattr(similarity, "on_cpu", lambda *x: (x, lambda y: y))
    a, b = vectors(2, 50).astype(np.float32), vectors(3, 50, 1).astype(np.float32)
    f = getattr(similarity, kind)
    expected = f(a, b)
    assert expected.dtype == np.float32
    got = f(torch.tensor(a), torch.tensor(b))
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_layer_weights_are_those_of_standardised_nnls():
    layers, noise = vectors(5, 100) * 3 + 2, vectors(1, 100, seed=2)[0]
    target = 0.5 * layers[0] + 0.2 * layers[3] + noise
    weights, intercept = similarity.nonnegative_layers(layers, target)
    expected, _ = nnls(stats.zscore(layers, axis=1).T, stats.zscore(target))
    np.testing.assert_allclose(weights * layers.std(axis=1) / target.std(), expected, atol=1e-9)
    fitted = weights @ layers + intercept
    np.testing.assert_allclose(fitted.mean(), target.mean())
    assert np.corrcoef(fitted, target)[0, 1] > 0.5


def test_mistakes_are_named():
    a = vectors(3, 20)
    for f in (similarity.pearson, similarity.cosine):
        with pytest.raises(Exception, match="pair"):
            f(a, a[:, 1:])
        with pytest.raises(DataError, match="1 pairs, too few"):
            f(a[:, :1], a[:, :1])
    flat = a.copy()
    flat[1] = 0.3
    with pytest.raises(DataError, match="row 1 of b is constant"):
        similarity.pearson(a, flat)
    with pytest.raises(DataError, match="row 1 of layers is constant"):
        similarity.nonnegative_layers(flat, a[0])
    flat[1] = 0
    with pytest.raises(DataError, match="row 1 of a is zero"):
        similarity.cosine(flat, a)
    flat[1, 4] = np.nan
    for f in (similarity.pearson, similarity.cosine):
        with pytest.raises(DataError, match="row 1, pair 4"):
            f(flat, a)
