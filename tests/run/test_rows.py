"""Rows are found by all the stimuli that they answer to, and by nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from striate.data import label_responses
from striate.errors import DataError
from striate.run.rows import Rows, with_rows, with_units

IDS = ("a", "b", "c", "d")
PAIRS = np.array([("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")], dtype=object)


def block(values=None, subject="s1", shown=PAIRS, **more):
    values = np.zeros((len(shown), 2)) if values is None else values
    return label_responses(values, shown, subject=subject, **more)


def test_a_row_belongs_to_a_part_if_all_its_stimuli_do():
    hidden = np.zeros((4, 2))
    hidden[2] = np.nan
    rows = Rows({"s1": block(hidden)}, IDS)
    assert rows.of("s1", ("c", "a", "b")).tolist() == [0, 1, 2]
    assert rows.of("s1", ("c", "a", "b"), measured=True).tolist() == [0, 1]
    assert rows.of("s1", ("a", "d")).tolist() == []
    assert rows.seen(["s1"], ("c", "b", "d")) == (("c", "d"), 1)
    assert rows.key("s1", ("a", "b")) == rows.key("s1", ("a", "b", "d"))
    assert rows.key("s1", ("a", "b")) != rows.key("s1", ("a", "c"))
    assert rows.layout("s1") != Rows({"s1": block()}, IDS).layout("s1")


def test_shared_rows_count_once_and_must_be_the_same():
    shared = {"s1": block(), "s2": block(subject="s2", shown=PAIRS[:2])}
    assert Rows(shared, IDS).seen(["s1", "s2"], IDS) == (IDS, 4)
    other = block(subject="s2", shown=PAIRS[2:], rows=["a|b", "c|d"])
    with pytest.raises(DataError, match=r"'a\|b' of subject 's2' answers to b, c, but to a, b"):
        Rows({"s1": block(), "s2": other}, IDS)


def test_units_of_pairs_and_rows_for_new_images():
    units = pd.Series({"a": "a", "b": "a", "c": "c", "d": "d"})
    assert with_units(block(), units).unit.values.tolist() == ["a", "a|c", "a|c", "c|d"]
    images = block(shown=np.array(["a", "b"], dtype=object))
    longer = with_rows(images, ("new/x",))
    assert longer.row.values.tolist() == ["a", "b", "new/x"]
    assert np.isnan(longer.values[2]).all()
    with pytest.raises(DataError, match="one image"):
        with_rows(block(), ("new/x",))
