"""Nothing that belongs together is parted, whatever the order of the stimuli."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold as Reference

from striate.data import Stimuli, natural_key
from striate.errors import DataError
from striate.splits import (
    Fixed,
    HeldOut,
    KFold,
    Last,
    Parts,
    duplicates,
    folds_of,
    joined,
    leak_units,
)


def stimuli(count=12, **columns):
    ids = [f"im{k}" for k in range(count)]
    return Stimuli(pd.DataFrame({k: list(v) for k, v in columns.items()}, index=ids))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("count", [10, 23])
def test_kfold_of_singletons_is_that_of_scikit_learn(shuffle, count):
    made = stimuli(count)
    reference = Reference(4, shuffle=shuffle, random_state=3 if shuffle else None)
    calls = KFold(4, seed=3, shuffle=shuffle).calls(made)
    expected = list(reference.split(np.arange(count)))
    assert len(calls) == 4
    for call, (train, test) in zip(calls, expected, strict=True):
        assert call.train == tuple(f"im{k}" for k in train)
        assert call.test == tuple(f"im{k}" for k in test)


# Plain values: what is made inside a strategy may not draw random numbers, as beartype does.
FEW = st.sampled_from(["", "", "", "g1", "g2"])
PART = st.sampled_from(["", "train", "train", "test", "unused"])
LEAKY = st.lists(st.tuples(FEW, FEW, FEW, PART), min_size=8, max_size=24)


def leaky(lines, random):
    names = ("group", "digest", "session", "part")
    made = stimuli(len(lines), **dict(zip(names, zip(*lines, strict=True), strict=True)))
    ids = list(made.ids)
    random.shuffle(ids)
    return made.select(ids)


SPLITS = [
    KFold(3),
    KFold(2, seed=5, group="session"),
    Last(0.3),
    Last(count=2),
    Parts(),
    Fixed(test=("im1", "im2", "im1")),
    Fixed(test=("im0",), train=("im3", "im4", "im5")),
    HeldOut("session", ("g1",)),
    HeldOut("session", ("g2", "none"), folds=2),
    HeldOut("part", ("train",)),
]


@settings(max_examples=60, deadline=None)
@given(LEAKY, st.randoms(), st.sampled_from(SPLITS))
def test_groups_and_duplicates_are_never_parted(lines, random, split):
    made = leaky(lines, random)
    try:
        calls = split.calls(made)
    except DataError:
        return
    columns = ["group", "digest"] + (["session"] if split == SPLITS[1] else [])
    table = made.table
    for call in calls:
        assert not set(call.train) & set(call.test)
        assert len(set(call.test)) == len(call.test)
        part = table["part"]
        assert not any(part[i] in ("test", "unused") for i in call.train)
        if not isinstance(split, Fixed):
            assert not any(part[i] == "unused" for i in call.test)
        if call.name == "final":
            columns = ["group", "digest"]
        for column in columns:
            train = set(table.loc[list(call.train), column]) - {""}
            assert not train & set(table.loc[list(call.test), column])


@settings(max_examples=30, deadline=None)
@given(LEAKY, st.randoms())
def test_calls_do_not_depend_on_the_order_of_stimuli(lines, random):
    made, again = leaky(lines, random), leaky(lines, random)
    for split in SPLITS:
        try:
            first = split.calls(made)
        except DataError:
            continue
        assert first == split.calls(again)


def test_kfold_tests_every_stimulus_once_and_ends_with_the_hidden_ones():
    made = stimuli(9, part=[""] * 5 + ["train", "unused", "test", "test"], digest=[*"abcdefgha"])
    *folds, final = KFold(3).calls(made)
    tested = sorted((i for c in folds for i in c.test), key=natural_key)
    assert tested == [f"im{k}" for k in range(6)]
    assert final.name == "final"
    assert final.test == ("im7", "im8")
    # im0 has the content of im8, which is a test.
    assert final.train == tuple(f"im{k}" for k in range(1, 6))


def test_a_further_column_does_not_replace_the_group():
    made = stimuli(8, group=["a", "", "", "a", *[""] * 4], session=[*"00112233"])
    for call in KFold(2, group="session").calls(made):
        for column in ("group", "session"):
            train = set(made.table.loc[list(call.train), column]) - {""}
            assert not train & set(made.table.loc[list(call.test), column])
    with pytest.raises(DataError, match="names column 'nothing'"):
        KFold(group="nothing").calls(made)


def test_last_takes_the_end_of_natural_order():
    made = stimuli(12).select([f"im{k}" for k in reversed(range(12))])
    (call,) = Last(0.25).calls(made)
    assert call.test == ("im9", "im10", "im11")
    assert call.train == tuple(f"im{k}" for k in range(9))
    assert Last(count=1).calls(made)[0].test == ("im11",)
    grouped = stimuli(4, group=["", "g", "", "g"])
    assert Last(count=1).calls(grouped)[0].train == ("im0", "im2")
    for size in (0, 12):
        with pytest.raises(DataError, match=f"cannot hold out the last {size} of 12"):
            Last(count=size).calls(made)


def test_fixed_lists():
    made = stimuli(6, part=["", "", "", "", "", "test"])
    call, final = Fixed(test=("im3", "im1")).calls(made)
    assert call.test == ("im3", "im1")
    assert call.train == ("im0", "im2", "im4")
    assert final.train == ("im0", "im1", "im2", "im3", "im4")
    assert Fixed(test=("im3",), train=("im0", "im5")).calls(made)[0].train == ("im0",)
    assert len(Fixed(test=("im5",)).calls(made)) == 1
    with pytest.raises(DataError, match="no such stimulus: nobody"):
        Fixed(test=("nobody",)).calls(made)
    with pytest.raises(DataError, match="shares nothing with `train`: im1"):
        Fixed(test=("im1",), train=("im1",)).calls(made)
    with pytest.raises(DataError, match="needs a `test` list"):
        Fixed().calls(made)


def test_parts():
    made = stimuli(4, part=["train", "test", "", "unused"], digest=["x", "y", "y", ""])
    (call,) = Parts().calls(made)
    assert call.test == ("im1",)
    assert call.train == ("im0",)
    with pytest.raises(DataError, match="sets no stimuli aside"):
        Parts().calls(stimuli(3))
    with pytest.raises(DataError, match="unknown part valid"):
        Parts().calls(stimuli(2, part=["valid", "test"]))


def test_units_chain_and_join():
    made = stimuli(5, group=["g", "g", "", "", ""], digest=["", "1", "1", "2", ""])
    units = leak_units(made)
    assert units.tolist() == ["im0", "im0", "im0", "im3", "im4"]
    more = joined(units, [("im4", "im1"), ("im4", "im3")])
    assert set(more) == {"im0"}
    assert set(joined(units, [])) == set(units)
    assert duplicates(made) == [("im1", "im2")]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12),
)
def test_joined_are_the_connected_components(pairs):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    names = [f"n{k}" for k in range(10)]
    units = pd.Series({n: n for n in names})
    found = joined(units, [(names[a], names[b]) for a, b in pairs])
    a, b = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(10, 10))
    labels = connected_components(graph, directed=False)[1]
    for i in range(10):
        for j in range(10):
            assert (found.iloc[i] == found.iloc[j]) == (labels[i] == labels[j])
        # A unit is called by its first member.
        assert found.iloc[i] == names[int(np.flatnonzero(labels == labels[i])[0])]


def test_folds_need_enough_units():
    with pytest.raises(DataError, match="3 folds need"):
        folds_of(["a", "a", "b"], 3, 0)
    with pytest.raises(DataError, match="1 folds need"):
        folds_of(["a", "b"], 1, 0)


def test_names_that_count_the_same_are_not_confused():
    units = ["s1", "s01", "s001", "s0001"]
    labels = dict(zip(units, folds_of(units, 2, 0), strict=True))
    again = dict(zip(units[::-1], folds_of(units[::-1], 2, 0), strict=True))
    assert labels == again


def test_pieces_of_a_file_are_one_unit():
    table = pd.DataFrame(
        {"file": ["m.mp4", "m.mp4", "n.mp4"], "onset": [0.0, 2.0, 0.0], "digest": list("abc")},
        index=["x", "y", "z"],
    )
    assert list(leak_units(Stimuli(table))) == ["x", "x", "z"]


def seasons(**more):
    lines = {"season": [1, 1, 1, 2, 2, 3, 3, 3, 4, 4], "part": ["train"] * 8 + ["test"] * 2}
    return stimuli(10, **lines | more)


def test_whole_seasons_are_held_out():
    made = seasons()
    held, final = HeldOut("season", ("2", "1")).calls(made)
    assert (held.name, final.name) == ("held out", "final")
    assert held.train == ("im5", "im6", "im7") and held.test == ("im0", "im1", "im2", "im3", "im4")
    assert final.train == tuple(f"im{k}" for k in range(8)) and final.test == ("im8", "im9")
    turned = made.select(made.ids[::-1])
    assert HeldOut("season", ("1", "2")).calls(turned) == [held, final]
    assert HeldOut("season", ("1", "2"), folds=3).calls(turned) == [held, final]
    # A unit on one side is no leak, and one that reaches into the test is left out of `final`.
    whole = seasons(group=["a", "a", "", "", "", "b", "", "", "", "b"])
    held, final = HeldOut("season", ("1",)).calls(whole)
    assert "im5" in held.train and "im5" not in final.train


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (HeldOut("year", ("1",)), r"split\.label names column 'year'.*season"),
        (HeldOut("season", ("1", "7")), r"split\.values names '?7'?, but 'season'.*1.*2.*3$"),
        (HeldOut("season", ("4",)), r"split\.values names '?4'?, but"),
        (HeldOut("season", ()), r"split\.values names nothing, but"),
        (HeldOut("season", ("1", "2", "3")), "nothing is left to train on"),
    ],
)
def test_what_cannot_be_held_out_is_told(split, told):
    with pytest.raises(DataError, match=told):
        split.calls(seasons())


@pytest.mark.parametrize("column", ["group", "digest"])
@pytest.mark.parametrize("folds", [0, 2])
def test_values_that_part_what_belongs_together_are_told(column, folds):
    made = seasons(**{column: ["x", "", "", "", "", "x", "", "", "", ""]})
    with pytest.raises(DataError, match=r"im0.*im5.*'season' is '?1'?.*3.*hold out all"):
        HeldOut("season", ("1",), folds).calls(made)
    assert len(HeldOut("season", ("2",), folds).calls(made)) == 2


def test_folds_where_nothing_can_be_held_out():
    made = seasons(group=list("aabbccddee"))
    for values in (("7",), ("1", "2", "3"), ()):
        calls = HeldOut("season", values, folds=2).calls(made)
        assert calls == KFold(folds=2).calls(made)
        assert [c.name for c in calls] == ["fold0", "fold1", "final"]
