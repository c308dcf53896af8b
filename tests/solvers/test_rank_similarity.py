"""Rank similarities are scipy's or those of their definition, with ties, in short and long rows."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from striate.errors import DataError, StriateError
from striate.solvers import _ranks, rank_similarity
from striate.solvers.rank_similarity import rank_need

KINDS = ["spearman", "rho_a", "kendall_tau_a", "kendall_tau_b"]


def vectors(rows, pairs, levels, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rows, pairs))
    a = np.round(a * levels) if levels else a
    a[:, 0], a[:, 1] = 9.0, -9.0  # never constant
    return a


def defined(kind, x, y):
    n = x.size
    if kind == "spearman":
        return stats.spearmanr(x, y).statistic
    if kind == "kendall_tau_b":
        return stats.kendalltau(x, y).statistic
    if kind == "rho_a":
        ranks = [stats.rankdata(v) - (n + 1) / 2 for v in (x, y)]
        return 12 * (ranks[0] @ ranks[1]) / (n**3 - n)
    signs = [np.sign(v[:, None] - v) for v in (x, y)]
    return (signs[0] * signs[1]).sum() / (n * (n - 1))


@settings(max_examples=15, deadline=None)
@given(
    rows=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pairs=st.integers(3, 70),
    levels=st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1), (5, 2)]),
    compiled=st.booleans(),
)
@pytest.mark.parametrize("kind", KINDS)
def test_same_as_defined_with_and_without_ties(kind, rows, pairs, levels, compiled):
    a, b = vectors(rows[0], pairs, levels[0]), vectors(rows[1], pairs, levels[1], seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_similarity, "SHORT", 0 if compiled else 20_000)
        got = getattr(rank_similarity, kind)(a, b)
    for i, j in np.ndindex(got.shape):
        np.testing.assert_allclose(got[i, j], defined(kind, a[i], b[j]), atol=1e-12)


@pytest.mark.parametrize("kind", ["spearman", "kendall_tau_b"])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_rows_are_scipys(kind, threads):
    a, b = vectors(2, 30_001, 0), vectors(1, 30_001, 0, seed=1) + vectors(1, 30_001, 300)
    got = getattr(rank_similarity, kind)(a, b, threads=threads)
    expected = [[defined(kind, x, y) for y in b] for x in a]
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize(
    "row",
    [
        np.r_[1e308, -1e308, np.linspace(-1, 1, 40)],  # the range overflows
        np.r_[5e-324, 0.0, 1e-323, 0.0, 5e-324],  # and its inverse
        np.r_[1e12, np.random.default_rng(0).random(500)],  # all but one share a key
        np.r_[np.tile([3.0, 1.0, 2.0], 200), -0.0, 0.0],
        np.arange(64.0)[::-1],
        np.array([2.0, 1.0]),
    ],
)
def test_order_of_any_range(row):
    found = _ranks.order(row)
    np.testing.assert_array_equal(row[found.items], np.sort(row))
    np.testing.assert_array_equal(found.slot, stats.rankdata(row, method="min") - 1)
    counts = np.unique(row, return_counts=True)[1]
    assert found.ties == (counts * (counts - 1) // 2).sum()
    ranks = np.empty(row.size, np.int32)
    _ranks.centred_ranks(row, ranks)
    np.testing.assert_array_equal(ranks, 2 * stats.rankdata(row) - (row.size + 1))


@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 300), seed=st.integers(0, 99))
def test_inversions_are_those_of_all_pairs(n, seed):
    sequence = np.random.default_rng(seed).permutation(n).astype(np.uint32)
    expected = np.triu(sequence[:, None] > sequence, 1).sum()
    assert _ranks._inversions(sequence.copy(), np.empty_like(sequence)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_and_types(kind, pretend_gpu, monkeypatch):
    a, b = vectors(2, 50, 3).astype(np.float32), vectors(3, 50, 0, 1).astype(np.float32)
    f = getattr(rank_similarity, kind)
    expected = f(a, b)
    assert expected.dtype == np.float32
    if pretend_gpu and not kind.startswith("kendall"):
        monkeypatch.setattr(rank_similarity, "on_cpu", lambda *x: (x, lambda y: y))
    got = f(torch.tensor(a), torch.tensor(b))
    assert isinstance(got, torch.Tensor)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_are_named(kind, monkeypatch):
    f, a = getattr(rank_similarity, kind), vectors(3, 20, 0)
    with pytest.raises(Exception, match="pair"):
        f(a, a[:, 1:])
    flat = a.copy()
    flat[1] = 0.3
    with pytest.raises(DataError, match="row 1 of b is constant"):
        f(a, flat)
    with pytest.raises(DataError, match="row 1 of a is constant"):
        f(flat, a)
    flat[1, 4] = np.nan
    with pytest.raises(DataError, match="row 1, pair 4"):
        f(flat, a)
    with pytest.raises(StriateError, match="3 RDMs of 20 pairs needs at least"):
        f(a, a, memory=1000)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["spearman", "kendall_tau_a"])
def test_memory_stays_within_what_is_stated(kind, threads):
    a, b = vectors(6, 50_000, 0), vectors(2, 50_000, 0, 1)
    f = getattr(rank_similarity, kind)
    whole = f(a, b, threads=1)
    need = rank_need(2, 50_000, threads)
    for batch in (1, 3):
        memory = need.fixed + batch * need.each
        tracemalloc.start()
        parts = f(a, b, memory=memory, threads=threads)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(parts, whole)
        assert 0.1 * memory < peak < memory
