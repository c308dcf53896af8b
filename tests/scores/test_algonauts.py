"""The 2019 score against the kit's steps, written out, and the published averages."""

import numpy as np
import pytest
from scipy import stats

from striate import scores
from striate.errors import StriateError


def test_three_subjects_by_hand():
    subjects = np.array([[1, 3, 2, 4, 6, 5], [6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]])
    result = scores.algonauts2019(np.arange(1, 7), subjects)
    np.testing.assert_allclose(result.rho, [0.8857143, -1.0, 1.0], atol=1e-7)
    assert result.r2 == pytest.approx(0.9281633, abs=1e-7)
    assert result.signed == pytest.approx((0.8857143**2 - 1 + 1) / 3, abs=1e-6)


def test_time_is_averaged_before_squaring():
    rng = np.random.default_rng(0)
    model = rng.random(45)
    subjects = rng.random((15, 20, 45)) + 0.3 * model
    rho = [np.mean([stats.spearmanr(model, x).statistic for x in s]) for s in subjects]
    squared = np.square(rho)
    result = scores.algonauts2019(model, subjects)
    assert result.r2 == pytest.approx(squared.mean(), rel=1e-10)
    assert result.p == pytest.approx(stats.ttest_1samp(squared, 0).pvalue, rel=1e-8)
    np.testing.assert_allclose(result.rho, rho, atol=1e-12)
    shuffled = scores.algonauts2019(rng.permutation(model), subjects)
    assert shuffled.r2 < 0.5 * result.r2


def test_published_averages_follow_from_their_parts():
    published = [
        ("78", "fMRI", {"EVC": 9.3443, "IT": 10.1268}, 9.7377),
        ("78", "MEG", {"early": 36.3899, "late": 45.3534}, 41.3694),
        ("TS2", "MEG", {"early": 18.0934, "late": 27.2611}, 22.9622),
    ]
    for image_set, track, parts, expected in published:
        ceilings = scores.ALGONAUTS2019_CEILINGS[image_set]
        r2 = {name: value * ceilings[name] / 100 for name, value in parts.items()}
        percent = scores.algonauts2019_percent(r2, image_set)
        assert percent[track] == pytest.approx(expected, abs=1e-4)
        assert {k: percent[k] for k in parts} == pytest.approx(parts)
        assert percent[track] != pytest.approx(np.mean(list(parts.values())), abs=1e-3)


def test_one_region_alone_has_no_track_average():
    assert scores.algonauts2019_percent({"IT": 0.0647}, "78") == pytest.approx({"IT": 100.0})
    with pytest.raises(StriateError, match="unknown image set '79'"):
        scores.algonauts2019_percent({"IT": 0.1}, "79")
    with pytest.raises(StriateError, match="unknown region or window 'V1'"):
        scores.algonauts2019_percent({"V1": 0.1}, "78")


def test_edges_of_the_score():
    subjects = np.random.default_rng(0).random((4, 10))
    constant = scores.algonauts2019(np.ones(10), subjects)
    assert (constant.r2, constant.p, constant.signed) == (0.0, 1.0, 0.0)
    same = scores.algonauts2019(subjects[0], np.stack([subjects[0]] * 2))
    assert same.r2 == pytest.approx(1) and same.p == pytest.approx(0, abs=1e-10)
    assert np.isnan(scores.algonauts2019(subjects[0], subjects[:1]).p)
    with pytest.raises(StriateError, match="NaN"):
        scores.algonauts2019(np.full(10, np.nan), subjects)
