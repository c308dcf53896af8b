"""Labels, never positions: what goes in comes out, under any order of rows and targets."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import (
    align,
    assemble,
    by_subject,
    check_responses,
    digest,
    has_truth,
    label_responses,
    membership,
    merge,
    roi_names,
    row_table,
    slots,
    stack,
    target_table,
    target_tables,
)
from striate.data.responses import identities
from striate.errors import DataError

RNG = np.random.default_rng(0)


def block(rows=6, targets=4, subject="s1", dtype=np.float64, **more):
    values = np.arange(rows * targets, dtype=dtype).reshape(rows, targets)
    return label_responses(values, [f"im{k}" for k in range(rows)], subject=subject, **more)


def test_labels_come_back_from_both_tables():
    masks = {"V1": np.array([True, True, False]), "V4": [False, True, True]}
    made = label_responses(
        np.zeros((2, 3, 2), dtype=np.float32),
        np.array([["a", "b"], ["b", "c"]]),
        np.array(["x", "y", "z"]),
        subject="s1",
        rois=masks,
        row_labels={"session": [1, 2]},
        target_labels={"time": [0.1, 0.2, 0.3], "hemisphere": ["l", None, "r"]},
    )
    assert made.dims == ("row", "target", "repeat")
    assert list(made.row.values) == ["a|b", "b|c"]
    assert slots(made).tolist() == [["a", "b"], ["b", "c"]]
    assert roi_names(made) == ("V1", "V4")
    assert membership(made).loc["y"].all()
    assert membership(made).to_numpy().tolist() == np.array([*masks.values()]).T.tolist()
    assert target_table(made)["hemisphere"].tolist() == ["l", "", "r"]
    assert row_table(made)["session"].dtype.kind == "i"
    again = assemble(made.values, row_table(made), target_table(made))
    xr.testing.assert_identical(again, made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stimuli": ["a"]}, "2 rows of responses for 1 stimuli"),
        ({"targets": ["x"]}, "1 labels 'targets' for 3 targets"),
        ({"rows": ["x"]}, "1 labels 'rows' for 2 rows"),
        ({"rois": {"V1": [True]}}, "1 labels 'V1' for 3 targets"),
        ({"row_labels": {"session": [1, 2, 3]}}, "3 labels 'session' for 2 rows"),
        ({"stimuli": ["a", "a"]}, "row ids repeat: a"),
        ({"targets": ["x", "x", "y"]}, "targets repeat: x"),
        ({"values": np.array([[1, np.inf, 0], [0, 0, 0.0]])}, "infinite"),
        ({"values": np.zeros((2, 3), dtype=np.int64)}, "floating point"),
        ({"target_labels": {"ceiling": [0.5, 41.0, 2.0]}}, "divide percentages by 100"),
    ],
)
def test_what_does_not_fit_is_told(change, said):
    given = {"values": np.zeros((2, 3)), "stimuli": ["a", "b"]} | change
    with pytest.raises(DataError, match=said):
        label_responses(**given)


def test_schema_of_foreign_arrays():
    with pytest.raises(DataError, match="must begin with row, target"):
        check_responses(xr.DataArray(np.zeros((2, 2)), dims=("x", "y")))
    bare = xr.DataArray(np.zeros((1, 1)), dims=("row", "target"), coords={"row": ["a"]})
    with pytest.raises(DataError, match="which stimulus they answer to"):
        check_responses(bare)
    with pytest.raises(DataError, match="order of the axes"):
        assemble(np.zeros((3, 2)), row_table(block(2, 3)), target_table(block(2, 3)))


def test_the_same_target_at_two_times_is_two_targets():
    made = label_responses(
        np.zeros((1, 2)), ["a"], ["m1", "m1"], target_labels={"time": [0, 1]}, subject="s"
    )
    assert check_responses(made) is made


def test_hidden_rows_have_no_truth():
    made = block(3, 2)
    made.values[1] = np.nan
    made.values[2, 0] = np.nan
    assert has_truth(made).tolist() == [True, False, True]
    assert has_truth(made[:0]).tolist() == []
    assert has_truth(made[:, :0]).tolist() == [False] * 3
    with_repeats = label_responses(np.full((1, 2, 3), np.nan), ["a"])
    assert has_truth(with_repeats).tolist() == [False]


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 7), st.integers(1, 5))
def test_align_finds_every_value_under_any_order(random, rows, targets):
    truth = block(rows, targets)
    r, t = list(range(rows)), list(range(targets))
    random.shuffle(r)
    random.shuffle(t)
    kept_rows, kept = r[: random.randint(1, rows)], t[: random.randint(1, targets)]
    predicted = truth.isel(row=kept_rows, target=kept)
    found = align(truth, {"s1": predicted})
    expected = np.full(truth.shape, np.nan)
    expected[np.ix_(kept_rows, kept)] = truth.values[np.ix_(kept_rows, kept)]
    np.testing.assert_array_equal(found, expected)


def test_a_prediction_without_subject_or_time_answers_for_all():
    times = {"time": [0, 1, 0, 1]}
    truth = label_responses(
        np.zeros((2, 4)), ["a", "b"], ["V1", "V1", "V2", "V2"], subject="s7", target_labels=times
    )
    alone = label_responses(np.array([[1.0, 2], [3, 4]]), ["b", "a"], ["V2", "V1"])
    expected = [[4, 4, 3, 3], [2, 2, 1, 1]]
    assert align(truth, {"": alone}).tolist() == expected
    other = label_responses(np.ones((2, 1)), ["a", "b"], ["V1"], subject="s8")
    assert np.isnan(align(truth, {"s8": other})).all()


def test_gaps_of_one_prediction_do_not_hide_another():
    truth = block(2, 2)
    general = label_responses(np.full((2, 2), 5.0), ["im0", "im1"])
    own = truth.copy(data=np.array([[1.0, np.nan], [2.0, np.nan]]))
    for order in ({"": general, "s1": own}, {"s1": own, "": general}):
        assert align(truth, order).tolist() == [[1, 5], [2, 5]]


def test_two_answers_for_one_target_are_an_error():
    truth = label_responses(np.zeros((1, 1)), ["a"], ["V1"])
    times = {"time": [0, 1]}
    twice = label_responses(np.zeros((1, 2)), ["a"], ["V1", "V1"], target_labels=times)
    with pytest.raises(DataError, match="several predictions of target"):
        align(truth, {"": twice})


def test_a_time_that_became_a_float_is_the_same_time():
    truth = label_responses(np.zeros((1, 1)), ["a"], ["V1"], target_labels={"time": [2]})
    late = label_responses(np.ones((1, 1)), ["a"], ["V1"], target_labels={"time": [2.0]})
    assert align(truth, {"": late}).tolist() == [[1]]


def test_merge_takes_means_where_predictions_overlap():
    a, b = block(4, 3), block(4, 3) + 10.0
    b.values[0, 0] = np.nan
    found = merge([a.isel(row=[0, 1, 2]), b.isel(row=[0, 1, 3], target=[2, 0])])["s1"]
    by_hand = {}
    for piece in (a.isel(row=[0, 1, 2]), b.isel(row=[0, 1, 3], target=[2, 0])):
        for r in piece.row.values:
            for t in piece.target.values:
                value = float(piece.sel(row=r, target=t))
                if not np.isnan(value):
                    by_hand.setdefault((r, t), []).append(value)
    assert set(found.row.values) == {"im0", "im1", "im2", "im3"}
    for r in found.row.values:
        for t in found.target.values:
            value = float(found.sel(row=r, target=t))
            expected = by_hand.get((r, t))
            assert np.isnan(value) if expected is None else value == np.mean(expected)
    assert float(found.sel(row="im0", target="t0")) == float(a.sel(row="im0", target="t0"))


def test_merge_joins_a_target_that_stands_twice_in_one_block():
    one = block(2, 2)
    twice = assemble(
        np.concatenate([one.values, one.values + 2], axis=1),
        row_table(one),
        target_tables([target_table(one)] * 2),
    )
    found = merge([twice])["s1"]
    np.testing.assert_array_equal(found.values, one.values + 1)


def test_merge_keeps_subjects_dtype_and_lone_blocks():
    one, two = block(2, 2, "s1", np.float32), block(2, 2, "s2", np.float32)
    both = stack([one, two])
    assert list(both.subject.values) == ["s1", "s1", "s2", "s2"]
    found = merge([both])
    assert list(found) == ["s1", "s2"]
    xr.testing.assert_identical(found["s2"].drop_vars("subject"), two.drop_vars("subject"))
    assert merge([one])["s1"] is one
    assert merge([one, one])["s1"].dtype == np.float32
    with pytest.raises(DataError, match="different rows"):
        stack([one, two[::-1]])


def test_regions_that_a_block_lacks_are_false_not_text():
    one = block(2, 2, rois={"V1": [True, False]})
    two = block(2, 2, "s2", rois={"V2": [False, True]})
    both = stack([one, two])
    assert both["roi:V1"].dtype == bool
    assert membership(both).to_numpy().tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    parts = [one.isel(target=[0]), block(2, 2).isel(target=[1])]
    assert merge(parts)["s1"]["roi:V1"].values.tolist() == [True, False]


def test_by_subject_without_a_subject():
    made = label_responses(np.zeros((1, 1)), ["a"])
    assert by_subject(made)[""] is made


def changes(made):
    yield made.copy(data=made.values + np.eye(*made.shape))
    yield made.copy(data=made.values.astype(np.float32))
    for name in made.coords:
        values = made[name].values.copy()
        values[0] = not values[0] if values.dtype == bool else values[0] + values[-1]
        yield made.assign_coords({name: (made[name].dims, values)})
    yield made.isel(row=[1, 0, *range(2, len(made))])
    yield made.drop_vars("session")
    yield made.rename({"session": "sessions"})
    yield made[:, :-1]


def test_digest_follows_every_value_and_label():
    made = label_responses(
        RNG.standard_normal((3, 3)),
        ["a", "b", "c"],
        subject="s",
        rois={"V1": [True, False, True]},
        row_labels={"session": [1, 2, 3], "run": ["x", "y", "z"]},
        target_labels={"ceiling": [0.1, 0.2, 0.3]},
    )
    others = [digest(other) for other in changes(made)]
    assert len({digest(made), *others}) == 1 + len(others)
    assert digest(made.copy(deep=True)) == digest(made)


def test_digest_does_not_follow_the_width_of_text():
    made = block(2, 2)
    for dtype in ("U4", "U40", object):
        assert digest(made.assign_coords(row=made.row.values.astype(dtype))) == digest(made)


def test_labels_cannot_be_shifted_between_columns_without_changing_the_digest():
    one = label_responses(np.zeros((2, 1)), ["a", "b"], row_labels={"x": ["1\x1f2", "3"]})
    two = label_responses(np.zeros((2, 1)), ["a", "b"], row_labels={"x": ["1", "2\x1f3"]})
    assert digest(one) != digest(two)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.just(np.nan), st.floats(-5, 5)), min_size=3, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_merging_parts_gives_back_the_whole(rows):
    values = np.array(rows)
    whole = label_responses(values, [f"s{k}" for k in range(len(rows))], subject="s")
    parts = [whole.isel(row=[r], target=[t]) for r in range(len(rows)) for t in (2, 0, 1)]
    np.testing.assert_array_equal(align(whole, merge(parts)), values)


def test_tables_are_plain():
    made = block(2, 2)
    assert isinstance(row_table(made), pd.DataFrame)
    assert list(row_table(made).columns) == ["stimulus"]
    assert target_table(made).index.name == "target"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a", "b"], ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        (["a", None], ["a", ""]),
        (["a", np.nan], ["a", ""]),
        ([1, "b"], ["1", "b"]),
        ([np.str_("a"), "b"], ["a", "b"]),
        ([True, np.False_], [True, False]),
        (pd.Categorical(["x", "y"]), ["x", "y"]),
        (np.array([3, 4]), [3, 4]),
        ([3, 4], ["3", "4"]),
    ],
)
def test_labels_are_text_numbers_or_booleans(given, kept):
    targets = pd.DataFrame({"label": pd.Series(given, dtype=getattr(given, "dtype", object))})
    targets.index = ["t0", "t1"]
    rows = pd.DataFrame({"stimulus": ["a"]}, index=["a"])
    found = assemble(np.zeros((1, 2)), rows, targets)["label"].values
    assert found.tolist() == kept
    assert {type(v) for v in found.tolist()} == {type(v) for v in kept}


def test_labels_are_the_blocks_own():
    rows = pd.DataFrame({"stimulus": ["a", "b"]}, index=["a", "b"])
    names, number = np.array(["t", "u"], dtype=object), np.array([1.0, 2.0])
    targets = pd.DataFrame({"number": number}, index=names, copy=False)
    made = assemble(np.zeros((2, 2)), rows, targets)
    number[0] = 9.0
    names[1] = "other"
    made["number"].values[1] = 5.0
    assert made["number"].values.tolist() == [1.0, 5.0] and made.target.values.tolist() == [
        "t",
        "u",
    ]
    assert number.tolist() == [9.0, 2.0]


def test_identities_are_text_whatever_the_column():
    table = pd.DataFrame(
        {"subject": ["s", "s"], "target": pd.Series([1, "b"], dtype=object), "time": [2.0, 0.5]}
    )
    assert list(identities(table, ["subject", "target", "time"])) == [
        ("s", "1", "2"),
        ("s", "b", "0.5"),
    ]
