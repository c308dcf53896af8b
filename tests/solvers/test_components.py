"""Principal components against scikit-learn's full decomposition, held and in pieces."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from striate.errors import DataError, StriateError
from striate.solvers.components import (
    components_need,
    principal_components,
    streamed_components,
)

SHAPES = [(60, 12), (40, 300), (50, 50), (51, 50), (50, 51)]


def problem(n, p, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, 8)) * np.geomspace(5, 0.5, 8)
    x = latent @ rng.standard_normal((8, p)) + 0.3 * rng.standard_normal((n, p)) + 5
    return x.astype(dtype)


def reference(x, count):
    most = min(len(x) - 1, x.shape[1])
    count = min(count, most) if count >= 1 else count
    return PCA(count, svd_solver="full").fit(x.astype(np.float64))


def check(found, expected, atol):
    k = expected.n_components_
    basis = found.basis.astype(np.float64)
    assert basis.shape == (expected.n_features_in_, k)
    np.testing.assert_allclose(basis.T @ basis, np.eye(k), atol=atol)
    np.testing.assert_allclose(found.variance, expected.explained_variance_, rtol=10 * atol)
    np.testing.assert_allclose(found.mean, expected.mean_, rtol=1e-12)
    alike = np.abs((basis * expected.components_.T).sum(axis=0))
    np.testing.assert_allclose(alike, 1, atol=10 * atol)
    assert (basis.max(axis=0) >= -basis.min(axis=0)).all()


@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("count", [3, 0.9, 500])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_components_are_scikit_learns(n, p, count, dtype):
    x = problem(n, p, dtype=dtype)
    found, expected = principal_components(x, count), reference(x, count)
    check(found, expected, 1e-10 if dtype == np.float64 else 2e-6)
    assert found.basis.dtype == dtype
    whole = np.var(x.astype(np.float64), axis=0, ddof=1).sum()
    assert found.total == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("solver", ["exact", "randomized"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pieces_are_the_whole(n, p, solver, dtype):
    x = problem(n, p, dtype=dtype)
    whole = principal_components(x, 4, solver=solver)
    size = np.dtype(dtype).itemsize
    need = components_need(n, p, 4, solver=solver, itemsize=size)
    calls = []

    def read(part):
        calls.append(part.stop - part.start)
        return x[part]

    for memory in (need.fixed + need.each, need.fixed + 7 * need.each, 1 << 30):
        calls.clear()
        parts = streamed_components(read, n, p, 4, solver=solver, memory=memory, itemsize=size)
        assert (max(calls) == n) == (memory == 1 << 30)
        atol = 1e-10 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(parts.basis, whole.basis, atol=atol)
        np.testing.assert_allclose(parts.variance, whole.variance, rtol=1e-9)
        assert parts.total == pytest.approx(whole.total)


@pytest.mark.parametrize(("n", "p"), [(80, 200), (200, 80)])
def test_the_randomised_solver_finds_the_same_space_and_follows_its_seed(n, p):
    x = problem(n, p)
    exact = principal_components(x, 6, solver="exact")
    found = principal_components(x, 6, solver="randomized")
    check(found, reference(x, 6), 1e-6)
    np.testing.assert_allclose(found.basis @ found.basis.T, exact.basis @ exact.basis.T, atol=1e-6)
    again = principal_components(x, 6, solver="randomized")
    np.testing.assert_array_equal(found.basis, again.basis)
    other = principal_components(x, 6, solver="randomized", seed=1)
    assert not np.array_equal(found.basis, other.basis)
    np.testing.assert_allclose(found.basis, other.basis, atol=1e-5)


@pytest.mark.parametrize(("n", "p"), [(40, 90), (90, 40)])
@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_large_means_in_single_precision(n, p, mean):
    x = (problem(n, p) + mean).astype(np.float32)
    found, expected = principal_components(x, 3), reference(x, 3)
    check(found, expected, 2e-6)


@pytest.mark.parametrize(("n", "p"), [(40, 90), (90, 40)])
def test_steep_spectra_keep_orthonormal_directions(n, p):
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((k, 30)))[0] for k in (n, p))
    left -= left.mean(axis=0)
    x = (left * np.geomspace(1, 1e-5, 30)) @ right.T
    found, expected = principal_components(x, 29), reference(x, 29)
    k = found.basis.shape[1]
    assert k == 29
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(found.variance, expected.explained_variance_, rtol=1e-4)
    alike = np.abs((found.basis * expected.components_.T).sum(axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-4)


def test_directions_that_are_rounding_are_left_out():
    rng = np.random.default_rng(0)
    for n, p in ((40, 90), (90, 40)):
        low = rng.standard_normal((n, 5)) @ rng.standard_normal((5, p))
        for solver in ("exact", "randomized"):
            assert principal_components(low, 20, solver=solver).basis.shape == (p, 5)
        assert principal_components(low, 0.999999).basis.shape == (p, 5)
    doubled = np.repeat(rng.standard_normal((3, 8)), 2, axis=0)
    assert principal_components(doubled, 8).basis.shape == (8, 2)
    assert principal_components(doubled[1:3], 8).basis.shape == (8, 1)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(3, 30), p=st.integers(1, 30), count=st.integers(1, 40))
def test_any_shape(n, p, count):
    x = problem(n, p, seed=n * p)
    found, expected = principal_components(x, count), reference(x, count)
    scores = (x - found.mean) @ found.basis
    other = expected.transform(x)
    k = found.basis.shape[1]
    assert k == other.shape[1]
    np.testing.assert_allclose(scores @ scores.T, other @ other.T, atol=1e-6)


@pytest.mark.parametrize("solver", ["exact", "randomized"])
@pytest.mark.parametrize(("n", "p"), [(30, 60), (60, 30)])
def test_tensors_in_tensors_out(n, p, solver):
    x = problem(n, p, dtype=np.float32)
    expected = principal_components(x, 3, solver=solver)
    held = principal_components(torch.tensor(x), 3, solver=solver)
    # nothing is turned into NumPy on this way, which is that of a GPU
    read = torch.tensor(x)
    streamed = streamed_components(lambda part: read[part], n, p, 3, solver=solver)
    share = streamed_components(lambda part: read[part], n, p, 0.9)
    assert share.basis.shape == principal_components(x, 0.9).basis.shape
    for found in (held, streamed):
        assert isinstance(found.basis, torch.Tensor) and found.basis.dtype == torch.float32
        assert isinstance(found.variance, torch.Tensor)
        np.testing.assert_allclose(found.basis.numpy(), expected.basis, atol=2e-6)
        np.testing.assert_allclose(found.mean.numpy(), expected.mean, rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "p", "solver"), [(300, 6000, "exact"), (6000, 60, "exact"), (500, 400, "randomized")]
)
def test_temporaries_stay_within_what_is_stated(n, p, solver):
    x = problem(n, p, dtype=np.float32)
    need = components_need(n, p, 5, solver=solver, itemsize=4)

    def read(part):  # with the copies that a lazy transformation makes
        copies = [x[part].copy() for _ in range(4)]
        return copies[0]

    for memory in (need.fixed + 20 * need.each, need.fixed + 100 * need.each):
        tracemalloc.start()
        found = streamed_components(read, n, p, 5, solver=solver, memory=memory, itemsize=4)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < memory + found.basis.nbytes + 50_000
    with pytest.raises(StriateError, match=f"pca of {p:,} features on {n:,} rows needs at least"):
        streamed_components(read, n, p, 5, solver=solver, memory=need.fixed, itemsize=4)


def test_mistakes_are_named():
    x = problem(20, 6)
    holed = x.copy()
    holed[13, 4] = np.nan
    with pytest.raises(DataError, match=r"x, from row 0 on, has 1 values.*row 13, feature 4"):
        principal_components(holed, 2)
    with pytest.raises(DataError, match="none of the 6 features varies over the 20 rows"):
        principal_components(np.full((20, 6), 1e6 / 3), 2)
    with pytest.raises(DataError, match="at least two rows"):
        principal_components(x[:1], 2)
    with pytest.raises(DataError, match="0 components"):
        principal_components(x, 0)
    with pytest.raises(DataError, match="cannot be found by the randomised solver"):
        principal_components(x, 0.5, solver="randomized")
    with pytest.raises(DataError, match="x is int"):
        streamed_components(lambda part: x[part].astype(int), 20, 6, 2)
    with pytest.raises(DataError, match=r"rows 0 to 20 were read with shape \(20, 5\)"):
        streamed_components(lambda part: x[part, :5], 20, 6, 2)
