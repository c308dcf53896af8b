"""All halvings against a slow loop, a planted reliability and the random halves."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.errors import StriateError
from striate.scores import all_halves, halvings, split_half


def slow(repeats):
    """The definition, halving by halving and target by target."""
    _, targets, count = repeats.shape
    found = np.full(targets, np.nan)
    for t in range(targets):
        block = repeats[:, t][~np.isnan(repeats[:, t]).any(axis=1)].astype(np.float64)
        if len(block) < 3:
            continue
        each = []
        for half in combinations(range(count), count // 2):
            if 0 not in half:
                continue
            rest = [k for k in range(count) if k not in half]
            a, b = block[:, half].mean(axis=1), block[:, rest].mean(axis=1)
            r = np.corrcoef(a, b)[0, 1] if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
            each.append(2 * r / (1 + r) if r > -1 else -math.inf)
        found[t] = np.mean(each)
    return found


def worst(repeats):
    """1 + r of the most opposite halves; near 0 the published correction magnifies rounding."""
    count = repeats.shape[2]
    found = [1.0]
    for t in range(repeats.shape[1]):
        block = repeats[:, t][~np.isnan(repeats[:, t]).any(axis=1)]
        for half in combinations(range(count), count // 2) if len(block) > 2 else ():
            rest = [k for k in range(count) if k not in half]
            a, b = block[:, half].mean(axis=1), block[:, rest].mean(axis=1)
            found.append(1 + np.corrcoef(a, b)[0, 1])
    return min(found)


@pytest.mark.parametrize(("repeats", "ways"), [(2, 1), (4, 3), (6, 10), (8, 35), (10, 126)])
def test_every_halving_stands_there_once(repeats, ways):
    found = halvings(repeats)
    assert found.shape == (ways, repeats)
    assert (found.sum(axis=1) == repeats // 2).all() and found[:, 0].all()
    assert len({tuple(row) for row in found.tolist()}) == ways


@settings(max_examples=25, deadline=None)
@given(
    repeats=st.sampled_from([2, 4, 6]),
    rows=st.integers(3, 12),
    offset=st.sampled_from([0.0, 1e6]),
    scale=st.sampled_from([1e-9, 1.0, 1e9]),
    missing=st.integers(0, 4),
    seed=st.integers(0, 2**16),
)
def test_it_is_the_slow_loop(repeats, rows, offset, scale, missing, seed):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((rows, 3, 1))
    data = scale * (signal + rng.standard_normal((rows, 3, repeats)) + offset)
    for _ in range(missing):
        data[rng.integers(rows), rng.integers(3), rng.integers(repeats)] = np.nan
    assume(worst(data) > 0.01)
    tolerance = 1e-3 if offset else 1e-8
    np.testing.assert_allclose(all_halves(data), slow(data), rtol=tolerance, atol=tolerance)


def test_ten_repeats_and_single_precision_are_the_slow_loop():
    rng = np.random.default_rng(3)
    data = rng.standard_normal((102, 4, 1)) + 2 * rng.standard_normal((102, 4, 10))
    np.testing.assert_allclose(all_halves(data), slow(data), atol=1e-12)
    single = data.astype(np.float32)
    np.testing.assert_allclose(all_halves(single), slow(single), atol=1e-12)


def test_it_finds_the_planted_reliability_and_agrees_with_random_halves():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((400, 80, 1)) + 3 * rng.standard_normal((400, 80, 10))
    found = all_halves(data)
    assert np.mean(found) == pytest.approx(1 / (1 + 9 / 10), abs=0.015)
    assert np.mean(found) == pytest.approx(np.mean(split_half(data, splits=20)), abs=0.015)


def test_noise_averages_a_little_below_zero_and_flat_targets_are_zero():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((200, 3000, 2))
    # 2r / (1 + r) is 2r - 2r² near 0, and r² of noise averages 1 / 199.
    assert np.mean(all_halves(noise)) == pytest.approx(-2 / 199, abs=0.008)
    constant = np.full((20, 1, 4), 0.1)
    half = rng.standard_normal((200, 1, 2))
    opposite = np.stack([half[..., 0], half[..., 1] - half[..., 0]], axis=2)
    assert all_halves(constant).tolist() == [0.0]
    r = np.corrcoef(opposite[:, 0].T)[0, 1]
    assert r < -0.5
    assert all_halves(opposite)[0] == pytest.approx(2 * r / (1 + r), abs=1e-9)
    assert all_halves(opposite)[0] < -2
    against = np.array([[[1.0, -1.0]], [[2.0, -2.0]], [[3.0, -3.0]], [[-4.0, 4.0]]])
    assert all_halves(against)[0] < -1e6


def test_few_rows_are_nan_and_uneven_repeats_an_error():
    assert np.isnan(all_halves(np.random.default_rng(0).random((2, 3, 4)))).all()
    for count in (0, 1, 3, 18):
        with pytest.raises(StriateError, match=f"{count} repeats"):
            all_halves(np.zeros((5, 1, count)))
