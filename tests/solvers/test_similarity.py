"""Similarities between RDMs are scipy's, all at once; layer weights are scipy's nnls."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import nnls

from striate.errors import DataError
from striate.solvers import similarity


def vectors(rows, pairs, levels, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rows, pairs))
    a = np.round(a * levels) if levels else a
    a[:, 0], a[:, 1] = 9.0, -9.0  # never constant
    return a


@settings(max_examples=20, deadline=None)
@given(
    rows=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pairs=st.integers(3, 60),
    levels=st.sampled_from([0, 1, 5]),
)
@pytest.mark.parametrize("kind", ["pearson", "spearman", "kendall_tau_a"])
def test_same_as_scipy_with_and_without_ties(kind, rows, pairs, levels):
    a, b = vectors(rows[0], pairs, levels), vectors(rows[1], pairs, levels, seed=1)
    got = getattr(similarity, kind)(a, b)
    for i, j in np.ndindex(got.shape):
        if kind == "kendall_tau_a":
            signs = [np.sign(v[:, None] - v) for v in (a[i], b[j])]
            expected = (signs[0] * signs[1]).sum() / (pairs * (pairs - 1))
        else:
            expected = getattr(stats, kind + "r")(a[i], b[j]).statistic
        np.testing.assert_allclose(got[i, j], expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["pearson", "spearman", "kendall_tau_a"])
def test_tensors_and_types(kind):
    a, b = vectors(2, 50, 0).astype(np.float32), vectors(3, 50, 0, 1).astype(np.float32)
    f = getattr(similarity, kind)
    got = f(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(got.numpy(), f(a, b), rtol=1e-6)


def test_layer_weights_are_those_of_standardised_nnls():
    layers, noise = vectors(5, 100, 0) * 3 + 2, vectors(1, 100, 0, seed=2)[0]
    target = 0.5 * layers[0] + 0.2 * layers[3] + noise
    weights, intercept = similarity.nonnegative_layers(layers, target)
    expected, _ = nnls(stats.zscore(layers, axis=1).T, stats.zscore(target))
    np.testing.assert_allclose(weights * layers.std(axis=1) / target.std(), expected, atol=1e-9)
    fitted = weights @ layers + intercept
    np.testing.assert_allclose(fitted.mean(), target.mean())
    assert np.corrcoef(fitted, target)[0, 1] > 0.5


def test_mistakes_are_named():
    a = vectors(3, 20, 0)
    with pytest.raises(Exception, match="pair"):
        similarity.spearman(a, a[:, 1:])
    flat = a.copy()
    flat[1] = 0.3
    for f in (similarity.pearson, similarity.spearman, similarity.kendall_tau_a):
        with pytest.raises(DataError, match="row 1 of b is constant"):
            f(a, flat)
    flat[1, 4] = np.nan
    with pytest.raises(DataError, match="row 1, pair 4"):
        similarity.spearman(flat, a)
