"""Averages, their differences and intervals as tables, from numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from striate.scores.contests import (
    about,
    averages,
    ceilings,
    of_ceiling,
    sets_of,
    tables_of,
)

WHO = np.array(["a", "a", "b", "b"], dtype=object)
REGIONS = pd.DataFrame({"V1": [True, False, False, False], "V2": [True, True, False, True]})


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("roi", [("", ""), ("", "V1"), ("", "V2")]),
        ("subject", [("", ""), ("a", ""), ("b", "")]),
        ("both", [("", ""), ("", "V1"), ("", "V2"), ("a", ""), ("b", ""),
                  ("a", "V1"), ("a", "V2"), ("b", "V2")]),
    ],
)  # fmt: skip
def test_sets_of_targets(by, wanted):
    found = sets_of(WHO, REGIONS, by)
    assert list(found) == wanted
    for (who, roi), mask in found.items():
        own = [(not who or w == who) and (not roi or REGIONS[roi][k]) for k, w in enumerate(WHO)]
        assert mask.tolist() == own


def test_averages_leave_nan_out():
    values = np.array([[0.1, 0.3, np.nan, 0.8], [np.nan, np.nan, 0.2, np.nan]])
    inside = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], dtype=bool)
    mean, median = averages(values, inside)
    np.testing.assert_allclose(mean, [[0.4, 0.2], [0.2, np.nan]])
    np.testing.assert_allclose(median, [[0.3, 0.2], [0.2, np.nan]])


def test_draws_lie_about_what_was_measured():
    drawn = np.array([[[1.0, np.nan], [3.0, np.nan]]])
    np.testing.assert_array_equal(
        about(drawn, np.array([[5.0, np.nan]])), [[[4.0, np.nan], [6.0, np.nan]]]
    )


def test_the_better_model_comes_first_and_differences_are_of_draws():
    inside = np.ones((3, 1), dtype=bool)
    mean, over = np.array([[0.2], [0.5]]), np.array([[0.4], [np.nan]])
    draws = np.linspace(0.0, 1.0, 101)[None, :, None] * np.array([[[1.0]], [[2.0]]])
    scores, pairs = tables_of(
        ["low", "high"], [("", "")], inside, (mean, mean), over, [draws, draws], "pearson"
    )
    assert list(scores["model"]) == ["high", "low"]
    low = scores[scores["model"] == "low"].iloc[0]
    assert (low["targets"], low["mean"], low["of_ceiling"]) == (3, 0.2, 0.4)
    assert (low["mean_low"], low["mean_high"]) == pytest.approx((0.025, 0.975))
    (line,) = pairs.to_dict("records")
    assert (line["model"], line["other"]) == ("high", "low")
    assert line["mean"] == pytest.approx(0.3)
    assert (line["low"], line["high"]) == pytest.approx((0.025, 0.975))
    assert line["p"] == pytest.approx(2 * 2 / 102)
    errors, _ = tables_of(
        ["low", "high"], [("", "")], inside, (mean, mean), over, [draws, draws], "mse"
    )
    assert list(errors["model"]) == ["low", "high"]


def test_without_draws_there_are_no_intervals():
    none = np.full((2, 0, 1), np.nan)
    mean = np.array([[0.2], [0.5]])
    scores, pairs = tables_of(
        ["a", "b"], [("", "")], np.ones((1, 1), dtype=bool), (mean, mean), mean, [none, none], "r2"
    )
    assert scores["mean_low"].isna().all()
    assert pairs[["low", "high", "p"]].isna().all(axis=None)


def test_share_of_the_ceiling():
    values = np.array([[0.3, 0.3]])
    np.testing.assert_allclose(
        of_ceiling(values, np.array([0.25, 0.0]), "pearson"), [[0.6, np.nan]]
    )
    assert np.isnan(of_ceiling(values, np.array([0.25, 0.5]), "mse")).all()
    assert np.isnan(ceilings(pd.DataFrame(index=["t"]))).all()
    np.testing.assert_array_equal(ceilings(pd.DataFrame({"ceiling": [0.5]})), [0.5])
