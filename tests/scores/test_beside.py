"""Rows and targets that several models share, by label whatever their order."""

import numpy as np
import pytest

from striate.data import label_responses
from striate.errors import DataError
from striate.scores.beside import beside, sides

RNG = np.random.default_rng(0)
IDS = [f"i{k}" for k in range(12)]
TARGETS = [f"t{k}" for k in range(5)]


def block(values, ids=IDS, targets=TARGETS, subject="s1", **more):
    return label_responses(values, ids, targets, subject=subject, **more)


@pytest.fixture
def truth():
    values = RNG.standard_normal((12, 5))
    return {"s1": block(values, rois={"V1": [True, True, False, False, True]})}


def shuffled(found, rows, targets):
    return found.isel(row=RNG.permutation(len(found))[:rows], target=RNG.permutation(5)[:targets])


def test_order_of_rows_and_targets_does_not_matter(truth):
    own = truth["s1"] + 0.0
    models = {"a": {"s1": shuffled(own, 12, 5)}, "b": {"s1": shuffled(own * 2, 9, 3)}}
    (found,) = beside(truth, models)
    assert found.truth.shape == (9, 3)
    assert (found.rows_left, found.targets_left) == (3, 2)
    assert set(found.rows.index) == set(models["b"]["s1"].row.values)
    assert set(found.targets.index) == set(models["b"]["s1"].target.values)
    np.testing.assert_array_equal(found.predicted[0], found.truth)
    np.testing.assert_array_equal(found.predicted[1], 2 * found.truth)
    wanted = own.sel(row=found.rows.index, target=found.targets.index)
    np.testing.assert_array_equal(found.truth, wanted.values)
    assert list(found.regions["V1"]) == list(wanted["roi:V1"].values)
    np.testing.assert_allclose(found.values("pearson"), 1.0)


def test_a_model_without_subjects_answers_for_everyone(truth):
    truth["s2"] = block(RNG.standard_normal((12, 5)), subject="s2")
    anyone = label_responses(RNG.standard_normal((12, 5)), IDS, TARGETS)
    found = list(beside(truth, {"a": {"": anyone}, "b": {"s1": truth["s1"], "s2": truth["s2"]}}))
    assert [f.subject for f in found] == ["s1", "s2"]
    for part in found:
        np.testing.assert_array_equal(part.predicted[0], anyone.values)


def test_nothing_is_shared_with_rows_or_targets_that_all_are_nan(truth):
    own = truth["s1"].copy(deep=True)
    own.values[2] = np.nan
    own.values[:, 1] = np.nan
    (found,) = beside(truth, {"a": {"s1": own}, "b": truth})
    assert found.truth.shape == (11, 4)
    assert "t1" not in found.targets.index


def test_a_target_predicted_on_some_rows_is_refused(truth):
    own = truth["s1"].copy(deep=True)
    own.values[2, 3] = np.nan
    with pytest.raises(DataError, match=r"b lacks some predictions of target 't3' of 's1'"):
        list(beside(truth, {"a": truth, "b": {"s1": own}}))


def test_models_of_other_people_share_nothing(truth):
    other = block(RNG.standard_normal((12, 5)), subject="s9")
    assert list(beside(truth, {"a": truth, "b": {"s9": other}})) == []


def test_stimuli_of_two_subjects_are_drawn_at_once(truth):
    units = {"unit": [f"u{k // 2}" for k in range(12)]}
    truth = {
        "s1": block(RNG.standard_normal((12, 5)), row_labels=units),
        "s2": block(
            RNG.standard_normal((6, 5)),
            IDS[6:],
            subject="s2",
            row_labels={"unit": units["unit"][6:]},
        ),
    }
    found = list(beside(truth, {"a": truth}))
    (first, second), things = sides(found, np.ones((10, 1), dtype=bool))
    assert things == 6
    np.testing.assert_array_equal(first.place[6:], second.place)
