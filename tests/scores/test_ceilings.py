"""Ceilings against planted signal-to-noise ratios, plain loops and values measured by others."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from striate import scores
from striate.errors import StriateError


def planted(rows=800, targets=60, repeats=4, noise=1.0, seed=0):
    """Signal variance 1, noise variance `noise`² in every repeat."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((rows, targets, 1))
    return signal + noise * rng.standard_normal((rows, targets, repeats))


@pytest.mark.parametrize(("repeats", "noise"), [(2, 1.0), (4, 2.0), (10, 3.0)])
def test_every_estimator_finds_the_planted_ceiling(repeats, noise):
    data = planted(repeats=repeats, noise=noise)
    ceiling = 1 / (1 + noise**2 / repeats)
    one = 1 / (1 + noise**2)
    assert np.mean(scores.split_half(data, splits=20)) == pytest.approx(ceiling, abs=0.02)
    ev = scores.explainable_variance(data)
    assert np.mean(ev) == pytest.approx(one, abs=0.01)
    assert np.mean(scores.spearman_brown(ev, repeats)) == pytest.approx(ceiling, abs=0.02)
    snr = scores.ncsnr(data)
    assert np.median(snr) == pytest.approx(1 / noise, rel=0.05)
    counts = [0] * (repeats - 1) + [800]
    assert np.mean(scores.nsd_noise_ceiling(snr, counts)) == pytest.approx(ceiling, abs=0.02)


def test_an_odd_number_of_repeats_is_corrected_to_all_of_them():
    value = np.mean(scores.split_half(planted(repeats=3, noise=2.0, targets=100), splits=20))
    assert value == pytest.approx(3 / 7, abs=0.02)


def test_noise_alone_has_a_ceiling_around_zero():
    data = np.random.default_rng(0).standard_normal((300, 80, 4))
    for value in (scores.split_half(data, splits=20), scores.explainable_variance(data)):
        assert abs(np.mean(value)) < 0.02
        assert (value < 0).any(), "clipped estimates of noise would average above 0"
    biased = scores.explainable_variance(data, bias_correction=False)
    assert np.mean(biased) == pytest.approx(1 / 4, abs=0.02)


def test_split_half_is_the_mean_over_random_halves():
    """With two repeats there is one split, up to swapping the halves of a row."""
    data = planted(rows=50, targets=3, repeats=2)
    rng = np.random.default_rng(5)
    expected = []
    for x in data.transpose(1, 0, 2):
        r = []
        for _ in range(4000):
            swap = rng.random(50) < 0.5
            a, b = np.where(swap, x.T, x.T[::-1])
            r.append(np.corrcoef(a, b)[0, 1])
        expected.append(2 * np.mean(r) / (1 + np.mean(r)))
    np.testing.assert_allclose(scores.split_half(data, splits=1000), expected, atol=0.003)


def test_split_half_of_a_target_does_not_depend_on_the_others():
    data = planted(rows=60, targets=12, repeats=6)
    data[::3, 4:8, 5] = np.nan
    data[:10, 8:, 1:4] = np.nan
    whole = scores.split_half(data, splits=8)
    alone = [scores.split_half(data[:, [i]], splits=8)[0] for i in range(12)]
    np.testing.assert_allclose(whole, alone, atol=1e-12)
    assert (scores.split_half(data, splits=8, seed=1) != whole).all()


def test_missing_repeats_leave_the_ceiling_of_what_remains():
    data = planted(rows=2000, targets=40, repeats=6, noise=2.0)
    gone = np.random.default_rng(1).random(data.shape) < 0.3
    gone[:5] = True  # Rows without any repeat.
    gone[5:10, :, 1:] = True  # Rows with a single one.
    data[gone] = np.nan
    assert np.mean(scores.split_half(data, splits=10)) == pytest.approx(1 / (1 + 4 / 4.2), abs=0.03)
    assert np.median(scores.ncsnr(data)) == pytest.approx(0.5, abs=0.03)
    assert np.mean(scores.explainable_variance(data)) == pytest.approx(0.2, abs=0.02)


def test_too_little_to_say_is_nan_and_what_never_varies_is_no_signal():
    data = planted(rows=6, targets=3, repeats=3)
    data[2:, 0, 1:] = np.nan  # Two rows with repeats.
    data[:, 1] = 0.1
    for estimate in (scores.split_half, scores.explainable_variance):
        value = estimate(data)
        assert np.isnan(value[0]) and np.isfinite(value[2])
    assert scores.split_half(data)[1] == 0
    assert np.isnan(scores.explainable_variance(data)[1])
    assert np.isnan(scores.ncsnr(data)[1])
    assert np.isnan(scores.ncsnr(data[:, :, :1])).all()
    for estimate in (scores.split_half, scores.explainable_variance):
        with pytest.raises(StriateError, match="two or more"):
            estimate(data[:, :, :1])


@settings(deadline=None, max_examples=40)
@given(st.data(), hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6))
def test_any_missing_pattern_gives_at_most_one_or_nan(data, shape):
    repeats = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-100, 100, width=16)))
    repeats[data.draw(hnp.arrays(bool, shape))] = np.nan
    rows = (~np.isnan(repeats)).sum(axis=2)
    half = scores.split_half(repeats, splits=3)
    np.testing.assert_array_equal(np.isnan(half), ((rows > 1).sum(axis=0) < 3))
    assert (half[~np.isnan(half)] >= -1).all()
    for value in (half, scores.explainable_variance(repeats)):
        assert value.shape == shape[1:2]
        assert (value[~np.isnan(value)] <= 1 + 1e-9).all()
    snr = scores.ncsnr(repeats)
    assert (snr[~np.isnan(snr)] >= 0).all()


def test_explainable_variance_is_the_tutorials_equation():
    data = stats.zscore(planted(rows=40, targets=5, repeats=4), axis=0)
    runs = data.transpose(2, 0, 1)
    ev = runs.mean(axis=0).var(axis=0, ddof=1) / runs.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(scores.explainable_variance(data, bias_correction=False), ev)
    np.testing.assert_allclose(scores.explainable_variance(data), ev - (1 - ev) / 3)


def test_nsd_ceiling_by_hand():
    one = np.array([1.0])
    assert scores.nsd_noise_ceiling(one, [0, 0, 515])[0] == pytest.approx(0.75, abs=1e-12)
    assert scores.nsd_noise_ceiling(one, [20, 30, 50])[0] == pytest.approx(0.6593407, abs=1e-7)
    for repeats, expected in ((1, 0.5), (3, 0.75), (10, 0.90909)):
        counts = [0] * (repeats - 1) + [7]
        assert scores.nsd_noise_ceiling(one, counts)[0] == pytest.approx(expected, abs=1e-5)
    edges = scores.nsd_noise_ceiling(np.array([0.0, np.inf, np.nan]), [1, 2, 3])
    np.testing.assert_array_equal(edges, [0.0, 1.0, np.nan])
    for counts in ([], [0, 0], [3, -1]):
        with pytest.raises(StriateError, match="counts no rows"):
            scores.nsd_noise_ceiling(one, counts)


def test_ncsnr_of_zscored_responses_is_the_nsd_equation():
    data = planted(rows=500, targets=5, repeats=3)
    data = (data - data.mean(axis=(0, 2), keepdims=True)) / data.std(axis=(0, 2), keepdims=True)
    noise = data.var(axis=2, ddof=1).mean(axis=0)
    expected = np.sqrt(np.maximum(1 - noise, 0)) / np.sqrt(noise)
    np.testing.assert_allclose(scores.ncsnr(data), expected)
    still = np.repeat(data[:, :, :1], 3, axis=2)
    assert (scores.nsd_noise_ceiling(scores.ncsnr(still), [0, 0, 1]) > 1 - 1e-12).all()


def test_spearman_brown_and_back():
    r = np.array([-0.2, 0.0, 0.3, 0.9])
    np.testing.assert_allclose(scores.spearman_brown(r, 2), 2 * r / (1 + r))
    np.testing.assert_allclose(scores.spearman_brown(scores.spearman_brown(r, 5), 0.2), r)
    assert np.isnan(scores.spearman_brown(np.array([-1.0]), 2)).all()


def test_rdm_ceiling_by_loops():
    rng = np.random.default_rng(0)
    rdms = rng.random(66) + rng.random((6, 66))
    ranked = stats.rankdata(rdms, axis=1)
    low, high, official = [], [], []
    for i in range(6):
        low.append(stats.spearmanr(rdms[i], np.delete(ranked, i, 0).mean(0)).statistic)
        high.append(stats.spearmanr(rdms[i], ranked.mean(0)).statistic)
        official.append(stats.spearmanr(rdms[i], rdms.mean(0)).statistic ** 2)
    assert scores.rdm_ceiling(rdms) == pytest.approx((np.mean(low), np.mean(high)))
    assert scores.algonauts2019_ceiling(rdms) == pytest.approx(np.mean(official))
    best = scores.spearman(rdms.T, np.broadcast_to(ranked.mean(0)[:, None], (66, 6))).mean()
    assert scores.rdm_ceiling(rdms)[0] < best <= scores.rdm_ceiling(rdms)[1] + 1e-12


@pytest.mark.parametrize("ceiling", [scores.rdm_ceiling, scores.algonauts2019_ceiling])
def test_rdm_ceilings_refuse_one_subject_and_nan(ceiling):
    rdms = np.random.default_rng(0).random((3, 10))
    with pytest.raises(StriateError, match="1 subject has no others"):
        ceiling(rdms[:1])
    rdms[1, 2] = np.nan
    with pytest.raises(StriateError, match="1 RDM values are NaN"):
        ceiling(rdms)


SETS = {
    "92": ("Training_Data/92_Image_Set", 92),
    "118": ("Training_Data/118_Image_Set", 118),
    "78": ("Test_Data", 78),
}


@pytest.mark.parametrize("image_set", sorted(SETS))
def test_real_algonauts2019_ceilings_are_the_challenges_own(image_set, real_data):
    folder, images = SETS[image_set]
    upper = np.triu_indices(images, 1)
    with h5py.File(real_data / "algonauts2019" / folder / "target_fmri.mat") as file:
        for roi in ("EVC", "IT"):
            rdms = file[f"{roi}_RDMs"][:].T
            assert rdms.shape == (15, images, images)
            found = scores.algonauts2019_ceiling(rdms[:, upper[0], upper[1]])
            expected = scores.ALGONAUTS2019_CEILINGS[image_set][roi]
            assert found == pytest.approx(expected, abs=6e-5)
            lower, higher = scores.rdm_ceiling(rdms[:, upper[0], upper[1]])
            assert lower < higher < 1


def test_real_v4_repeats_have_their_known_reliability(real_data):
    path = real_data / "v4" / "201016" / "responses_raw.npy"
    if not path.is_file():
        pytest.skip(f"{path} is not here: no V4 repeats to measure")
    repeats = np.load(path).transpose(1, 0, 2)  # (image, neuron, repeat)
    # .683 was measured with repeats 1-2 against 3-4; all have at least five.
    halves = [repeats[:, :, :2].mean(axis=2), repeats[:, :, 2:4].mean(axis=2)]
    fixed = np.median(scores.spearman_brown(scores.pearson(*halves), 2))
    assert fixed == pytest.approx(0.6826, abs=5e-4)
    assert 0.65 < np.median(scores.split_half(repeats[:, :, :4], splits=20)) < 0.72
    full = scores.split_half(repeats, splits=20)
    assert 0.71 < np.median(full) < 0.77
    assert np.isfinite(full).all() and (full < 1).all()


def test_means_ceiling_of_unequal_repeats_is_that_of_the_means():
    """Most rows shown once: split halves see only the others, and promise too much."""
    rng = np.random.default_rng(0)
    signal, noise = rng.standard_normal((3000, 4, 1)), 2.0
    repeats = signal + noise * rng.standard_normal((3000, 4, 10))
    repeats[300:, :, 1:] = np.nan
    count = np.where(np.arange(3000) < 300, 10, 1)
    known = 1 / (1 + noise**2 * np.mean(1 / count))
    assert np.abs(scores.means_ceiling(repeats) - known).max() < 0.05
    assert scores.split_half(repeats).min() > known + 0.3


def test_means_ceiling_agrees_with_split_halves_where_repeats_are_equal():
    rng = np.random.default_rng(1)
    repeats = rng.standard_normal((2000, 3, 1)) + rng.standard_normal((2000, 3, 4))
    np.testing.assert_allclose(scores.means_ceiling(repeats), scores.split_half(repeats), atol=0.02)
    np.testing.assert_allclose(scores.means_ceiling(repeats), 0.8, atol=0.03)
