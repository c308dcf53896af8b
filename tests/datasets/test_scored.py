"""What is predicted is told from what is not: whole targets are counted, half ones refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import label_responses
from striate.datasets.scored import Share
from striate.errors import DataError


def block(values, subject="s1"):
    rows, targets = values.shape
    names = [f"t{k}" for k in range(targets)]
    return label_responses(values, [f"r{k}" for k in range(rows)], names, subject=subject)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 6), targets=st.integers(1, 6), seed=st.integers(0, 999))
def test_whole_targets_are_left_out_and_counted(rows, targets, seed):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((rows, targets))
    truth[rng.random((rows, targets)) < 0.2] = np.nan
    guess = rng.standard_normal((rows, targets))
    guess[np.isnan(truth) & (rng.random((rows, targets)) < 0.5)] = np.nan
    silent = rng.random(targets) < 0.4
    guess[:, silent] = np.nan
    known = ~np.isnan(truth)
    turned = block(guess)[rng.permutation(rows)][:, rng.permutation(targets)]
    share = Share()
    kept, values = share.matched(block(truth), {"s1": turned})
    lost = silent & known.any(axis=0)
    assert (share.not_predicted, share.of) == (lost.sum(), known.any(axis=0).sum())
    np.testing.assert_array_equal(kept.values, truth[:, ~lost])
    want = np.where(known, guess, 0)[:, ~lost]
    np.testing.assert_array_equal(values, want)
    told = share.told({"value": 1.0}, {"value": 2.0})
    assert set(told) == {"partial" if lost.any() else "official", "corrected"}
    assert ("of" in told["corrected"]) == lost.any()


def test_a_target_on_some_rows_is_an_error_that_counts():
    truth = block(np.ones((4, 3)))
    guess = np.ones((4, 3))
    guess[1:, 2] = np.nan
    guess[:, 0] = np.nan
    with pytest.raises(DataError, match=r"3 of 8 responses of s1 .* of t2: predict all rows"):
        Share().matched(truth, {"s1": block(guess)})


def test_subjects_without_predictions_count_in_full():
    share = Share()
    for subject in ("s1", "s2"):
        share.matched(block(np.ones((4, 3)), subject), {"s2": block(np.ones((4, 3)), "s2")})
    told = share.told({"value": 1.0}, None)
    assert told == {"partial": {"value": 1.0, "not_predicted": 3, "of": 6}}
