"""Which frames a rule takes, by the formula and in the words of a recipe."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RecipeError
from striate.media import Frames


@given(n=st.integers(1, 400), count=st.integers(1, 80))
def test_counted_frames_are_the_truncated_linspace(n, count):
    found = Frames(count).positions(np.arange(n) / 25, n / 25)
    step = (n - 1) / max(count - 1, 1)
    assert len(found) == count and found[0] == 0
    assert count == 1 or found[-1] == n - 1
    assert np.abs(found - np.arange(count) * step).max() < 1 + 1e-9
    assert (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(found, np.linspace(0, n - 1, count).astype(int))


@given(
    gaps=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=40),
    rate=st.floats(0.5, 60),
    count=st.integers(1, 50),
)
def test_at_a_rate_each_frame_is_the_one_on_the_screen(gaps, rate, count):
    times = np.cumsum([0.0, *gaps])
    found = Frames(count, rate).positions(times, float(times[-1]) + 0.1)
    for k, place in enumerate(found):
        shown = [i for i, t in enumerate(times) if t <= k / rate + 1e-9]
        assert place == shown[-1]


def test_rounded_stamps_do_not_lose_a_frame():
    rounded = np.round(np.arange(30) / 30, 3)
    found = Frames.parse({"rate": 30}).positions(rounded, 1.0, slack=5e-4)
    assert found.tolist() == list(range(30))


def test_the_piece_says_how_many_where_nobody_does():
    assert len(Frames.parse({"rate": 8}).moments(2.0)) == 16
    assert len(Frames.parse({"rate": 8}).moments(1.99999)) == 16
    assert len(Frames.parse({"rate": 8}).moments(2.07)) == 17
    assert len(Frames.parse({"rate": 8}).moments(0.01)) == 1
    assert len(Frames.parse({"rate": 22, "count": 65}).moments(1.0)) == 65


def test_times_from_the_onset():
    rule = Frames.parse({"times": [1, 0.5, 7]})
    assert rule.positions(np.arange(20) / 10, 2.0).tolist() == [10, 5, 19]


def test_what_a_recipe_says():
    assert Frames.parse(16) == Frames() == Frames.parse({"count": 16}) == Frames.parse({})
    assert Frames.parse({"count": 4}).identity() == {"count": 4}
    assert Frames.parse({"rate": 22, "count": 65}).identity() == {"count": 65, "rate": 22.0}
    assert Frames.parse({"rate": 22}).identity() == {"rate": 22.0}
    assert Frames.parse({"times": [0.5, 1]}).identity() == {"times": [0.5, 1.0]}
    moving = Frames.parse({"rate": 22, "resample": "motion"})
    assert moving.identity() == {"rate": 22.0, "resample": "motion"}
    for rule in (moving, Frames(), Frames(times=(0.5,)), Frames.parse({"rate": 2})):
        assert Frames.parse(rule.identity()) == rule == Frames.parse(rule)


@pytest.mark.parametrize(
    "value, told",
    [
        ("all", "neither a count nor a table"),
        (True, "neither a count nor a table"),
        ({"fps": 3}, "unknown field of frames 'fps'.*Valid: count, rate, resample, times"),
        ({"coutn": 3}, "did you mean 'count'"),
        ({"count": 2.5}, "must be a whole number"),
        ({"count": 0}, "frames.count 0 must be 1 or more"),
        ({"rate": 0}, "more than 0"),
        ({"rate": "fast"}, "must be a number"),
        ({"times": [-1]}, "0 or more"),
        ({"times": "soon"}, "list of seconds"),
        ({"times": [1], "rate": 2}, "stands alone"),
        ({"times": [1], "count": 2}, "stands alone"),
        ({"count": 3, "resample": "motion"}, "needs frames.rate"),
        ({"rate": 3, "resample": "cubic"}, "unknown frames.resample 'cubic'"),
    ],
)
def test_rules_that_cannot_be(value, told):
    with pytest.raises(RecipeError, match=told):
        Frames.parse(value)
