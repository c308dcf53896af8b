"""Distances by matrix products are scipy's, exactly symmetric, and in its pair order."""

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
def test_double_accumulates_in_float64(kind):
    x = data(dtype=np.float32)
    rdm = KINDS[kind](x, double=True)
    assert rdm.dtype == np.float64
    np.testing.assert_allclose(rdm, squareform(pdist(x.astype(np.float64), kind)), atol=1e-13)


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
    with pytest.raises(DataError, match="7 pairs"):
        distances.from_pairs(np.zeros(7))
