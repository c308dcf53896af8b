"""The challenges' numbers: those computed by hand, slow loops, and what the rules forbid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import StriateError
from striate.scores import (
    algonauts2021,
    algonauts2021_mini,
    algonauts2023,
    algonauts2025,
    all_halves,
    inflated,
    inner_rows,
    pearson,
)

PREDICTED = np.array([(0, 1, 2, 3), (1, 0, 2, 1), (2, 1, 0, 3)], dtype=np.float64).T
TRUTH = np.array([(0, 2, 1, 3), (0, 1, 2, 3), (1, 0, 2, 1)], dtype=np.float64).T
CEILING = np.array([0.5, 0.4, 0.0])


def test_2023_by_hand():
    r = pearson(TRUTH, PREDICTED)
    assert r == pytest.approx([0.8, 0.3162278, -0.3162278], abs=1e-7)
    official = algonauts2023(r, CEILING)
    assert official == pytest.approx([100, 25, 0], abs=1e-9)
    assert official.mean() == pytest.approx(41.6667, abs=1e-4)
    masked = algonauts2023(r, CEILING, zeros_left_out=True)
    assert np.isnan(masked).tolist() == [False, False, True]
    assert np.nanmean(masked) == pytest.approx(62.5, abs=1e-9)


def test_2023_gives_free_points_without_a_ceiling_and_the_correction_takes_them():
    flipped = PREDICTED * [1, 1, -1]
    r = pearson(TRUTH, flipped)
    assert algonauts2023(r, CEILING) == pytest.approx([100, 25, 100], abs=1e-9)
    right = algonauts2023(r, CEILING, zeros_left_out=True, signed=True)
    assert np.nanmean(right) == pytest.approx(62.5, abs=1e-9) and np.isnan(right[2])
    tiny = algonauts2023(np.array([1e-9, 0.0, -1e-9]), np.zeros(3))
    assert tiny == pytest.approx([1e-2, 0, 0]), "1e-18 beside 1e-14"


def test_2023_signed_is_odd_and_averages_zero_over_noise():
    r = np.random.default_rng(0).normal(0, 0.1, 20_000)
    ceiling = np.random.default_rng(1).uniform(0.001, 0.6, 20_000)
    signed = algonauts2023(r, ceiling, signed=True)
    np.testing.assert_array_equal(signed, -algonauts2023(-r, ceiling, signed=True))
    assert abs(signed.mean()) < 0.3 < 3 < algonauts2023(r, ceiling).mean() < 8
    np.testing.assert_array_equal(algonauts2023(r, ceiling), np.maximum(signed, 0))


@settings(max_examples=50, deadline=None)
@given(
    r=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
)
def test_2023_is_the_slow_loop(r, seed):
    ceiling = np.random.default_rng(seed).choice([0.0, 0.01, 0.3, 1.0], len(r))
    expected = []
    for one, top in zip(r, ceiling, strict=True):
        squared = max(one, 0.0) ** 2
        expected.append(min(100.0, 100.0 * squared / (top if top != 0 else 1e-14)))
    for kind in (np.float32, np.float64):
        found = algonauts2023(np.array(r, dtype=kind), ceiling)
        assert found.dtype == np.float64
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("r", "ceiling", "told"),
    [
        ([0.1], [38.3], "38.3.*percent"),
        ([0.1], [-0.1], "-0.1"),
        ([0.1], [np.nan], "nan"),
        ([np.nan], [0.5], "1 of 1 correlations"),
    ],
)
def test_2023_refuses(r, ceiling, told):
    with pytest.raises(StriateError, match=told):
        algonauts2023(np.array(r), np.array(ceiling))


def test_2021_divides_by_the_root_of_the_reliability():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((3000, 40))
    repeats = signal[:, :, None] + 2 * rng.standard_normal((3000, 40, 10))
    r = pearson(repeats.mean(axis=2), signal)
    assert algonauts2021(r, all_halves(repeats)).mean() == pytest.approx(1, abs=0.01)
    found = algonauts2021(np.array([-0.3, 0.3, 0.3, 0.3]), np.array([0.09, 0.01, 0.0, -0.2]))
    assert found[:2] == pytest.approx([-1, 3]), "signs stay, nothing is clipped"
    assert np.isnan(found[2:]).all()


def test_2021_mini_weighs_subjects_and_regions_alike():
    values = {
        "V1": [np.array([0.1, 0.3, np.nan]), np.full(100, 0.6)],
        "FFA": [np.array([0.5]), np.array([np.nan])],
    }
    value, by_roi = algonauts2021_mini(values)
    assert by_roi == pytest.approx({"V1": 0.4, "FFA": 0.5})
    assert value == pytest.approx(0.45)
    assert np.isnan(algonauts2021_mini({"V1": []})[0])


def test_the_2021_kit_inflates_by_n_over_n_minus_one():
    assert inflated(np.array([1.0]), 100)[0] == pytest.approx(1.0101, abs=1e-4)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100))
    kit = ((x - x.mean()) * (y - y.mean())).sum() / 99 / (x.std() * y.std())
    r = pearson(y[:, None], x[:, None])
    assert inflated(r, 100)[0] == pytest.approx(kit, abs=1e-12)
    with pytest.raises(StriateError, match="1 rows"):
        inflated(r, 1)


def test_2025_drops_the_ends_of_every_run_and_scores_them_as_one():
    rng = np.random.default_rng(0)
    truth = [rng.standard_normal((n, 3)).astype(np.float32) for n in (40, 25, 11)]
    guess = [t + rng.standard_normal(t.shape) + k for k, t in enumerate(truth)]
    for run in guess:
        run[:5] = run[-5:] = 1e6
    found = algonauts2025(truth, guess)
    for k in range(3):
        x = np.concatenate([run[5:-5, k] for run in truth]).astype(np.float64)
        y = np.concatenate([run[5:-5, k] for run in guess])
        assert found[k] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert inner_rows(truth).shape == (30 + 15 + 1, 3)
    constant = [np.ones_like(run) for run in truth]
    assert algonauts2025(truth, constant).tolist() == [0, 0, 0]


def test_2025_refuses_runs_that_do_not_fit():
    run = np.zeros((20, 2))
    with pytest.raises(StriateError, match="no run"):
        algonauts2025([], [])
    with pytest.raises(StriateError, match="1 measured and 2"):
        algonauts2025([run], [run, run])
    with pytest.raises(StriateError, match=r"run 1.*\(20, 2\).*\(19, 2\)"):
        algonauts2025([run, run], [run, run[:19]])
    with pytest.raises(StriateError, match="run of 10 samples"):
        algonauts2025([run[:10]], [run[:10]])
    with pytest.raises(StriateError, match="NaN"):
        algonauts2025([run], [np.full_like(run, np.nan)])
