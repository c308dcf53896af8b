"""Non-negative weights are scipy's, are never beaten by a member or the mean, and are fast."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from striate.errors import DataError
from striate.solvers.blends import mean, nonnegative


def members(m, rows, targets, seed=0, likeness=0.7):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(rows, targets))
    p = likeness * shared + rng.normal(size=(m, rows, targets)) * rng.uniform(0.2, 2, (m, 1, 1))
    return p + rng.normal(size=(m, 1, targets)), shared + rng.normal(size=(rows, targets)) + 3


def by_scipy(p, y, l2=0.0):
    weights = np.empty((p.shape[0], y.shape[1]))
    for t in range(y.shape[1]):
        a, b = (p[:, :, t] - p[:, :, t].mean(axis=1, keepdims=True)).T, y[:, t] - y[:, t].mean()
        a = np.vstack([a, l2**0.5 * np.eye(p.shape[0])])
        weights[:, t] = nnls(a, np.r_[b, np.zeros(p.shape[0])])[0]
    return weights, y.mean(axis=0) - (weights * p.mean(axis=1)).sum(axis=0)


def squared_error(blend, p, y):
    return ((y - blend.predict(p)) ** 2).sum(axis=0)


@pytest.mark.parametrize(("m", "rows"), [(1, 30), (3, 40), (24, 200), (10, 6)])
@pytest.mark.parametrize("l2", [0.0, 5.0])
def test_weights_are_scipys(m, rows, l2):
    p, y = members(m, rows, 60)
    blend = nonnegative(p, y, l2=l2)
    weights, intercept = by_scipy(p, y, l2)
    if l2 or rows > m:  # with more members than rows many weights fit alike
        np.testing.assert_allclose(blend.weights, weights, atol=1e-8)
        np.testing.assert_allclose(blend.intercept, intercept, atol=1e-8)
    assert (blend.weights >= 0).all()
    error = ((y - np.einsum("mt,mrt->rt", weights, p) - intercept) ** 2).sum(axis=0)
    np.testing.assert_allclose(squared_error(blend, p, y), error, rtol=1e-8, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 8),
    rows=st.integers(2, 30),
    twins=st.sampled_from([None, 0.0, 1e-12, 1e-7]),
    constant=st.booleans(),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_never_worse_than_a_member_or_the_mean(m, rows, twins, constant, scale, seed):
    p, y = members(m, rows, 5, seed)
    if twins is not None:
        p[-1] = p[0] + twins * np.random.default_rng(seed).normal(size=p[0].shape)
    if constant:
        p[m // 2] = 0.1
    p *= scale
    blend = nonnegative(p, y)
    error, total = squared_error(blend, p, y), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    slack = 1e-9 * total
    centred, aim = p - p.mean(axis=1, keepdims=True), y - y.mean(axis=0)
    for member in centred:
        size = (member**2).sum(axis=0)
        gain = np.clip((member * aim).sum(axis=0), 0, None) ** 2
        best = total - np.where(size > 1e-20 * scale**2, gain / np.where(size, size, 1), 0)
        assert (error <= best + slack).all()
    assert (error <= ((y - p.mean(axis=0)) ** 2).sum(axis=0) + slack).all()
    assert np.isfinite(blend.weights).all() and (blend.weights >= 0).all()


def test_types_follow_the_input():
    p, y = (a.astype(np.float32) for a in members(4, 50, 7))
    blend = nonnegative(p, y)
    assert blend.weights.dtype == blend.intercept.dtype == np.float32
    np.testing.assert_allclose(
        blend.weights, by_scipy(p.astype(float), y.astype(float))[0], atol=1e-6
    )
    tensors = nonnegative(torch.tensor(p), torch.tensor(y))
    np.testing.assert_array_equal(tensors.weights.numpy(), blend.weights)


def test_mean_is_the_mean():
    p, _ = members(5, 6, 3)
    np.testing.assert_allclose(mean(p).predict(p), p.mean(axis=0))
    assert mean(torch.tensor(p)).predict(torch.tensor(p)).shape == (6, 3)


def test_thousands_of_targets_are_one_batch():
    p, y = members(8, 50, 3000)
    start = time.perf_counter()
    weights = nonnegative(p, y).weights
    ours = time.perf_counter() - start
    start = time.perf_counter()
    expected = by_scipy(p[:, :, :300], y[:, :300])[0]
    scipys = 10 * (time.perf_counter() - start)
    np.testing.assert_allclose(weights[:, :300], expected, atol=1e-8)
    assert ours < 2 * scipys + 1  # typically several times faster; only a blunder fails


def test_mistakes_are_named():
    p, y = members(3, 10, 4)
    holed = p.copy()
    holed[2, 5, 1] = np.nan
    with pytest.raises(DataError, match=r"member 2 has 1 values .* row 5, target 1"):
        nonnegative(holed, y)
    with pytest.raises(DataError, match="l2 = -1"):
        nonnegative(p, y, l2=-1.0)
