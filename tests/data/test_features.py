"""Views of features: by id, in the order asked for, read when asked."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import (
    ArraySpace,
    Features,
    Order,
    Stimuli,
    design,
    label_responses,
    places_of,
)
from striate.errors import DataError, RecipeError

IDS = ("a", "b", "c")
X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = 10 + np.arange(12, dtype=np.float64).reshape(3, 2, 2)


@pytest.fixture
def features():
    return Features({"net.x": ArraySpace(IDS, X), "net.y": ArraySpace(IDS, Y, "k")}, IDS)


class Watched:
    """A space that counts how often it is read."""

    key = "watched"
    reads = 0

    def read(self, ids):
        self.reads += 1
        return np.zeros((len(ids), 1))


def test_array_space_answers_by_id():
    space = ArraySpace(IDS, X)
    assert space.read(["c", "a", "c"]).tolist() == [[4, 5], [0, 1], [4, 5]]
    assert space.read(IDS) is X
    with pytest.raises(DataError, match="no features for stimulus d"):
        space.read(["a", "d"])
    with pytest.raises(DataError, match="3 rows of features for 2 stimulus ids"):
        ArraySpace(IDS[:2], X)


def test_a_view_reads_nothing():
    space = Watched()
    view = Features({"w": space}, IDS).rows(["c", "a"]).select(["*"])
    assert len(view) == 2
    assert view.ids == ("c", "a")
    assert space.reads == 0
    assert view["w"].shape == (2, 1)
    assert space.reads == 1


def test_rows_select_and_matrix(features):
    view = features.rows(["c", "b"])
    assert view["net.x"].tolist() == [[4, 5], [2, 3]]
    assert features["net.x"].shape == (3, 2)
    assert view.matrix("net.y").shape == (2, 4)
    assert view.matrix("net.y").dtype == np.float64
    assert features.select(["net.y", "net.*"]).names == ("net.y", "net.x")
    halves = Features({"h": ArraySpace(IDS, X.astype(np.float16))}, IDS)
    assert halves.matrix("h").dtype == np.float32
    with pytest.raises(DataError, match=r"unknown feature space 'net\.z'.*did you mean 'net\."):
        features.select(["net.z"])
    with pytest.raises(DataError, match="unknown feature space 'nothing'"):
        features["nothing"]


def test_an_exact_name_with_glob_characters_is_found():
    view = Features({"net[1]": ArraySpace(IDS, X), "net1": ArraySpace(IDS, X)}, IDS)
    assert view.select(["net[1]"]).names == ("net[1]",)


def test_design_is_by_stimulus_of_each_row(features):
    rows = label_responses(np.zeros((4, 1)), ["c", "a", "b", "a"], rows=list("wxyz"))
    found = design(features, rows)
    expected = np.concatenate([X, Y.reshape(3, 4)], axis=1)[[2, 0, 1, 0]]
    assert found.tolist() == expected.tolist()
    alone = design(features.select(["net.x"]), rows)
    assert alone.dtype == np.float32


def test_design_with_several_slots_keeps_their_order(features):
    rows = label_responses(np.zeros((2, 1)), np.array([["a", "b"], ["b", "a"]]))
    found = design(features.select(["net.x"]), rows)
    assert found.tolist() == [[0, 1, 2, 3], [2, 3, 0, 1]]


def test_design_with_members_is_by_row_label():
    member = label_responses(np.array([[1.0, 2], [3, 4]]), ["b", "a"], subject="s1")
    other = label_responses(np.array([[7.0], [8]]), ["a", "b"], subject="s2")
    space = {"x": ArraySpace(IDS, X)}
    features = Features(space, IDS, {"m": {"s1": member, "s2": other}})
    rows = label_responses(np.zeros((2, 1)), ["a", "b"])
    assert design(features, rows).tolist() == [[0, 1, 3, 4, 7], [2, 3, 1, 2, 8]]
    with pytest.raises(DataError, match="member 'm' predicted only some of the rows"):
        design(features, label_responses(np.zeros((1, 1)), ["c"]))
    with pytest.raises(DataError, match="given no features"):
        design(Features({}, IDS), rows)


def table(**labels):
    size = len(next(iter(labels.values())))
    return Stimuli(pd.DataFrame(labels, index=[f"im{k}" for k in range(size)]))


@pytest.mark.parametrize("kind", [str, int, float])
def test_places_are_labels_where_there_are_any(kind):
    made = table(movie=["a", "b", "a"], index=[kind(4), kind(0), kind(5)])
    assert places_of(made) == {"im0": ("a", 4), "im1": ("b", 0), "im2": ("a", 5)}


def test_places_are_parsed_from_ids_where_labels_lack():
    ids = ["s01e01a#0007", "a#b#0012", "x#0001", "still#7", "still", "#0001", "y#12345"]
    assert places_of(Stimuli(pd.DataFrame(index=ids))) == {
        "s01e01a#0007": ("s01e01a", 7),
        "a#b#0012": ("a#b", 12),
        "x#0001": ("x", 1),
        "y#12345": ("y", 12345),
    }
    frame = pd.DataFrame({"movie": ["m", "", None], "index": ["3", "3", np.nan]}, index=ids[:3])
    assert places_of(Stimuli(frame)) == {
        "s01e01a#0007": ("m", 3),
        "a#b#0012": ("a#b", 12),
        "x#0001": ("x", 1),
    }


@pytest.mark.parametrize("index", ["seven", "1.5", "inf"])
def test_an_index_that_counts_nothing_is_told(index):
    with pytest.raises(DataError, match=f"'im0' has index '{index}', but an index counts chunks"):
        places_of(table(movie=["a"], index=[index]))


def test_two_stimuli_that_are_one_chunk_are_told():
    made = table(movie=["a", "a"], index=[1, 1])
    with pytest.raises(DataError, match="'im0' and 'im1' are both chunk 1 of movie 'a'"):
        Order.of(made)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 20), min_size=1), st.integers(-5, 25))
def test_order_finds_chunks_and_holds_the_nearest_earlier_one(known, index):
    order = Order({f"m#{k}": ("m", k) for k in known} | {"n#3": ("n", 3)})
    assert order.span("m") == (min(known), max(known))
    assert order.at("m", index) == (f"m#{index}" if index in known else None)
    earlier = [k for k in known if k <= index]
    assert order.at("m", index, hold=True) == f"m#{max(earlier) if earlier else min(known)}"
    assert order.place("n#3") == ("n", 3)
    with pytest.raises(RecipeError, match="stimulus 'q' has no place in a movie"):
        order.place("q")


def test_views_keep_the_order(features):
    order = Order({"a": ("m", 0)})
    assert len(features.order.places) == 0
    view = Features(features.spaces, IDS, order=order).select(["net.x"]).rows(["a"])
    assert view.order is order
