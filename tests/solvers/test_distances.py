"""Distances by matrix products are scipy's, exactly symmetric, and in its pair order."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from striate.errors import DataError
from striate.solvers import distances

KINDS = {
    "correlation": distances.correlation_distances,
    "cosine": distances.cosine_distances,
    "euclidean": distances.euclidean_distances,
    "sqeuclidean": distances.squared_euclidean_distances,
}


def data(n=30, p=50, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, p)) + 5 * rng.normal(size=p) + 3).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_as_scipy(kind, dtype):
    x = data(dtype=dtype)
    rdm = KINDS[kind](x)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    expected = squareform(pdist(x.astype(np.float64), kind))
    np.testing.assert_allclose(rdm, expected, rtol=tolerance, atol=tolerance / 10)
    np.testing.assert_array_equal(rdm, rdm.T)
    assert rdm.dtype == dtype and not np.diag(rdm).any() and rdm.min() >= 0
    tensor = KINDS[kind](torch.tensor(x))
    np.testing.assert_allclose(tensor.numpy(), rdm, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["correlation", "cosine"])
def test_rows_that_are_alike_keep_their_distance(kind):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=200) + 1e-3 * rng.normal(size=(20, 200))).astype(np.float32)
    rdm, rough = KINDS[kind](x), KINDS[kind](x, double=False)
    assert rdm.dtype == rough.dtype == np.float32
    expected = squareform(pdist(x.astype(np.float64), kind))
    np.testing.assert_allclose(rdm, expected, rtol=1e-6)
    np.testing.assert_allclose(rough, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["matrix", "features"])
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_mahalanobis_is_scipys(dtype, kind, pretend_gpu, monkeypatch):
    x = data(p=12, dtype=dtype)
    before, q = x.copy(), np.random.default_rng(1).standard_normal((12, 20))
    p = q @ q.T if kind == "matrix" else (q * q).sum(axis=1)
    full = p if kind == "matrix" else np.diag(p)
    expected = squareform(pdist(x.astype(np.float64), "mahalanobis", VI=full))
    rdm = distances.mahalanobis_distances(x, p)
    tolerance = 1e-10 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(rdm, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(rdm, rdm.T)
    np.testing.assert_array_equal(x, before)
    assert rdm.dtype == dtype
    squared = distances.squared_mahalanobis_distances(x, p, double=False)
    np.testing.assert_allclose(squared, expected**2, rtol=1e-3 if dtype == np.float32 else 1e-10)
    if pretend_gpu:
        monkeypatch.setattr(distances, "on_cpu", lambda *a: (a, lambda b: b))
    tensor = distances.mahalanobis_distances(torch.tensor(x), torch.tensor(p))
    np.testing.assert_allclose(tensor.numpy(), rdm, rtol=1e-5, atol=1e-5)


def test_close_rows_keep_their_distance():
    x = data(dtype=np.float32)
    x[1] = x[0]
    x[1, 0] += 1e-3
    expected = np.linalg.norm(x[1].astype(np.float64) - x[0])
    np.testing.assert_allclose(distances.euclidean_distances(x)[0, 1], expected, rtol=1e-5)


@given(n=st.integers(2, 12), batch=st.integers(0, 3))
def test_pairs_are_in_scipys_order_and_back(n, batch):
    rdms = np.stack([distances.euclidean_distances(data(n, 4) * (b + 1)) for b in range(batch + 1)])
    pairs = distances.upper_triangle(rdms)
    for rdm, row in zip(rdms, pairs, strict=True):
        np.testing.assert_array_equal(row, squareform(rdm, checks=False))
    np.testing.assert_array_equal(distances.from_pairs(pairs), rdms)
    np.testing.assert_array_equal(distances.from_pairs(torch.tensor(pairs[0])).numpy(), rdms[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_mistakes_are_named(dtype):
    x = data(dtype=dtype)
    x[4] = 0.1
    with pytest.raises(DataError, match="stimulus 4 is constant"):
        distances.correlation_distances(x)
    x[4] = 0
    with pytest.raises(DataError, match="stimulus 4 is zero"):
        distances.cosine_distances(x)
    x[4, 3] = np.inf
    with pytest.raises(DataError, match="row 4, feature 3"):
        distances.euclidean_distances(x)
    with pytest.raises(DataError, match="does not belong to 50 features"):
        distances.mahalanobis_distances(data(), np.ones(3))
    with pytest.raises(DataError, match="must be positive"):
        distances.mahalanobis_distances(data(), np.zeros(50))
    with pytest.raises(DataError, match="not positive definite"):
        distances.mahalanobis_distances(data(), np.ones((50, 50)))
    with pytest.raises(DataError, match="7 pairs"):
        distances.from_pairs(np.zeros(7))


def test_rows_are_copied_only_where_they_share_a_mean_and_never_changed():
    x = np.random.default_rng(0).normal(size=(20, 20_000))
    near = x + 1e7  # squares of 1e14, of which differences of 1 keep two digits
    before = x.copy(), near.copy()
    expected = distances.squared_euclidean_distances(x)
    peaks = []
    for rows in (x, near):
        tracemalloc.start()
        got = distances.squared_euclidean_distances(rows)
        peaks.append(tracemalloc.get_traced_memory()[1] / x.nbytes)
        tracemalloc.stop()
        np.testing.assert_allclose(got, expected, rtol=1e-7)
    assert peaks[0] < 0.2 and 0.9 < peaks[1] < 1.5
    np.testing.assert_array_equal(before, (x, near))
