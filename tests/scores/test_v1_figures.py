"""Real repeats: 797 voxels of human V1, ten figures of 10 × 10 pixels, eight times each."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.data import Stimuli
from striate.files import read_mat
from striate.media import digests
from striate.scores import (
    all_halves,
    explainable_variance,
    means_ceiling,
    ncsnr,
    nsd_noise_ceiling,
    pearson,
    spearman_brown,
    split_half,
)
from striate.splits import KFold

FIGURES, REPEATS, VOXELS = 10, 8, 797


@pytest.fixture(scope="module")
def recorded(real_data):
    """Pixels of every trial, responses of every trial, and which figure it showed."""
    found = read_mat(real_data / "v1_figures" / "V1_mean_figure.mat")
    pixels, responses = found["I2"].T, found["R2"].T
    figures = np.unique(pixels, axis=0, return_inverse=True)[1].ravel()
    assert responses.shape == (FIGURES * REPEATS, VOXELS)
    assert np.bincount(figures).tolist() == [REPEATS] * FIGURES
    return pixels, responses, figures


def by_figure(responses, figures):
    """Figure × voxel × repeat."""
    return np.stack([responses[figures == k].T for k in range(FIGURES)])


@pytest.fixture(scope="module")
def ceilings(recorded):
    _, responses, figures = recorded
    repeats = by_figure(responses, figures)
    return {
        "ncsnr": nsd_noise_ceiling(ncsnr(repeats), [0] * (REPEATS - 1) + [FIGURES]),
        "split half": split_half(repeats),
        "all halves": all_halves(repeats),
        "explainable": spearman_brown(explainable_variance(repeats), REPEATS),
        "means": means_ceiling(repeats),
    }


@pytest.mark.parametrize(
    ("name", "median", "mean", "reliable"),
    [
        ("ncsnr", 0.777, 0.612, 0.670),
        ("split half", 0.822, 0.624, 0.716),
        ("all halves", 0.843, 0.592, 0.737),
        ("explainable", 0.824, 0.597, 0.728),
        ("means", 0.799, 0.541, 0.688),
    ],
)
def test_ceilings_of_v1(ceilings, name, median, mean, reliable):
    value = ceilings[name]
    assert value.shape == (VOXELS,) and not np.isnan(value).any() and value.max() <= 1
    assert np.median(value) == pytest.approx(median, abs=0.01)
    assert np.mean(value) == pytest.approx(mean, abs=0.01)
    assert np.mean(value > 0.5) == pytest.approx(reliable, abs=0.01)


def test_the_estimators_agree_on_which_voxels_have_signal(ceilings):
    # Below 0 the published correction of halves runs far down; no signal is no signal.
    names = ("ncsnr", "split half", "all halves", "explainable")
    r = np.corrcoef([np.maximum(ceilings[n], 0) for n in names])
    assert r[1, 2] == pytest.approx(0.991, abs=0.008), "random halves approach all halves"
    assert 0.95 < r.min() < 0.995
    strong = ceilings["all halves"] > 0.8
    spread = np.ptp([ceilings[n][strong] for n in ceilings], axis=0)
    assert np.median(spread) < 0.06


def test_repeats_of_other_figures_have_no_ceiling(recorded):
    """Dealt anew, the trials of one row share nothing: estimates scatter around 0 or below."""
    _, responses, figures = recorded
    rng = np.random.default_rng(0)
    found = []
    for _ in range(25):
        dealt = by_figure(responses, rng.permutation(figures))
        found.append([np.mean(all_halves(dealt)), np.mean(split_half(dealt, splits=5))])
    halves, random = np.mean(found, axis=0)
    assert abs(random) < 0.08
    assert -0.35 < halves < -0.1  # 2r / (1 + r) weighs a negative r more than a positive one


def trials(figures, **columns):
    ids = [f"trial{k:02d}" for k in range(len(figures))]
    return Stimuli(pd.DataFrame({"id": ids, **columns}, dtype=object).set_index("id"))


def parted(call, figures):
    """Figures with trials on both sides."""
    sides = [{figures[int(i[5:])] for i in ids} for ids in (call.train, call.test)]
    return sides[0] & sides[1]


def test_leave_image_out_never_parts_repeats_of_a_figure(recorded, tmp_path):
    pixels, _, figures = recorded
    named = trials(figures, group=[f"figure{k}" for k in figures])
    files = []
    for k, row in enumerate(pixels):
        files.append(str(tmp_path / f"{k}.png"))
        Image.fromarray((255 * row.reshape(10, 10)).astype(np.uint8)).save(files[-1])
    alike = digests(trials(figures, file=files))
    for stimuli in (named, alike):
        for folds in (10, 4):
            calls = KFold(folds=folds).calls(stimuli)
            assert len(calls) == folds
            assert not any(parted(call, figures) for call in calls)
            tested = [i for call in calls for i in call.test]
            assert sorted(tested) == list(stimuli.ids)
    assert all(len(c.test) == REPEATS for c in KFold(folds=10).calls(named))
    loose = KFold(folds=10).calls(trials(figures))
    assert all(parted(call, figures) for call in loose)


def test_what_leaving_out_images_and_not_trials_is_worth(recorded, ceilings):
    pixels, responses, figures = recorded
    scores = {}
    for name, columns in (("image", {"group": [f"f{k}" for k in figures]}), ("trial", {})):
        predicted = np.full(responses.shape, np.nan)
        for call in KFold(folds=10).calls(trials(figures, **columns)):
            train, test = ([int(i[5:]) for i in ids] for ids in (call.train, call.test))
            mean = responses[train].mean(axis=0)
            gram = pixels[train].T @ pixels[train] + 50 * np.eye(100)
            weights = np.linalg.solve(gram, pixels[train].T @ (responses[train] - mean))
            predicted[test] = pixels[test] @ weights + mean
        scores[name] = pearson(responses, predicted)
    image, trial = (float(np.mean(scores[n])) for n in ("image", "trial"))
    assert image == pytest.approx(0.164, abs=0.02)
    assert trial == pytest.approx(0.403, abs=0.02), "the same figures on both sides: a leak"
    strong = ceilings["all halves"] > 0.8
    assert np.mean(scores["image"][strong]) > np.mean(scores["image"][~strong]) + 0.1
