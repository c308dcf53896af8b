"""Scores of targets against scipy and scikit-learn, and the rules for NaN and zeros."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import config
from scipy import stats
from sklearn.metrics import mean_squared_error, r2_score

from striate import scores
from striate.errors import StriateError
from striate.scores import correlation


def pair(rows=40, targets=7, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((rows, targets))
    return truth.astype(dtype), (truth + rng.standard_normal((rows, targets))).astype(dtype)


def column_scores(t, p):
    return {
        "pearson": stats.pearsonr(t, p).statistic,
        "spearman": stats.spearmanr(t, p).statistic,
        "r2": r2_score(t, p),
        "mse": mean_squared_error(t, p),
    }


@pytest.mark.parametrize("name", sorted(scores.SCORES))
def test_agrees_with_scipy_and_sklearn_on_what_is_not_missing(name):
    truth, predicted = pair()
    truth[3:9, 2] = np.nan
    truth[::2, 5] = np.nan
    expected = []
    for t, p in zip(truth.T, predicted.T, strict=True):
        ok = ~np.isnan(t)
        expected.append(column_scores(t[ok], p[ok])[name])
    np.testing.assert_allclose(scores.SCORES[name](truth, predicted), expected, rtol=1e-12)
    np.testing.assert_array_equal(scores.rows_used(truth), [40, 40, 34, 40, 40, 20, 40])


def test_ties_share_their_mean_rank():
    rng = np.random.default_rng(1)
    t, p = rng.integers(0, 4, (30, 5)), rng.integers(0, 4, (30, 5))
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(t.T, p.T, strict=True)]
    np.testing.assert_allclose(scores.spearman(t, p), expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(scores.SCORES))
def test_batches_and_memory_maps_change_nothing(name, tmp_path, monkeypatch):
    truth, predicted = pair(targets=23, dtype=np.float32)
    whole = scores.SCORES[name](truth, predicted)
    np.save(tmp_path / "truth.npy", truth)
    mapped = np.load(tmp_path / "truth.npy", mmap_mode="r")
    monkeypatch.setattr(correlation, "BATCH_BYTES", 40 * 8 * 4)
    np.testing.assert_allclose(scores.SCORES[name](mapped, predicted), whole, rtol=1e-12)
    assert whole.dtype == np.float64


def test_float32_data_far_from_zero_keep_their_digits():
    truth, predicted = pair(rows=2000)
    far = (truth + 1e4).astype(np.float32)
    columns = zip(far.T.astype(float), predicted.T, strict=True)
    exact = [stats.pearsonr(a, b).statistic for a, b in columns]
    np.testing.assert_allclose(scores.pearson(far, predicted), exact, rtol=1e-12)


def test_what_never_varies_scores_zero_and_is_marked():
    truth, predicted = pair(targets=4)
    truth[:, 0] = 0.1
    predicted[:, 1] = 0.3
    truth[:37, 2] = np.nan  # Three rows are left: just enough.
    truth[:38, 3] = np.nan
    assert scores.flat(truth, predicted).tolist() == [True, True, False, False]
    for score in (scores.pearson, scores.spearman):
        value = score(truth, predicted)
        assert value[:2].tolist() == [0, 0]
        assert np.isfinite(value[2]) and np.isnan(value[3])
    value = scores.r2(truth, predicted)
    assert np.isnan(value).tolist() == [True, False, False, True]
    assert np.isnan(scores.mse(truth, predicted)).tolist() == [False, False, False, True]


@pytest.mark.parametrize("name", sorted(scores.SCORES))
def test_a_prediction_that_is_not_finite_is_counted(name):
    truth, predicted = pair()
    predicted[1, 2] = predicted[3, 4] = np.nan
    predicted[0, 0] = np.inf
    with pytest.raises(StriateError, match="3 of 280 predicted values"):
        scores.SCORES[name](truth, predicted)
    truth, predicted = pair()
    truth[0, 0] = -np.inf
    with pytest.raises(StriateError, match="1 true values are infinite"):
        scores.SCORES[name](truth, predicted)


def test_shapes_that_differ_are_refused_without_the_type_checker():
    config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(StriateError, match=r"\(4, 2\).*\(4, 3\)"):
            scores.pearson(np.zeros((4, 2)), np.zeros((4, 3)))
    finally:
        config.update("jaxtyping_disable", False)


numbers = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None, max_examples=60)
@given(
    st.data(),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
)
def test_any_shape_and_missing_pattern_gives_scores_in_range(data, shape):
    truth = data.draw(hnp.arrays(np.float64, shape, elements=numbers))
    predicted = data.draw(hnp.arrays(np.float64, shape, elements=numbers))
    truth[data.draw(hnp.arrays(bool, shape))] = np.nan
    enough = scores.rows_used(truth) >= 3
    for name, score in scores.SCORES.items():
        value = score(truth, predicted)
        assert value.shape == (shape[1],)
        assert np.isnan(value[~enough]).all()
        if name == "r2":
            constant = np.array([np.ptp(t[~np.isnan(t)]) == 0 for t in truth.T[enough]], bool)
            assert np.isnan(value[enough])[constant].all()
            assert (value[enough][~np.isnan(value[enough])] <= 1).all()
        else:
            assert np.isfinite(value[enough]).all()
            assert name == "mse" or (np.abs(value[enough]) <= 1).all()
    assert (scores.pearson(truth, predicted)[scores.flat(truth, predicted)] == 0).all()


@settings(deadline=None, max_examples=40)
@given(st.floats(1e-150, 1e150), st.integers(0, 100))
def test_correlation_does_not_depend_on_units(unit, seed):
    truth, predicted = pair(seed=seed)
    value = scores.pearson(truth, predicted * unit)
    np.testing.assert_allclose(value, scores.pearson(truth, predicted), rtol=1e-9)


def test_normalise_divides_by_what_is_reachable():
    value, ceiling = np.array([0.3, 0.3, 0.3, -0.3]), np.array([0.25, 0.0, np.nan, 0.09])
    np.testing.assert_allclose(scores.normalise(value, ceiling), [0.6, np.nan, np.nan, -1.0])
    np.testing.assert_allclose(
        scores.normalise(value, ceiling, "r2"), [1.2, np.nan, np.nan, -0.3 / 0.09]
    )
    draws = np.stack([value, 2 * value])
    np.testing.assert_allclose(scores.normalise(draws, ceiling)[1, 0], 1.2)
    assert np.isnan(scores.normalise(value, np.full(4, -0.1))).all()
    with pytest.raises(StriateError, match="38 is no fraction"):
        scores.normalise(value, np.array([38.0, 0.0, 1.0, np.nan]))
    with pytest.raises(StriateError, match="'mse' has no noise ceiling"):
        scores.normalise(value, ceiling, "mse")
    with pytest.raises(StriateError, match="did you mean 'pearson'"):
        scores.normalise(value, ceiling, "person")


def test_normalised_perfect_model_reaches_one():
    """A model that knows the signal scores its ceiling, however noisy the truth."""
    rng = np.random.default_rng(3)
    signal = rng.standard_normal((4000, 20))
    truth = signal + 2 * rng.standard_normal(signal.shape)
    ceiling = np.full(20, 0.2)
    assert 0.97 < np.median(scores.normalise(scores.pearson(truth, signal), ceiling)) < 1.03
    assert 0.94 < np.median(scores.normalise(scores.r2(truth, signal), ceiling, "r2")) < 1.06


def test_average_counts_what_it_leaves_out():
    value = np.array([0.1, np.nan, 0.2, 0.6])
    assert scores.average(value) == pytest.approx((0.3, 3, 1))
    assert scores.average(value, "median") == pytest.approx((0.2, 3, 1))
    nothing = scores.average(np.full(2, np.nan))
    assert np.isnan(nothing.value) and nothing.used == 0 and nothing.left_out == 2


def test_directions():
    assert not scores.SCORES["mse"].higher_is_better
    assert all(scores.SCORES[name].higher_is_better for name in ("pearson", "spearman", "r2"))
