"""Whitened similarities are those of the explicit covariance of distances, never built."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import DataError, StriateError
from striate.solvers import whitened
from striate.solvers.similarity import cosine
from striate.solvers.whitened import whitened_cosine, whitened_need, whitened_pearson

COVARIANCES = ["equal", "variances", "full"]


def covariance_of(kind, n, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "equal":
        return None
    if kind == "variances":
        return rng.uniform(0.2, 3, n)
    q = rng.standard_normal((n, n))
    return q @ q.T + 0.3 * np.eye(n)


def explicit(a, b, covariance, n):
    """a'V^-1 b / ... with V = (C S C')^2 of all pairs, as Diedrichsen et al. write it."""
    s = np.eye(n) if covariance is None else covariance
    s = np.diag(s) if s.ndim == 1 else s
    contrasts = np.zeros((n * (n - 1) // 2, n))
    i, j = np.triu_indices(n, 1)
    contrasts[np.arange(len(i)), i], contrasts[np.arange(len(i)), j] = 1, -1
    v = np.linalg.inv((contrasts @ s @ contrasts.T) ** 2)
    length = [np.sqrt(np.einsum("ij,jk,ik->i", x, v, x)) for x in (a, b)]
    return a @ v @ b.T / length[0][:, None] / length[1]


def vectors(rows, n, seed=0):
    return np.random.default_rng(seed).random((rows, n * (n - 1) // 2)) + 1


@settings(max_examples=12, deadline=None)
@given(n=st.integers(4, 12), rows=st.tuples(st.integers(1, 3), st.integers(1, 3)))
@pytest.mark.parametrize("kind", COVARIANCES)
def test_same_as_with_the_explicit_matrix(kind, n, rows):
    a, b, s = vectors(rows[0], n), vectors(rows[1], n, 1), covariance_of(kind, n)
    np.testing.assert_allclose(whitened_cosine(a, b, s), explicit(a, b, s, n), atol=1e-9)
    centred = [x - x.mean(axis=1, keepdims=True) for x in (a, b)]
    np.testing.assert_allclose(whitened_pearson(a, b, s), explicit(*centred, s, n), atol=1e-9)


@pytest.mark.parametrize("kind", ["equal", "variances"])
@pytest.mark.parametrize("threads", [1, 2])
def test_long_rows_agree_with_full_covariance(kind, threads):
    n = 210  # past the pairs from which sums are compiled
    assert n * (n - 1) // 2 > whitened.SHORT
    a, b, s = vectors(2, n), vectors(1, n, 1), covariance_of(kind, n)
    full = np.eye(n) if s is None else np.diag(s)
    for f in (whitened_cosine, whitened_pearson):
        np.testing.assert_allclose(f(a, b, s, threads=threads), f(a, b, full), atol=1e-11)


def test_equal_variances_are_the_alignment_of_centred_kernels():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((20, 7)) for _ in range(2))
    h = np.eye(20) - 1 / 20
    k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
    i, j = np.triu_indices(20, 1)
    rdms = [((z[i] - z[j]) ** 2).sum(axis=1)[None] for z in (x, y)]
    expected = (k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m)
    np.testing.assert_allclose(whitened_cosine(*rdms), [[expected]], atol=1e-12)
    assert abs(cosine(*rdms)[0, 0] - expected) > 0.05


@pytest.mark.parametrize("kind", COVARIANCES)
def test_far_means_keep_their_digits(kind):
    a, b, s = vectors(2, 10), vectors(2, 10, 1), covariance_of(kind, 10)
    np.testing.assert_allclose(
        whitened_pearson(a + 1e5, b, s), whitened_pearson(a, b, s), atol=1e-8
    )


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_and_types(kind, pretend_gpu, monkeypatch):
    if pretend_gpu:
        monkeypatch.setattr(whitened, "on_cpu", lambda *x: (x, lambda y: y))
    a, b = vectors(2, 9).astype(np.float32), vectors(3, 9, 1).astype(np.float32)
    s = covariance_of(kind, 9)
    for f in (whitened_cosine, whitened_pearson):
        expected = f(a, b, s)
        assert expected.dtype == np.float32
        got = f(*(None if x is None else torch.tensor(x) for x in (a, b, s)))
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_mistakes_are_named():
    a = vectors(2, 6)
    with pytest.raises(DataError, match="14 pairs are those of no number"):
        whitened_cosine(a[:, 1:], a[:, 1:])
    with pytest.raises(DataError, match="row 0 of b is constant"):
        whitened_pearson(a, np.ones_like(a))
    with pytest.raises(DataError, match="row 0 of b is zero"):
        whitened_cosine(a, np.zeros_like(a))
    broken = a.copy()
    broken[1, 3] = np.nan
    with pytest.raises(DataError, match="row 1, pair 3"):
        whitened_cosine(broken, a)
    for s, told in [
        (np.ones(5), "does not belong to 6 stimuli"),
        (np.r_[np.ones(5), 0.0], "must be positive"),
        (np.triu(np.ones((6, 6))), "not symmetric"),
        (np.ones((6, 6)), "not positive definite"),
        (np.full((6, 6), np.nan), "NaN"),
    ]:
        with pytest.raises(DataError, match=told):
            whitened_cosine(a, a, s)
    need = whitened_need(2, 6)
    with pytest.raises(StriateError, match="2 RDMs of 6 stimuli needs at least"):
        whitened_cosine(a, a, np.eye(6), memory=need.fixed)
