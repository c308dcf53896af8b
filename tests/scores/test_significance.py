"""Permutation tests against full enumeration, scipy and their promised error rates."""

from itertools import permutations as every_order

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from striate import scores
from striate.errors import StriateError
from striate.scores import significance
from striate.scores.correlation import unit


def test_p_equals_a_plain_loop_over_the_same_orders():
    rng = np.random.default_rng(0)
    predicted = rng.standard_normal((25, 6))
    truth = 0.4 * predicted + rng.standard_normal((25, 6))
    truth[:7, 2] = np.nan
    truth[2:, 3] = np.nan
    truth[:, 4] = 1.5
    found = scores.permutation_p(truth, predicted, draws=60, seed=4)
    observed = scores.pearson(truth, predicted)
    count = np.zeros(6)
    for order in scores.permutations(25, 60, seed=4):
        count += scores.pearson(truth, predicted[order]) >= observed - 1e-10
    expected = (1 + count) / 61
    expected[3] = np.nan
    np.testing.assert_allclose(found, expected)
    assert found[4] == 1


@settings(deadline=None, max_examples=30)
@given(
    st.integers(2, 40),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from([1e-30, 1.0, 1e20]),
    st.integers(0, 99),
)
def test_close_calls_are_decided_in_double_precision(rows, targets, levels, scale, seed):
    """Few levels tie in most orders: rounding in single precision would miscount them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, levels + 1, (rows, targets)) * scale / 3
    predicted = (rng.integers(0, levels + 1, (rows, targets)) + 0.1).astype(np.float32)
    found = scores.permutation_p(truth, predicted, draws=40, seed=seed)
    orders = scores.permutations(rows, 40, None, seed)
    np.testing.assert_array_equal(found, in_double(truth, predicted, orders))


def in_double(truth, predicted, orders):
    """P values by the plain rule, all in double precision."""
    every = np.ones(truth.shape, dtype=bool)
    x = unit(truth.astype(float), every)[0]
    y = unit(predicted.astype(float), every)[0]
    least = (x * y).sum(axis=0) - significance.TIE
    count = sum(((x * y[order]).sum(axis=0) >= least).astype(int) for order in orders)
    return (1 + count) / (1 + len(orders)) if len(truth) >= 3 else np.full(count.shape, np.nan)


@pytest.mark.parametrize("stretch", [significance.STRETCH, 7, 1])
def test_long_sums_are_taken_in_stretches(stretch, monkeypatch):
    rng = np.random.default_rng(7)
    predicted = rng.standard_normal((1100, 40)).astype(np.float32)
    truth = 0.03 * predicted + rng.standard_normal(predicted.shape)
    truth[:, 30:] = np.rint(truth[:, 30:])
    predicted[:, 30:] = np.rint(predicted[:, 30:])
    monkeypatch.setattr(significance, "STRETCH", stretch)
    found = scores.permutation_p(truth, predicted, draws=50)
    orders = scores.permutations(1100, 50)
    np.testing.assert_array_equal(found, in_double(truth, predicted, orders))


def test_what_single_precision_leaves_open_is_all_that_it_can_be_off():
    rng = np.random.default_rng(8)
    worst = 0.0
    for heavy in (0.0, 1.0, 2.0):
        x = rng.standard_normal((significance.STRETCH, 500)) * np.exp(heavy * rng.random())
        x = unit(np.abs(x) ** (1 + heavy), np.ones(x.shape, dtype=bool))[0]
        single = x.astype(np.float32)
        for y in (x, -x, np.abs(x)):
            off = np.einsum("rt,rt->t", single, y.astype(np.float32)) - (x * y).sum(axis=0)
            worst = max(worst, float(np.abs(off).max()))
    assert 1e-9 < worst < significance.DOUBT / 4


def test_p_approaches_the_exact_test():
    rng = np.random.default_rng(1)
    predicted = rng.standard_normal((7, 3))
    truth = 0.5 * predicted + rng.standard_normal((7, 3))
    observed = scores.pearson(truth, predicted)
    exact = np.zeros(3)
    for order in every_order(range(7)):
        exact += scores.pearson(truth, predicted[list(order)]) >= observed - 1e-10
    exact /= 5040
    np.testing.assert_allclose(scores.permutation_p(truth, predicted, draws=4000), exact, atol=0.03)


def test_p_is_uniform_without_and_small_with_an_effect():
    rng = np.random.default_rng(2)
    predicted = rng.standard_normal((40, 600))
    truth = rng.standard_normal((40, 600))
    truth[:, :100] += predicted[:, :100]
    truth[:5, ::2] = np.nan
    p = scores.permutation_p(truth, predicted, draws=199)
    assert (p[:100] <= 0.05).mean() > 0.95
    assert 0.02 < (p[100:] <= 0.05).mean() < 0.09
    assert stats.kstest(p[100:], "uniform").pvalue > 0.001
    q = scores.fdr(p)
    assert (q[:100] <= 0.1).mean() > 0.9
    assert (q[100:] <= 0.1).mean() < 0.06
    # Prediction opposite to the truth is not significant: the test is one-sided.
    assert scores.permutation_p(truth[:, 1:100:2], -predicted[:, 1:100:2], draws=99).min() > 0.3


def test_groups_protect_from_rows_that_go_together():
    """Slow drifts inside movies correlate by chance; only permuting movies whole allows for it."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), 20)
    drift = np.repeat(rng.standard_normal((2, 12, 300)), 20, axis=1)
    truth, predicted = drift + 0.3 * rng.standard_normal((2, 240, 300))
    naive = scores.permutation_p(truth, predicted, draws=99)
    fair = scores.permutation_p(truth, predicted, draws=199, groups=groups)
    assert (naive <= 0.05).mean() > 0.25
    assert 0.015 < (fair <= 0.05).mean() < 0.09


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 50))
def test_groups_trade_places_whole_and_in_order(labels, seed):
    groups = np.array(labels)
    _, sizes = np.unique(groups, return_counts=True)
    if len(set(sizes)) == len(sizes):
        with pytest.raises(StriateError, match="differ in size"):
            scores.permutations(len(groups), 5, groups, seed)
        return
    orders = scores.permutations(len(groups), 5, groups, seed)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(len(groups)), (5, 1)))
    for order in orders:
        for g in np.unique(groups):
            came = order[groups == g]
            np.testing.assert_array_equal(came, np.flatnonzero(groups == groups[came[0]]))


def rdm(points):
    return np.abs(points[:, None] - points)


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.15, 1.0])
def test_rdm_p_equals_a_loop_over_permuted_images(weight):
    rng = np.random.default_rng(5)
    upper = np.triu_indices(8, 1)
    model = rdm(rng.standard_normal(8))
    subjects = weight * model[upper] + rng.random((4, 28))
    truth = subjects.T

    def mean_rho(square):
        return scores.spearman(truth, np.repeat(square[upper][:, None], 4, axis=1)).mean()

    observed = mean_rho(model)
    orders = scores.permutations(8, 99, seed=6)
    above = sum(mean_rho(model[np.ix_(o, o)]) >= observed - 1e-10 for o in orders)
    found = scores.permutation_p_rdm(model, subjects, draws=99, seed=6)
    assert found == pytest.approx((1 + above) / 100)


def test_rdm_p_holds_its_level_where_permuting_pairs_would_not():
    rng = np.random.default_rng(7)
    upper = np.triu_indices(14, 1)
    models = [rdm(rng.standard_normal(14)) for _ in range(150)]
    brains = [rdm(rng.standard_normal(14))[upper][None] for _ in range(150)]
    p = np.array(
        [scores.permutation_p_rdm(m, b, draws=99) for m, b in zip(models, brains, strict=True)]
    )
    assert 0.005 < (p <= 0.05).mean() < 0.11
    pairs = np.concatenate(brains).T, np.stack([m[upper] for m in models], axis=1)
    assert (scores.permutation_p(*pairs, draws=99) <= 0.05).mean() > 0.12
    good = scores.permutation_p_rdm(models[0], models[0][upper][None] + 0.1, draws=199)
    assert good == pytest.approx(1 / 200)


def test_rdms_that_do_not_fit_are_refused():
    model, subjects = rdm(np.arange(5.0)), np.random.default_rng(0).random((2, 10))
    with pytest.raises(StriateError, match="5 images has 10 pairs"):
        scores.permutation_p_rdm(model, subjects[:, 1:])
    subjects[0, 0] = np.nan
    with pytest.raises(StriateError, match="1 RDM values"):
        scores.permutation_p_rdm(model, subjects)
    with pytest.raises(StriateError, match="draws = 0"):
        scores.permutation_p(np.zeros((4, 1)), np.zeros((4, 1)), draws=0)


def test_fdr_is_benjamini_and_hochberg_over_what_was_tested():
    p = np.random.default_rng(0).random(50) ** 3
    q = scores.fdr(np.r_[p, np.nan])
    order = np.argsort(p)
    raw = p[order] * 50 / np.arange(1, 51)
    expected = np.empty(50)
    expected[order] = np.minimum.accumulate(raw[::-1])[::-1]
    np.testing.assert_allclose(q[:50], expected)
    assert np.isnan(q[50])
    assert np.isnan(scores.fdr(np.full(3, np.nan))).all()
    with pytest.raises(StriateError, match=r"1\.5 is no p value"):
        scores.fdr(np.array([0.1, 1.5]))


def test_threads_change_no_p_value():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((300, 1500))
    predicted = truth + 8 * rng.standard_normal(truth.shape)
    alone = scores.permutation_p(truth, predicted, 20)
    np.testing.assert_array_equal(scores.permutation_p(truth, predicted, 20, threads=3), alone)
    assert len(np.unique(alone)) > 5
