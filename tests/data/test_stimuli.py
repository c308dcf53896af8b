"""Stimuli are named once, and their natural order is total."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data import Stimuli, natural_key
from striate.errors import DataError


def test_columns_and_order():
    made = Stimuli(pd.DataFrame({"group": ["g", None], "mine": [1, 2]}, index=["b", 1]))
    assert made.ids == ("b", "1")
    assert made.table["group"].tolist() == ["g", ""]
    assert made.table["file"].tolist() == ["", ""]
    assert made.select(["1"]).table["mine"].tolist() == [2]
    assert made.with_column("part", ["test", "train"]).table["part"].tolist() == ["test", "train"]
    assert "part" in made.table and made.table["part"].tolist() == ["", ""]
    assert len(made) == 2


def test_mistakes():
    with pytest.raises(DataError, match=r"repeat \(a\)"):
        Stimuli(pd.DataFrame(index=["a", "a"]))
    with pytest.raises(DataError, match="1 stimuli have an empty id"):
        Stimuli(pd.DataFrame(index=["a", ""]))
    with pytest.raises(DataError, match="no such stimulus: x, y; there are 1"):
        Stimuli(pd.DataFrame(index=["a"])).select(["x", "a", "y"])


def test_from_files():
    made = Stimuli.from_files(["b/img10.png", "z.zip::in/img9.tar.png", "c\\img1.jpg"])
    assert made.ids == ("img1", "img9.tar", "img10")
    assert made.table.loc["img10", "file"] == "b/img10.png"
    assert Stimuli.from_files(["x.png", "a.png"], ids=["one", "two"]).ids == ("one", "two")


@given(st.lists(st.text("ab019²٣.", max_size=6), unique=True, max_size=8), st.randoms())
def test_natural_order_is_total(names, random):
    order = sorted(names, key=natural_key)
    random.shuffle(names)
    assert sorted(names, key=natural_key) == order


def test_numbers_go_by_value():
    names = ["a", "a1", "a01", "a2", "a10", "a10b2", "a10b11", "b1"]
    assert sorted(set(names), key=natural_key) == [*names[:1], "a01", "a1", *names[3:]]


@pytest.mark.parametrize(("column", "value"), [("onset", -1.0), ("duration", 0.0)])
def test_impossible_timing_is_refused(column, value):
    with pytest.raises(DataError, match=f"stimulus 'b' has {column} {value}"):
        Stimuli(pd.DataFrame({column: [1.0, value]}, index=["a", "b"]))


def test_missing_words_are_no_words():
    table = pd.DataFrame({"text": ["", None, float("nan"), "so"]}, index=list("abcd"))
    assert [s.text for s in Stimuli(table).shown()] == ["", None, None, "so"]


def test_onsets_and_durations_are_seconds_or_empty():
    table = pd.DataFrame({"onset": ["", "1.5", None], "duration": [" ", 2, float("nan")]}, [*"abc"])
    shown = Stimuli(table).shown()
    assert [s.onset for s in shown] == [None, 1.5, None]
    assert [s.duration for s in shown] == [None, 2.0, None]
    for column, value in (("onset", "soon"), ("duration", "2 s"), ("onset", [1.0])):
        spoilt = pd.DataFrame({column: pd.Series([0.5, value], ["a", "film#2"], dtype=object)})
        with pytest.raises(DataError, match=f"stimulus 'film#2' has {column} .* no number"):
            Stimuli(spoilt)
    with pytest.raises(DataError, match=r"stimulus 'a' has duration 0\.0: seconds above 0"):
        Stimuli(pd.DataFrame({"duration": ["0"]}, ["a"]))
