"""Grams and the correlations from them are those of the rows themselves."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import DataError, StriateError
from striate.solvers import ensemble
from striate.solvers.ensemble import (
    check_predictions,
    correlations,
    correlations_of,
    member_correlations,
    member_grams,
    member_grams_need,
    moments_of,
    side_by_side,
)


def made(members, rows, targets, seed=0, offset=3.0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((rows, targets))
    p = 0.7 * shared + rng.standard_normal((members, rows, targets)) + offset
    return p, shared + rng.standard_normal((rows, targets)) - offset


def by_rows(mixed, y):
    """Correlation of every target, from the rows."""
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(mixed.T, y.T, strict=True)])


@settings(max_examples=25, deadline=None)
@given(
    members=st.integers(1, 7),
    rows=st.integers(3, 40),
    targets=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_correlations_are_those_of_the_rows(members, rows, targets, seed):
    p, y = made(members, rows, targets, seed)
    grams = member_grams(p, y)
    rng = np.random.default_rng(seed)
    sets = rng.uniform(-1, 1, (3, members))
    found = correlations(grams, sets)
    for w, r in zip(sets, found, strict=True):
        np.testing.assert_allclose(r, by_rows(np.einsum("m,mrt->rt", w, p), y), atol=1e-9)
        np.testing.assert_allclose(correlations(grams, w), r, atol=1e-14)
    own = rng.uniform(-1, 1, (members, targets))
    expected = by_rows(np.einsum("mt,mrt->rt", own, p), y)
    np.testing.assert_allclose(correlations_of(grams, own), expected, atol=1e-9)
    product, power = moments_of(grams, own)
    ratio = product / np.sqrt(np.where(power > 0, power, 1.0) * grams.squares)
    np.testing.assert_allclose(ratio, expected, atol=1e-9)
    alone = np.stack([by_rows(q, y) for q in p])
    np.testing.assert_allclose(member_correlations(grams), alone, atol=1e-9)


def test_grams_are_numpys():
    p, y = made(3, 20, 300)
    grams = member_grams(p, y, threads=2)
    centred, aim = p - p.mean(axis=1, keepdims=True), y - y.mean(axis=0)
    full = np.einsum("irt,jrt->tij", centred, centred)
    np.testing.assert_allclose(grams.dense(), full, atol=1e-10)
    np.testing.assert_allclose(grams.products, np.einsum("mrt,rt->mt", centred, aim), atol=1e-10)
    np.testing.assert_allclose(grams.squares, (aim**2).sum(axis=0))
    np.testing.assert_allclose(grams.spread(), p.std(axis=1))
    np.testing.assert_allclose(grams.means, p.mean(axis=1))
    some = grams.at(np.array([7, 3]))
    np.testing.assert_array_equal(some.dense(), grams.dense()[[7, 3]])
    again = side_by_side([grams.at(slice(0, 100)), grams.at(slice(100, None))])
    np.testing.assert_array_equal(again.dense(), grams.dense())
    assert side_by_side([grams]) is grams
    scaled = member_grams(p / p.std(axis=1, keepdims=True), y)
    np.testing.assert_allclose(grams.zscored().dense(), scaled.dense(), atol=1e-9)
    np.testing.assert_allclose(grams.zscored().products, scaled.products, atol=1e-9)
    np.testing.assert_allclose(grams.zscored().means, scaled.means, atol=1e-9)


def test_what_does_not_vary_counts_as_zero():
    p, y = made(3, 30, 6)
    p[0] = 0.1
    p[1, :, 2] = 1e8 / 3
    y[:, 4] = -0.3
    grams = member_grams(p, y)
    assert grams.idle.tolist() == [[True] * 6, [t == 2 for t in range(6)], [False] * 6]
    assert grams.flat.tolist() == [t == 4 for t in range(6)]
    r = member_correlations(grams)
    assert (r[0] == 0).all() and r[1, 2] == 0 and (r[:, 4] == 0).all()
    assert (np.abs(r[2, [0, 1, 2, 3, 5]]) > 1e-3).all()
    found = correlations(grams, np.array([[1.0, 0, 0], [0.0, 0, 0]]))
    assert (found == 0).all()
    twins = member_grams(np.stack([p[2], p[2]]), y)
    assert (correlations(twins, np.array([1.0, -1.0])) == 0).all()


def test_types_and_tensors():
    p, y = (a.astype(np.float32) for a in made(3, 25, 8, offset=1e4))
    grams = member_grams(p, y)
    exact = member_grams(p.astype(np.float64), y.astype(np.float64))
    np.testing.assert_array_equal(grams.covariances, exact.covariances)
    tensors = member_grams(torch.tensor(p), torch.tensor(y))
    np.testing.assert_array_equal(tensors.covariances, grams.covariances)


def test_tensors_are_computed_where_they_lie(monkeypatch):
    p, y = made(3, 25, 8)
    monkeypatch.setattr(ensemble, "on_cpu", lambda *a: (a, lambda b: b))
    found = member_grams(torch.tensor(p), torch.tensor(y))
    expected = member_grams(p, y)
    for name in ("variances", "covariances", "products", "squares", "means"):
        own = getattr(found, name)
        assert isinstance(own, np.ndarray)
        np.testing.assert_allclose(own, getattr(expected, name), rtol=1e-12, atol=1e-12)


def test_memory_is_as_stated():
    p, y = made(8, 400, 600)
    need = member_grams_need(8, 400, 600)
    kept = 8 * (8 * 3 + 28 + 1) * 600
    assert kept <= need.fixed < 1.1 * kept
    memory = need.fixed + 40 * need.each
    tracemalloc.start()
    member_grams(p, y, memory=memory, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept < peak < memory + (1 << 20)
    with pytest.raises(StriateError, match="Grams of 8 members on 400 rows and 600 targets needs"):
        member_grams(p, y, memory=need.fixed)


def test_mistakes_are_named():
    p, y = made(2, 10, 4)
    with pytest.raises(DataError, match=r"for 10 rows of 4 targets but y has shape \(10, 3\)"):
        check_predictions(p, y[:, :3])
    with pytest.raises(DataError, match="hold nothing to blend"):
        check_predictions(p[:0], y)
    y[3, 2] = np.inf
    with pytest.raises(DataError, match=r"y has 1 values .* row 3, target 2"):
        member_grams(p, y)
