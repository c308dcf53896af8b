"""Several models on the same draws, against a loop that copies and scores the rows of each draw."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import StriateError
from striate.scores import SCORES, bootstrap, interval
from striate.scores import paired as module
from striate.scores.paired import Side, paired, shared_things, two_sided


def slow(sides, things, score, draws, seed):
    """Means and medians over targets, (model, draw, group), by copying the rows of each draw."""
    counts = np.random.default_rng(seed).multinomial(things, np.full(things, 1 / things), draws)
    models, inside = len(sides[0].predicted), np.concatenate([s.groups for s in sides])
    mean, median = np.full((2, models, draws, inside.shape[1]), np.nan)
    for d, count in enumerate(counts):
        for m in range(models):
            values = []
            for side in sides:
                own = np.arange(len(side.truth))
                if side.place.ndim == 1:
                    often = count[side.place]
                else:
                    i, j = side.place.T
                    often = np.where(i == j, 0, count[i] * count[j])
                rows = np.repeat(own, often)
                values.append(SCORES[score](side.truth[rows], side.predicted[m][rows]))
            value = np.concatenate(values)
            for g in range(inside.shape[1]):
                kept = value[inside[:, g] & ~np.isnan(value)]
                if len(kept):
                    mean[m, d, g], median[m, d, g] = kept.mean(), np.median(kept)
    return mean, median


def made(rng, rows=30, targets=6, models=3, things=None):
    truth = rng.standard_normal((rows, targets))
    predicted = [truth + s * rng.standard_normal((rows, targets)) for s in (0.5, 1, 3)[:models]]
    place = np.arange(rows) if things is None else rng.integers(0, things, rows)
    return Side(truth, predicted, place, np.ones((targets, 1), dtype=bool))


@pytest.mark.parametrize("score", ["pearson", "r2", "mse"])
def test_equals_the_loop_over_subjects_units_and_regions(score):
    rng = np.random.default_rng(1)
    one, two = made(rng, things=12), made(rng, rows=20, targets=4, things=12)
    one.truth[3:6, 1] = np.nan
    one.predicted[1][:, 2] = 7.0  # flat
    masks = rng.random((10, 3)) < 0.6
    sides = [
        Side(s.truth, s.predicted, s.place, m)
        for s, m in zip((one, two), (masks[:6], masks[6:]), strict=True)
    ]
    found = paired(sides, 12, score, draws=40, seed=5)
    mean, median = slow(sides, 12, score, 40, 5)
    np.testing.assert_allclose(found.mean, mean, atol=2e-5, rtol=2e-5)
    np.testing.assert_allclose(found.median, median, atol=2e-5, rtol=2e-5)


def test_pairs_of_stimuli_are_drawn_by_stimulus():
    rng = np.random.default_rng(2)
    i, j = np.triu_indices(7, 1)
    truth = rng.standard_normal((len(i), 3))
    side = Side(
        truth,
        [truth + rng.standard_normal(truth.shape)],
        np.stack([i, j], axis=1),
        np.eye(3, dtype=bool),
    )
    found = paired([side], 7, "pearson", draws=30, seed=3)
    mean, median = slow([side], 7, "pearson", 30, 3)
    np.testing.assert_allclose(found.mean, mean, atol=1e-5)
    np.testing.assert_allclose(found.median, median, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 999),
    score=st.sampled_from(sorted(SCORES)),
    offset=st.sampled_from([0.0, 1e4]),
    gaps=st.booleans(),
)
def test_equals_bootstrap_target_by_target(seed, score, offset, gaps):
    rng = np.random.default_rng(seed)
    side = made(rng, rows=25, targets=4, models=2)
    side.truth[:] += offset
    for p in side.predicted:
        p += offset
    if gaps:
        side.truth[rng.random(side.truth.shape) < 0.1] = np.nan
    side = Side(side.truth, side.predicted, side.place, np.eye(4, dtype=bool))
    found = paired([side], 25, score, draws=20, seed=seed).mean
    for own, p in zip(found, side.predicted, strict=True):
        wanted = bootstrap(side.truth, p, score, 20, seed=seed)
        np.testing.assert_allclose(own, wanted, atol=1e-5, rtol=1e-5)


def test_a_column_that_loses_its_variance_in_a_draw_counts_as_flat():
    truth = np.zeros((40, 1))
    truth[0] = 1.0
    predicted = np.random.default_rng(0).standard_normal((40, 1))
    side = Side(truth, [predicted], np.arange(40), np.ones((1, 1), dtype=bool))
    found = paired([side], 40, draws=200, seed=1).mean[0]
    wanted = bootstrap(truth, predicted, draws=200, seed=1)
    assert 0.2 < (wanted == 0).mean() < 0.6
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_threads_and_batches_change_nothing(monkeypatch):
    side = made(np.random.default_rng(3), targets=50)
    whole = paired([side], 30, draws=50)
    np.testing.assert_array_equal(whole.mean, paired([side], 30, draws=50, threads=4).mean)
    monkeypatch.setattr(module, "HELD_BYTES", 4 * 3 * 50 * 7)
    parts = paired([side], 30, draws=50)
    np.testing.assert_allclose(whole.mean, parts.mean, atol=1e-7)
    np.testing.assert_allclose(whole.median, parts.median, atol=1e-7)


def test_memory_stays_within_what_is_held(monkeypatch):
    monkeypatch.setattr(module, "HELD_BYTES", 2**22)
    monkeypatch.setattr(module, "CACHE_BYTES", 2**18)
    side = made(np.random.default_rng(3), rows=60, targets=4000)
    paired([side], 60, draws=2)
    tracemalloc.start()
    try:
        paired([side], 60, draws=400)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 2**22 < peak < 8 * 2**22


def test_a_planted_difference_is_found_and_none_is_not():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((100, 20))
    near, alike = (truth + 1.5 * rng.standard_normal(truth.shape) for _ in range(2))
    far = truth + 2.5 * rng.standard_normal(truth.shape)
    side = Side(truth, [near, alike, far, near], np.arange(100), np.ones((20, 1), dtype=bool))
    mean = paired([side], 100).mean[:, :, 0]
    low, high = interval(mean[0] - mean[2])
    assert low > 0.1
    assert high < 0.4
    assert two_sided(mean[0] - mean[2]) == pytest.approx(2 / 1001)
    assert two_sided(mean[2] - mean[0]) == pytest.approx(2 / 1001)
    assert two_sided(mean[0] - mean[1]) > 0.05
    assert two_sided(mean[0] - mean[3]) == 1.0


@pytest.mark.slow
def test_intervals_of_equal_models_hold_zero_as_often_as_they_say():
    inside, low_p, worlds = 0, 0, 300
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        truth = rng.standard_normal((80, 5))
        # Errors of one stimulus are shared by all targets: targets are not independent.
        models = [
            truth + rng.standard_normal((80, 1)) + rng.standard_normal(truth.shape)
            for _ in range(2)
        ]
        side = Side(truth, models, np.arange(80), np.ones((5, 1), dtype=bool))
        mean = paired([side], 80, draws=300, seed=seed).mean[:, :, 0]
        low, high = interval(mean[0] - mean[1])
        inside += low <= 0 <= high
        low_p += two_sided(mean[0] - mean[1]) <= 0.05
    assert 0.90 < inside / worlds < 0.98
    assert 0.02 < low_p / worlds < 0.10


def test_two_sided_leaves_nan_out():
    draws = np.array([[0.1, np.nan, -1], [0.2, np.nan, np.nan], [-0.1, np.nan, -1]])
    np.testing.assert_allclose(two_sided(draws), [1.0, np.nan, 2 / 3])


def test_shared_things_are_numbered_across_lists():
    count, (a, b) = shared_things([np.array(["u", "v"]), np.array([["w", "u"]])])
    assert count == 3
    assert a[0] == b[0, 1]
    assert len({*a, *b.ravel()}) == 3


def test_mistakes_are_told():
    side = made(np.random.default_rng(0))
    with pytest.raises(StriateError, match="peersan"):
        paired([side], 30, "peersan")
    with pytest.raises(StriateError, match="draws = 0"):
        paired([side], 30, draws=0)
    side.predicted[0][0, 0] = np.nan
    with pytest.raises(StriateError, match="NaN or infinite"):
        paired([side], 30)
