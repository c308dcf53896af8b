"""Searches find planted weights, walk SciPy's way, and never lose to a plain mix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, differential_evolution

from striate.errors import DataError
from striate.solvers import ensemble_search
from striate.solvers._arrays import workers
from striate.solvers.ensemble import (
    correlations,
    correlations_of,
    member_correlations,
    member_grams,
)
from striate.solvers.ensemble_search import (
    _Objective,
    correlation_weights,
    evolution,
    normalised,
    target_weights,
)


def made(members, rows=60, targets=40, seed=0, noise=1.0):
    """Members from nearly right to nearly noise."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((rows, targets))
    size = np.geomspace(0.5, 3, members)[:, None, None]
    p = shared + size * rng.standard_normal((members, rows, targets))
    return p, shared + noise * rng.standard_normal((rows, targets))


def mean_correlation(p, y, w):
    """The objective as it is published: from the rows."""
    mixed = np.einsum("m,mrt->rt", w, p)
    mixed = mixed - mixed.mean(axis=0)
    aim = y - y.mean(axis=0)
    size = np.sqrt((mixed**2).sum(axis=0) * (aim**2).sum(axis=0))
    return ((mixed * aim).sum(axis=0) / np.where(size, size, 1)).mean()


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 1.0)])
def test_evolution_goes_scipys_way_on_the_rows(bounds):
    p, y = made(4)
    direct = differential_evolution(
        lambda w: -mean_correlation(p, y, w),
        [bounds] * 4,
        tol=0.01,
        maxiter=12,
        popsize=6,
        seed=np.random.default_rng(3),
        polish=False,
        updating="deferred",
    )
    grams = member_grams(p, y)
    options = {"bounds": bounds, "seed": 3, "maxiter": 12, "popsize": 6}
    ours = evolution(grams, **options)
    np.testing.assert_allclose(ours.x, direct.x, rtol=1e-12)
    np.testing.assert_allclose(ours.fun, direct.fun, rtol=1e-6)
    assert ours.nit == direct.nit > 2 and ours.nfev == direct.nfev
    found = correlation_weights(grams, method="evolution", polish=False, **options)
    np.testing.assert_allclose(found.weights, direct.x / direct.x.sum(), rtol=1e-12)
    assert found.evaluations == direct.nfev + 6  # and the end, beside the plain mixes
    polished = correlation_weights(grams, method="evolution", **options)
    assert found.value < polished.value < found.value + 0.05


@pytest.mark.parametrize("method", ["gradient", "evolution"])
def test_planted_weights_are_found(method):
    rng = np.random.default_rng(1)
    p = rng.standard_normal((4, 200, 30)) + 5
    truth = np.array([0.5, 0.3, 0.2, 0.0])
    y = 7 * np.einsum("m,mrt->rt", truth, p)
    found = correlation_weights(member_grams(p, y), method=method)
    np.testing.assert_allclose(found.weights, truth, atol=2e-3)
    assert 0.9999 < found.value <= 1 + 1e-12 and not found.beaten
    truth = np.array([0.8, 0.5, -0.3, 0.0])
    y = np.einsum("m,mrt->rt", truth, p)
    grams = member_grams(p, y)
    kept = correlation_weights(grams, method=method)
    assert kept.weights[2] < 1e-6 and kept.value < 0.99
    free = correlation_weights(grams, method=method, bounds=(-1.0, 1.0))
    np.testing.assert_allclose(free.weights, truth / truth.sum(), atol=5e-3)
    own = target_weights(grams, bounds=(-1, 1))
    np.testing.assert_allclose(own, np.repeat(truth[:, None], 30, axis=1), atol=1e-6)


def test_gradient_is_the_slope():
    p, y = made(5)
    y[:, 3] = 2.0
    p[1, :, 5] = 0.0
    with workers(1) as crew:
        objective = _Objective.of(member_grams(p, y), crew)
        for seed in range(3):
            w = np.random.default_rng(seed).uniform(-1, 1, 5)
            value, _ = objective.gradient(w)
            np.testing.assert_allclose(value, mean_correlation(p, y, w), atol=1e-12)
            np.testing.assert_allclose(objective.values(w[None]), value, atol=1e-12)
            off = check_grad(
                lambda x: objective.gradient(x)[0], lambda x: objective.gradient(x)[1], w
            )
            assert off < 1e-6


def test_gradient_reaches_what_evolution_reaches():
    p, y = made(6, targets=1100)  # several blocks
    grams = member_grams(p, y)
    evolved = correlation_weights(grams, method="evolution", polish=False)
    climbed = correlation_weights(grams)
    assert evolved.value - 1e-7 < climbed.value < evolved.value + 1e-3
    np.testing.assert_allclose(climbed.weights, evolved.weights, atol=0.08)
    assert climbed.evaluations < 600
    two = correlation_weights(grams, threads=2)
    np.testing.assert_allclose(two.weights, climbed.weights, atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(
    members=st.integers(1, 6),
    rows=st.integers(2, 25),
    targets=st.integers(1, 6),
    bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 0.2), (-0.1, 3.0)]),
    trap=st.sampled_from(["", "twins", "flat", "idle", "negative", "huge"]),
    seed=st.integers(0, 999),
)
def test_never_worse_than_plain_mixes(members, rows, targets, bounds, trap, seed):
    p, y = made(members, rows, targets, seed)
    if trap == "twins":
        p[-1] = p[0]
    if trap == "flat":
        y[:, 0] = 0.7
    if trap == "idle":
        p[0] = 0.3
    if trap == "negative":
        p *= -1
    if trap == "huge":
        p[0] *= 1e6
    grams = member_grams(p, y)
    plain = np.concatenate([np.full((1, members), 1 / members), np.eye(members)])
    least = correlations(grams, plain).mean(axis=1).max()
    options = {"bounds": bounds, "seed": seed, "maxiter": 3, "popsize": 3}
    for method in ("gradient", "evolution"):
        found = correlation_weights(grams, method=method, starts=3, **options)
        assert found.value >= least - 1e-9
        np.testing.assert_allclose(found.value, mean_correlation(p, y, found.weights), atol=1e-6)
        assert np.isfinite(found.weights).all()
        if bounds[0] == 0:
            assert (found.weights >= 0).all()
            np.testing.assert_allclose(found.weights.sum(), 1)
    own = target_weights(grams, bounds=bounds)
    best = correlations(grams, plain).max(axis=0)
    assert (correlations_of(grams, own) >= best - 1e-7).all()
    assert np.isfinite(own).all()


def test_a_search_that_ends_below_a_plain_mix_is_replaced(monkeypatch):
    p, y = made(3)
    grams = member_grams(p, y)
    monkeypatch.setattr(_Objective, "climb", lambda self, w, low, high: np.array([0.0, 0.0, 1.0]))
    found = correlation_weights(grams)
    assert found.beaten
    plain = [correlations(grams, w).mean() for w in (np.ones(3), *np.eye(3))]
    np.testing.assert_allclose(found.value, max(plain))


def test_own_weights_are_the_best_of_each_target():
    p, y = made(4, targets=5)
    grams = member_grams(p, y)
    for bounds in ((0.0, 1.0), (-1.0, 1.0)):
        own = target_weights(grams, bounds=bounds)
        r = correlations_of(grams, own)
        for t in range(5):
            searched = correlation_weights(grams.at([t]), bounds=bounds)
            np.testing.assert_allclose(r[t], searched.value, atol=1e-7)
            np.testing.assert_allclose(own[:, t], searched.weights, atol=2e-3)
    assert (r >= member_correlations(grams).max(axis=0)).all()


def test_order_of_members_changes_nothing():
    p, y = made(6)
    turn = np.array([3, 1, 5, 0, 2, 4])
    one, two = (
        correlation_weights(member_grams(p, y)),
        correlation_weights(member_grams(p[turn], y)),
    )
    np.testing.assert_allclose(two.weights, one.weights[turn], atol=1e-4)
    np.testing.assert_allclose(two.value, one.value, atol=1e-9)
    a, b = (target_weights(member_grams(q, y)) for q in (p, p[turn]))
    np.testing.assert_allclose(b, a[turn], atol=1e-9)


def test_scale_of_members_counts_only_where_they_are_raw():
    p, y = made(3)
    larger = p * np.array([1.0, 50.0, 0.02])[:, None, None]
    raw = correlation_weights(member_grams(larger, y))
    same = correlation_weights(member_grams(p, y))
    np.testing.assert_allclose(raw.value, same.value, atol=1e-6)
    one = correlation_weights(member_grams(p, y).zscored())
    two = correlation_weights(member_grams(larger, y).zscored())
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-5)


def test_one_member_and_one_start():
    p, y = made(1)
    assert correlation_weights(member_grams(p, y)).weights.tolist() == [1.0]
    p, y = made(3)
    grams = member_grams(p, y)
    np.testing.assert_allclose(
        correlation_weights(grams, starts=1).value, correlation_weights(grams).value, atol=1e-7
    )


def test_bounds_above_zero_hold():
    p, y = made(3)
    found = correlation_weights(member_grams(p, y), bounds=(0.2, 1.0))
    assert found.weights.min() / found.weights.max() >= 0.2 - 1e-9
    with pytest.raises(DataError, match='each = "group"'):
        target_weights(member_grams(p, y), bounds=(0.2, 1.0))


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (-1.0, 0.0), (0.0, np.inf), (0.5, 0.5)])
def test_bounds_need_a_positive_weight(bounds):
    with pytest.raises(DataError, match="such as \\[0, 1\\]"):
        correlation_weights(member_grams(*made(2)), bounds=bounds)


def test_nothing_varies():
    p, y = made(3)
    for q, t in ((p, 0 * y), (0 * p, y)):
        found = correlation_weights(member_grams(q, t))
        assert found.value == 0
        np.testing.assert_allclose(found.weights.sum(), 1)


def test_negative_sums_keep_the_sign_of_the_ensemble():
    w = np.array([0.2, -1.0])
    assert np.corrcoef(w, normalised(w))[0, 1] > 0.999
    np.testing.assert_allclose(normalised(w).sum(), -1)
    np.testing.assert_allclose(normalised(np.zeros(2)), 0)


def test_blocks_are_summed(monkeypatch):
    p, y = made(4)
    grams = member_grams(p, y)
    whole = correlation_weights(grams)
    monkeypatch.setattr(ensemble_search, "BLOCK", 7)
    np.testing.assert_allclose(correlation_weights(grams).weights, whole.weights, atol=1e-6)
