"""What is predicted, against the same thing worked out by hand."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import OnDisk, assemble, label_responses, roi_names, row_table, target_table
from striate.errors import DataError, RecipeError
from striate.prepare import Preparation
from striate.registry import make
from striate.scores import split_half

RNG = np.random.default_rng(0)


def block(subject="s1", rows=6, targets=4, values=None, **more):
    values = RNG.standard_normal((rows, targets)) if values is None else values
    return label_responses(values, [f"im{k}" for k in range(len(values))], subject=subject, **more)


def test_nothing_asked_nothing_changed():
    given = block()
    done = Preparation()({"s1": given})
    assert list(done) == ["s1"]
    xr.testing.assert_identical(done["s1"], given)


def test_keep():
    masks = {"V1": [1, 1, 0, 0], "V4": [0, 1, 1, 0]}
    labels = {"ceiling": [0.1, 0.5, np.nan, 0.9], "hemisphere": ["l", "r", "l", "r"]}
    one = block("s1", rois=masks, target_labels=labels)
    two = block("s2", rois={"V4": [0, 0, 0, 1]}, target_labels=labels)
    blocks = {"s1": one, "s2": two}

    def kept(**keep):
        done = Preparation(keep=keep)(blocks)
        return {s: "".join(t[1:] for t in b.target.values) for s, b in done.items()}

    assert kept(subject="s2") == {"s2": "0123"}
    assert kept(subject=["s2", "s1"]) == {"s1": "0123", "s2": "0123"}
    assert kept(roi="V4") == {"s1": "12", "s2": "3"}
    assert kept(roi=["V1", "V4"]) == {"s1": "012", "s2": "3"}
    assert kept(roi="V1") == {"s1": "01"}
    assert kept(ceiling=0.5) == {"s1": "3", "s2": "3"}
    assert kept(hemisphere="l") == {"s1": "02", "s2": "02"}
    assert kept(hemisphere=["l"], roi="V4") == {"s1": "2"}
    assert kept(target=["t1"]) == {"s1": "1", "s2": "1"}


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"subject": "s9"}, "unknown subject 's9' in responses.keep"),
        ({"roi": ["V1", "V44"]}, r"unknown roi 'V44' .*did you mean 'V4'"),
        ({"hemisfere": "l"}, "unknown target label 'hemisfere'"),
        ({"ceiling": 0.5}, "unknown target label 'ceiling'"),
        ({"target": "nobody"}, "leaves no target"),
    ],
)
def test_keep_that_finds_nothing(keep, said):
    masks = {"V1": [1, 1, 0, 0], "V4": [0, 1, 1, 0]}
    with pytest.raises(RecipeError, match=said):
        Preparation(keep=keep)({"s1": block(rois=masks)})


def repeated(rows=30, targets=3, repeats=4):
    signal = RNG.standard_normal((rows, targets, 1))
    noise = np.array([0.2, 1.0, 6.0])[:targets, None]
    return signal + noise * RNG.standard_normal((rows, targets, repeats))


def test_mean_of_the_repeats_there_are_with_split_half_ceilings():
    values = repeated()
    values[3, :, 2:] = np.nan
    values[4] = np.nan
    values[5, 1, 0] = np.nan
    done = Preparation()({"s1": block(values=values)})["s1"]
    assert done.dims == ("row", "target")
    rest = np.delete(np.arange(30), 4)
    expected = np.nanmean(values[rest], axis=2)
    np.testing.assert_allclose(done.values[rest], expected, rtol=1e-12)
    assert np.isnan(done.values[4]).all()
    ceiling = target_table(done)["ceiling"].to_numpy()
    np.testing.assert_allclose(ceiling, np.clip(split_half(values[rest]), 0, 1))
    assert ceiling[0] > 0.9 > ceiling[1] > ceiling[2]


def test_keep_by_a_ceiling_that_follows_from_the_repeats():
    values = repeated()
    done = Preparation(keep={"ceiling": 0.6})({"s1": block(values=values)})["s1"]
    assert list(done.target.values) == ["t0", "t1"]


def test_ceilings_of_the_data_come_first():
    given = block(values=repeated(), target_labels={"ceiling": [0.3, 0.2, 0.1]})
    done = Preparation()({"s1": given})["s1"]
    assert target_table(done)["ceiling"].tolist() == [0.3, 0.2, 0.1]


def test_repeats_as_rows():
    values = repeated(rows=4, repeats=3)
    values[1, :, 1:] = np.nan
    values[2, 0, 0] = np.nan
    values[3] = np.nan
    done = Preparation(repeats="keep")({"s1": block(values=values)})["s1"]
    names = ["im0#0", "im0#1", "im0#2", "im1#0", "im2#0", "im2#1", "im2#2", "im3#0"]
    assert list(done.row.values) == names
    assert row_table(done)["stimulus"].tolist() == [n[:3] for n in names]
    for name in names:
        k, r = int(name[2]), int(name[4])
        np.testing.assert_array_equal(done.sel(row=name).values, values[k, :, r])
    assert np.isnan(done.sel(row="im3#0")).all()


def test_average_over_subjects_is_by_label():
    one = block("s1", targets=2, rois={"V1": [True, False]})
    two = block("s2", targets=2, rois={"V2": [True, True]}).isel(target=[1, 0])
    two.values[0, 0] = np.nan
    done = Preparation(average=("subject",))({"s1": one, "s2": two})
    (name,) = done
    assert name == "group"
    assert "subject" not in done["group"].coords
    expected = np.nanmean([one.values, two.values[:, ::-1]], axis=0)
    np.testing.assert_allclose(done["group"].values, expected)
    assert set(roi_names(done["group"])) == {"V1", "V2"}
    assert done["group"]["roi:V1"].dtype == bool


def test_average_over_time_keeps_subjects_and_drops_ceilings():
    values = np.arange(8.0).reshape(2, 4)
    labels = {"time": [0, 1, 0, 1], "ceiling": [0.1, 0.2, 0.3, 0.4], "x": [1.0, 2.0, 3.0, 4.0]}
    blocks = {
        s: block(s, values=v, targets=4, target_labels=labels).assign_coords(
            target=["a", "a", "b", "b"]
        )
        for s, v in (("s1", values), ("s2", values * 10))
    }
    done = Preparation(average=("time",))(blocks)
    assert list(done) == ["s1", "s2"]
    assert done["s2"].values.tolist() == [[5, 25], [45, 65]]
    assert "time" not in done["s1"].coords
    assert "ceiling" not in done["s1"].coords
    assert set(done["s1"].subject.values) == {"s1"}
    both = Preparation(average=("subject", "time"))(blocks)["group"]
    np.testing.assert_allclose(both.values, np.array([[0.5, 2.5], [4.5, 6.5]]) * 5.5)


def test_subjects_with_other_rows_are_other_groups_and_hidden_rows_stay_hidden():
    hidden = block("s3", rows=3)
    hidden.values[:] = np.nan
    blocks = {"s1": block("s1"), "s2": block("s2"), "s3": hidden}
    done = Preparation(average=("subject",))(blocks)
    assert list(done) == ["group1", "group2"]
    assert np.isnan(done["group2"]).all()
    with pytest.raises(RecipeError, match=r"unknown label in responses\.average 'tiem'"):
        Preparation(average=("tiem",))(blocks)
    with pytest.raises(RecipeError, match="'time'"):
        Preparation(average=("time",))(blocks)


def test_zscore_within_sessions():
    sessions = ["a", "b", "a", "b", "a", "c"]
    given = block(row_labels={"session": sessions})
    given.values[:] = given.values * 5 + 3
    given.values[0, 1] = np.nan
    given.values[:, 3] = 7
    done = Preparation(zscore="session")({"s1": given})["s1"].values
    for name in "abc":
        rows = [k for k, s in enumerate(sessions) if s == name]
        part = given.values[rows]
        spread = np.nanstd(part, axis=0)
        expected = (part - np.nanmean(part, axis=0)) / np.where(spread > 0, spread, 1)
        np.testing.assert_allclose(done[rows], expected, atol=1e-12)
    assert np.isnan(done).sum() == 1
    assert (done[:, 3] == 0).all()
    with pytest.raises(DataError, match="needs a row label `session`"):
        Preparation(zscore="session")({"s1": block()})


def test_range_and_clip():
    given = block()
    given.values[0, 0] = np.nan
    done = Preparation(range=(0.0, 2.0), clip=(0.5, 1.5))({"s1": given})["s1"].values
    known = given.values[~np.isnan(given.values)]
    scaled = (given.values - known.min()) / (known.max() - known.min()) * 2
    np.testing.assert_allclose(done, np.clip(scaled, 0.5, 1.5))
    assert np.isnan(done[0, 0])
    hidden = block()
    hidden.values[:] = np.nan
    assert np.isnan(Preparation(range=(0.0, 1.0))({"s1": hidden})["s1"]).all()
    with pytest.raises(DataError, match="all the same"):
        Preparation(range=(0.0, 1.0))({"s1": block(values=np.ones((3, 2)))})
    for limits in ((1.0, 0.0), (1.0,)):
        with pytest.raises(RecipeError, match="is no pair of lower and upper limits"):
            Preparation(clip=limits)({"s1": block()})


def test_single_precision_stays_single():
    values = repeated().astype(np.float32)
    made = block(values=values, row_labels={"session": [1] * 30})
    done = Preparation(zscore="session", range=(0.0, 1.0), clip=(0.0, 0.5))({"s1": made})
    assert done["s1"].dtype == np.float32
    averaged = Preparation(average=("subject",))({"s1": made})
    assert averaged["group"].dtype == np.float32


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_files_changes_nothing(random):
    labels = {"session": [k % 2 for k in range(12)]}
    values = np.random.default_rng(1).standard_normal((12, 11, 2))
    blocks = {
        s: block(s, values=v, row_labels=labels)
        for s, v in zip("ab", (values, -values), strict=True)
    }
    words = Preparation(zscore="session", range=(0.0, 1.0))
    expected = words(blocks)
    assert list(expected["a"].row.values) == [f"im{k}" for k in range(12)]

    def shuffled(count):
        order = list(range(count))
        random.shuffle(order)
        return order

    turned = {s: blocks[s].isel(row=shuffled(12), target=shuffled(11)) for s in ("b", "a")}
    done = words(turned)
    assert list(done) == ["a", "b"]
    for s in done:
        xr.testing.assert_allclose(done[s], expected[s], rtol=1e-12)
        assert list(done[s].target.values) == [f"t{k}" for k in range(11)]


def test_mistakes_in_the_schema_are_told_by_subject():
    bad = block()
    bad.values[0, 0] = np.inf
    with pytest.raises(DataError, match="responses of 's1': some values are infinite"):
        Preparation()({"s1": bad})


def test_fields_from_a_recipe():
    made = make(Preparation, {"average": "subject", "clip": [-3, 3], "keep": {"roi": "V1"}}, "r")
    assert made == Preparation(average=("subject",), clip=(-3.0, 3.0), keep={"roi": "V1"})
    with pytest.raises(RecipeError, match="zscore = 'run' does not fit"):
        make(Preparation, {"zscore": "run"}, "responses")


def test_averages_refuse_subjects_who_saw_some_of_the_same():
    blocks = {"s1": block("s1"), "s2": block("s2", rows=4)}
    with pytest.raises(RecipeError, match="all saw the same rows"):
        Preparation(average=("subject",))(blocks)


def test_single_repeats_have_no_ceiling_of_their_mean():
    values = np.random.default_rng(0).standard_normal((5, 2, 3))
    given = label_responses(values, list("abcde"), target_labels={"ceiling": [0.8, 0.9]})
    assert "ceiling" in Preparation()({"s": given})["s"].coords
    assert "ceiling" not in Preparation(repeats="keep")({"s": given})["s"].coords


def test_repeats_on_disk_are_averaged_as_those_in_memory(monkeypatch):
    """Targets that differ in their repeats share one estimate, however they are read."""
    values = RNG.standard_normal((30, 1, 1)) + RNG.standard_normal((30, 6, 4))
    values[5, 2, 1:] = np.nan
    held = block(values=values)
    stored = assemble(OnDisk.of(values), row_table(held), target_table(held))
    whole = Preparation()({"s1": held})["s1"]
    monkeypatch.setattr("striate.prepare.PIECE", 2 * values[:, :1].nbytes)
    found = Preparation()({"s1": stored})["s1"]
    np.testing.assert_allclose(found.values, whole.values, atol=1e-12)
    np.testing.assert_allclose(found.ceiling.values, whole.ceiling.values, atol=1e-12)
