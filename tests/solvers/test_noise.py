"""Shrunk covariances are those of the papers and of scikit-learn, and their roots free rows."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from striate.errors import DataError
from striate.solvers import noise
from striate.solvers.noise import factor, precision_of, shrunk_covariance, whitened


def residuals(n=40, p=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) @ rng.standard_normal((p, p)) + 3


def strimmer(x):
    """The estimate of Schäfer & Strimmer 2005, entry by entry."""
    n, p = x.shape
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    w = z[:, :, None] * z[:, None, :]
    mean = w.mean(axis=0)
    r = n / (n - 1) * mean
    variance = n / (n - 1) ** 3 * ((w - mean) ** 2).sum(axis=0)
    off = ~np.eye(p, dtype=bool)
    share = min(1.0, variance[off].sum() / (r[off] ** 2).sum())
    s = np.cov(x.T)
    return np.where(off, (1 - share) * s, s), share


@pytest.mark.parametrize("shape", [(40, 12), (200, 5), (15, 60)])
def test_towards_the_diagonal_is_the_papers(shape):
    x = residuals(*shape)
    found = shrunk_covariance(x)
    expected, share = strimmer(x)
    assert found.shrinkage == pytest.approx(share, abs=1e-12)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-10, atol=1e-12)
    np.linalg.cholesky(found.covariance)  # positive definite, more features than rows or not


@pytest.mark.parametrize("shape", [(40, 12), (200, 5), (15, 60)])
def test_towards_the_identity_is_scikit_learns(shape):
    x = residuals(*shape)
    found = shrunk_covariance(x, "identity", degrees=shape[0])
    peer = LedoitWolf().fit(x)
    assert found.shrinkage == pytest.approx(peer.shrinkage_, abs=1e-12)
    np.testing.assert_allclose(found.covariance, peer.covariance_, rtol=1e-10)


@pytest.mark.parametrize("towards", ["diagonal", "identity"])
def test_shrinkage_beats_the_sample_and_ends_at_one(towards):
    rng = np.random.default_rng(0)
    truth = np.diag(rng.uniform(1, 2, 20))
    x = rng.standard_normal((30, 20)) * np.sqrt(np.diag(truth))
    found = shrunk_covariance(x, towards)
    error = [np.linalg.norm(c - truth) for c in (found.covariance, np.cov(x.T))]
    assert error[0] < 0.7 * error[1]
    assert 0.3 < found.shrinkage <= 1
    only = shrunk_covariance(np.array([[1.0], [2.0], [4.0]]), towards)
    assert only.shrinkage == 1
    np.testing.assert_allclose(only.covariance, [[7 / 3]])


def test_degrees_of_freedom_scale():
    x = residuals()
    whole, fewer = shrunk_covariance(x), shrunk_covariance(x, degrees=26)
    np.testing.assert_allclose(fewer.covariance * 26, whole.covariance * 39)
    assert fewer.shrinkage == whole.shrinkage


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_roots_free_rows(dtype, order):
    c = shrunk_covariance(residuals()).covariance
    p = np.asarray(precision_of(c), dtype=dtype, order=order)
    np.testing.assert_allclose(p @ c, np.eye(12), atol=1e-10 if dtype == np.float64 else 1e-4)
    x = residuals(9).astype(dtype)
    expected = x @ p @ x.T
    free = whitened(x.copy(), np.asarray(factor(p), order=order))
    np.testing.assert_allclose(free @ free.T, expected, rtol=1e-10 if dtype == np.float64 else 1e-3)


@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors(pretend_gpu, monkeypatch):
    if pretend_gpu:
        monkeypatch.setattr(noise, "on_cpu", lambda *x: (x, lambda y: y))
    x = residuals()
    for towards in ("diagonal", "identity"):
        found = shrunk_covariance(torch.tensor(x), towards)
        expected = shrunk_covariance(x, towards)
        np.testing.assert_allclose(found.covariance.numpy(), expected.covariance, rtol=1e-9)
        assert found.shrinkage == pytest.approx(expected.shrinkage)
    p = precision_of(found.covariance)
    np.testing.assert_allclose(p.numpy(), np.linalg.inv(expected.covariance), rtol=1e-8)
    with pytest.raises(DataError, match="not positive definite"):
        precision_of(torch.ones(3, 3, dtype=torch.float64))
    root = factor(p)
    free = whitened(torch.tensor(x), root)
    np.testing.assert_allclose((free @ free.T).numpy(), x @ p.numpy() @ x.T, rtol=1e-8)


def test_mistakes_are_named():
    x = residuals()
    x[:, 4] = 0.1
    with pytest.raises(DataError, match="feature 4 of the residuals never varies"):
        shrunk_covariance(x)
    np.linalg.cholesky(shrunk_covariance(x, "identity").covariance)
    with pytest.raises(DataError, match="never varies"):
        shrunk_covariance(np.ones((5, 2)), "identity")
    with pytest.raises(DataError, match="2 residual rows"):
        shrunk_covariance(x[:2])
    x[3, 4] = np.inf
    with pytest.raises(DataError, match="row 3, feature 4"):
        shrunk_covariance(x)
    with pytest.raises(DataError, match="not positive definite: estimate it with shrinkage"):
        precision_of(np.ones((3, 3)))
    with pytest.raises(DataError, match="not symmetric"):
        factor(np.tril(np.ones((3, 3))))
    with pytest.raises(DataError, match="precision has 1 values that are NaN"):
        factor(np.diag([1.0, np.nan, 1.0]))
