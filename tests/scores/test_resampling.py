"""The bootstrap by weights against scoring every resampled copy."""

import numpy as np
import pytest
from scipy import stats

from striate import scores
from striate.errors import StriateError
from striate.scores import resampling


def pair(rows=30, targets=5, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((rows, targets)) * 3 + 7
    return truth, truth + noise * 3 * rng.standard_normal((rows, targets))


def counts_of(things, draws, seed):
    return np.random.default_rng(seed).multinomial(things, [1 / things] * things, size=draws)


@pytest.mark.parametrize("name", ["pearson", "r2", "mse"])
@pytest.mark.parametrize("missing", [False, True])
def test_equals_scoring_every_resampled_copy(name, missing):
    truth, predicted = pair()
    truth[:, 4] = np.r_[np.full(27, 2.5), 1.0, 2.0, 3.0]  # Some draws see no variance.
    if missing:
        truth[4:11, 1] = np.nan
        truth[3:, 2] = np.nan  # Some draws see fewer than three rows.
    found = scores.bootstrap(truth, predicted, name, draws=200, seed=3)
    for draw, counts in zip(found, counts_of(30, 200, 3), strict=True):
        rows = np.repeat(np.arange(30), counts)
        expected = scores.SCORES[name](truth[rows], predicted[rows])
        np.testing.assert_allclose(draw, expected, rtol=1e-9, atol=1e-12)
    if missing:
        assert 0 < np.isnan(found[:, 2]).sum() < 200


@pytest.mark.parametrize("labels", [np.arange(30) // 4, np.array(list("abcab" * 6))])
def test_groups_are_drawn_whole(labels):
    truth, predicted = pair()
    names = np.unique(labels)
    found = scores.bootstrap(truth, predicted, draws=50, groups=labels, seed=1)
    for draw, counts in zip(found, counts_of(len(names), 50, 1), strict=True):
        rows = np.concatenate(
            [np.tile(np.flatnonzero(labels == g), n) for g, n in zip(names, counts, strict=True)]
        ).astype(int)
        np.testing.assert_allclose(draw, scores.pearson(truth[rows], predicted[rows]), atol=1e-12)


def test_pairs_equal_resampled_rdms_without_self_pairs():
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(9, 1)
    truth, predicted = rng.random((36, 3)), rng.random((36, 3))
    place = np.full((9, 9), -1)
    place[first, second] = place[second, first] = np.arange(36)
    pairs = np.stack([first, second], axis=1)
    found = scores.bootstrap(truth, predicted, draws=40, pairs=pairs, seed=2)
    weights = scores.pair_weights(counts_of(9, 40, 2))
    for draw, counts, weight in zip(found, counts_of(9, 40, 2), weights, strict=True):
        drawn = np.repeat(np.arange(9), counts)
        rows = [place[i, j] for k, i in enumerate(drawn) for j in drawn[k + 1 :] if i != j]
        np.testing.assert_array_equal(np.bincount(rows, minlength=36), weight)
        np.testing.assert_allclose(draw, scores.pearson(truth[rows], predicted[rows]), atol=1e-12)
    shuffled = scores.pair_weights(counts_of(9, 40, 2), pairs[::-1])
    np.testing.assert_array_equal(shuffled, weights[:, ::-1])
    assert scores.pair_weights(np.array([[3, 1]]), np.array([[0, 0], [1, 0]])).tolist() == [[0, 3]]


def test_spearman_keeps_the_ranks_of_all_rows():
    truth, predicted = pair()
    ranked = stats.rankdata(truth, axis=0), stats.rankdata(predicted, axis=0)
    found = scores.bootstrap(truth, predicted, "spearman", draws=20)
    np.testing.assert_allclose(found, scores.bootstrap(*ranked, "pearson", draws=20), atol=1e-12)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_reducing_in_pieces_equals_reducing_at_once(how, monkeypatch):
    truth, predicted = pair(targets=11)
    truth[:, 3] = np.nan
    membership = np.zeros((11, 3), dtype=bool)
    membership[:6, 0] = membership[4:, 1] = membership[3, 2] = True
    full = scores.bootstrap(truth, predicted, draws=33)
    monkeypatch.setattr(resampling, "HELD_BYTES", 8 * 11 * 10)
    monkeypatch.setattr(resampling, "BATCH_BYTES", 4 * 8 * 30 * 2)
    found = scores.bootstrap(truth, predicted, draws=33, reduce=scores.over_targets(how))
    rois = scores.bootstrap(truth, predicted, draws=33, reduce=scores.over_targets(how, membership))
    average = np.mean if how == "mean" else np.median
    kept = np.delete(np.arange(11), 3)
    np.testing.assert_allclose(found, average(full[:, kept], axis=1), atol=1e-12)
    np.testing.assert_allclose(rois[:, 0], average(full[:, [0, 1, 2, 4, 5]], axis=1), atol=1e-12)
    np.testing.assert_allclose(rois[:, 1], average(full[:, 4:], axis=1), atol=1e-12)
    assert np.isnan(rois[:, 2]).all()


@pytest.mark.parametrize("targets", [1, 2, 7, 8, 801])
def test_medians_are_numpys(targets):
    rng = np.random.default_rng(targets)
    block = np.rint(rng.standard_normal((20, targets)) * 2) / 3
    inside = rng.random((targets, 3)) < 0.6
    inside[0], inside[:, 2] = True, False
    found = scores.over_targets("median", inside)(block)
    for k in (0, 1):
        np.testing.assert_array_equal(found[:, k], np.median(block[:, inside[:, k]], axis=1))
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_array_equal(scores.over_targets("median")(block), np.median(block, axis=1))
    block[3, 0] = np.nan
    found = scores.over_targets("median")(block)
    np.testing.assert_array_equal(found[4:], np.median(block[4:], axis=1))
    assert found[3] == np.median(block[3, 1:]) if targets > 1 else np.isnan(found[3])


def test_any_function_of_the_draws_reduces():
    truth, predicted = pair()
    ceiling = np.array([0.5, 0.5, 0.0, 1.0, 1.0])
    over = scores.over_targets("mean")
    found = scores.bootstrap(
        truth, predicted, draws=10, reduce=lambda block: over(scores.normalise(block, ceiling))
    )
    full = scores.bootstrap(truth, predicted, draws=10)[:, [0, 1, 3, 4]]
    np.testing.assert_allclose(found, (full / np.sqrt([0.5, 0.5, 1, 1])).mean(axis=1))


def test_intervals_cover_as_often_as_they_say():
    """Planted r = .6 with 60 rows: 90 % intervals must cover it in about 90 % of targets."""
    rng = np.random.default_rng(7)
    predicted = rng.standard_normal((60, 400))
    truth = 0.6 * predicted + 0.8 * rng.standard_normal((60, 400))
    low, high = scores.interval(scores.bootstrap(truth, predicted, draws=400), level=0.9)
    assert 0.83 < np.mean((low < 0.6) & (high > 0.6)) < 0.95


def test_interval_is_the_percentile_of_what_is_not_nan():
    draws = np.random.default_rng(0).standard_normal((101, 4))
    draws[5:60, 1] = np.nan
    draws[:, 2] = np.nan
    draws[1:, 3] = np.nan
    low, high = scores.interval(draws, level=0.8)
    for i in (0, 1, 3):
        some = draws[~np.isnan(draws[:, i]), i]
        np.testing.assert_allclose([low[i], high[i]], np.quantile(some, [0.1, 0.9]))
    assert np.isnan(low[2]) and np.isnan(high[2])
    with pytest.raises(StriateError, match=r"level = 95.* such as 0\.95"):
        scores.interval(draws, level=95.0)


def test_pairing_sees_a_small_difference_that_single_intervals_hide():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((120, 30)) + rng.standard_normal((120, 1))
    noise = rng.standard_normal(truth.shape)
    over = scores.over_targets("median")
    better = scores.bootstrap(truth, truth + 1.9 * noise, draws=300, reduce=over)
    worse = scores.bootstrap(truth, truth + 2.1 * noise, draws=300, reduce=over)
    assert scores.interval(better)[0] < scores.interval(worse)[1]
    low, high = scores.paired_interval(better, worse)
    assert 0 < low < np.median(better) - np.median(worse) < high < 0.1
    assert scores.paired_interval(better, better) == (0, 0)


def test_what_cannot_be_resampled_is_refused():
    truth, predicted = pair()
    with pytest.raises(StriateError, match="unknown score 'person'"):
        scores.bootstrap(truth, predicted, "person")
    with pytest.raises(StriateError, match="draws = 0"):
        scores.bootstrap(truth, predicted, draws=0)
    with pytest.raises(StriateError, match="groups and pairs"):
        scores.bootstrap(
            truth, predicted, groups=np.zeros(30, int), pairs=np.zeros((30, 2), dtype=int)
        )
    predicted[0, 0] = np.nan
    with pytest.raises(StriateError, match="1 of 150"):
        scores.bootstrap(truth, predicted)
