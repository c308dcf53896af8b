"""Targets that share rows are stacked; gaps split them; labels travel along."""

import numpy as np
import pytest

from striate.data import label_responses, target_table
from striate.encoders.targets import buckets, predicted
from striate.errors import DataError, RecipeError
from striate.registry import build

IDS = [f"im{k}" for k in range(6)]


def block(subject, targets=3, ids=IDS, **more):
    values = np.arange(len(ids) * targets, dtype=float).reshape(-1, targets)
    return label_responses(values, ids, subject=subject, **more)


def test_targets_that_share_rows_are_one_bucket():
    one, two, other = block("a"), block("b", 2), block("c", 2, IDS[:4])
    found = list(buckets([[one, other], [two]]))
    assert [b.values.shape for b in found] == [(6, 5), (4, 2)]
    assert found[0].targets["subject"].tolist() == ["a"] * 3 + ["b"] * 2
    np.testing.assert_array_equal(found[0].values[:, 3:], two.values)
    assert list(found[1].rows.row.values) == IDS[:4]


def test_patterns_of_gaps_are_buckets_of_their_own():
    made = block("a", 4)
    made.values[:2, [1, 3]] = np.nan
    made.values[4, 2] = np.nan
    found = {tuple(b.targets.index): b for b in buckets([[made]])}
    assert set(found) == {("t0",), ("t1", "t3"), ("t2",)}
    assert list(found["t1", "t3"].rows.row.values) == IDS[2:]
    for names, bucket in found.items():
        assert not np.isnan(bucket.values).any()
        expected = made.sel(row=bucket.rows.row.values).isel(target=[int(n[1]) for n in names])
        np.testing.assert_array_equal(bucket.values, expected.values)
    made.values[:, 2] = np.nan
    with pytest.raises(DataError, match="'t2' was measured on 0 training rows"):
        list(buckets([[made]]))


def test_folds_part_no_unit():
    made = block("a")
    units = np.array(["u", "v", "u", "w", "v", "w"], dtype=object)
    (bucket,) = buckets([[made.assign_coords(unit=("row", units))]])
    folds = bucket.folds(5, 0)
    assert len(set(folds)) == 3
    for unit in "uvw":
        assert len(set(folds[units == unit])) == 1
    (plain,) = buckets([[made]])
    assert len(set(plain.folds(5, 0))) == 5


def test_regions_survive_even_where_a_subject_lacks_one():
    one = block("a", 2, rois={"V1": [True, False]})
    two = block("b", 2, rois={"V2": [True, True]})
    (bucket,) = buckets([[one], [two]])
    assert bucket.targets["roi:V1"].tolist() == [True, False, False, False]
    parts = [(np.zeros((6, 2)), target_table(one)), (np.ones((6, 2)), target_table(two))]
    found = predicted(one, parts)
    assert found["roi:V2"].dtype == bool
    assert found["roi:V2"].values.tolist() == [False, False, True, True]
    assert found.values[0].tolist() == [0, 0, 1, 1]


FOLDED = ["banded", "elastic_net", "fractional_ridge", "kernel_ridge", "lasso", "multitask"]


@pytest.mark.parametrize("name", [*FOLDED, "pls", "res", "ridge"])
def test_one_fold_chooses_nothing(name):
    for folds in (1, 0, -3):
        with pytest.raises(RecipeError, match=f"{name}: folds = {folds} must be 2 or more"):
            build("encoder", {"use": name, "folds": folds})
    assert build("encoder", {"use": name, "folds": 2}).folds == 2
