"""Blends against references, with members that predict some targets and not others."""

import numpy as np
import pytest
from scipy.optimize import nnls

from striate.data import Features, assemble, label_responses, row_table, target_table
from striate.encoders.blend import Best, Mean, Stack, Stitch
from striate.errors import DataError, RecipeError

RNG = np.random.default_rng(0)
ROWS, TARGETS, TRAIN = 40, 4, 30
IDS = [f"im{k}" for k in range(ROWS)]
TRUTH = RNG.standard_normal((ROWS, TARGETS))
NOISE = np.array([[0.3, 1.0, 0.3, 2.0], [1.0, 0.3, 2.0, 0.3], [3.0, 3.0, 3.0, 3.0]])
VALUES = TRUTH + NOISE[:, None] * RNG.standard_normal((3, ROWS, TARGETS)) + 1.5


def labelled(values):
    return label_responses(np.asarray(values), IDS, subject="s1")


def features(values=VALUES):
    members = {f"m{k}": {"s1": labelled(v)} for k, v in enumerate(values)}
    return Features({}, tuple(IDS), members)


BLOCK = labelled(TRUTH)
GROUPS = [[BLOCK[:TRAIN]]]
TEST = BLOCK[TRAIN:]


def choices(part):
    """The member that each target took, from weights of which one is 1 and the others 0."""
    assert sorted(np.unique([0, *part["weights"].ravel()])) == [0, 1]
    assert (part["weights"].sum(axis=0) == 1).all()
    return part["weights"].argmax(axis=0).tolist()


def reference(values, t, train=slice(0, TRAIN)):
    """Weights and intercept by scipy, with the intercept free."""
    x, y = values[:, train, t].T, TRUTH[train, t]
    weights, _ = nnls(x - x.mean(axis=0), y - y.mean())
    return weights, y.mean() - x.mean(axis=0) @ weights


def test_stack_is_nonnegative_least_squares():
    fitted = Stack().fit(features(), GROUPS)
    found = fitted.predict(features(), TEST).values
    (part,) = fitted.parts_
    for t in range(TARGETS):
        weights, intercept = reference(VALUES, t)
        np.testing.assert_allclose(part["weights"][:, t], weights, atol=1e-5)
        expected = VALUES[:, TRAIN:, t].T @ weights + intercept
        np.testing.assert_allclose(found[:, t], expected, rtol=1e-4, atol=1e-5)
    error = ((found - TRUTH[TRAIN:]) ** 2).mean(axis=0)
    assert (error < ((VALUES[:, TRAIN:] - TRUTH[TRAIN:]) ** 2).mean(axis=1).min(axis=0)).all()
    assert (Stack(l2=1e6).fit(features(), GROUPS).parts_[0]["weights"] < 1e-3).all()


def test_stack_does_not_weigh_members_that_do_not_predict_a_target():
    values = VALUES.copy()
    values[0, :, 2] = np.nan
    fitted = Stack().fit(features(values), GROUPS)
    assert fitted.parts_[0]["weights"][0, 2] == 0
    weights, intercept = reference(VALUES[1:], 2)
    found = fitted.predict(features(values), TEST).values[:, 2]
    np.testing.assert_allclose(found, VALUES[1:, TRAIN:, 2].T @ weights + intercept, rtol=1e-4)
    values[1:, :, 2] = np.nan
    with pytest.raises(DataError, match="no member predicts target 't2'"):
        Stack().fit(features(values), GROUPS)
    values = VALUES.copy()
    values[1, 3, 2] = np.nan
    with pytest.raises(DataError, match="member 'm1' predicted only some rows of target 't2'"):
        Stack().fit(features(values), GROUPS)
    with pytest.raises(DataError, match="a blend needs members"):
        Stack().fit(Features({}, tuple(IDS)), GROUPS)


def test_stack_predicts_nothing_where_a_weighed_member_is_missing():
    fitted = Stack().fit(features(), GROUPS)
    values = VALUES.copy()
    values[0, TRAIN + 2] = np.nan
    found = fitted.predict(features(values), TEST).values
    weighed = fitted.parts_[0]["weights"][0] > 0
    assert weighed[0]
    assert np.isnan(found[2, weighed]).all()
    assert not np.isnan(np.delete(found, 2, axis=0)).any()


def test_stack_of_targets_measured_on_different_rows():
    block = BLOCK[:TRAIN].copy(deep=True)
    block.values[:10, 1] = np.nan
    fitted = Stack().fit(features(), [[block]])
    found = fitted.predict(features(), TEST)
    weights, intercept = reference(VALUES, 1, slice(10, TRAIN))
    expected = VALUES[:, TRAIN:, 1].T @ weights + intercept
    np.testing.assert_allclose(found.sel(target="t1").values, expected, rtol=1e-4, atol=1e-5)


def test_best_chooses_by_target_and_by_group():
    fitted = Best().fit(features(), GROUPS)
    found = fitted.predict(features(), TEST).values
    for t, k in enumerate((0, 1, 0, 1)):
        np.testing.assert_allclose(found[:, t], VALUES[k, TRAIN:, t], rtol=1e-6)
    assert fitted.note_["targets that chose m0"] == 2
    groups = [[BLOCK[:TRAIN, :1]], [BLOCK[:TRAIN, 1:]]]
    by_group = Best(each="group").fit(features(), groups)
    assert [choices(p) for p in by_group.parts_] == [[0], [1, 1, 1]]


def test_best_of_a_group_is_among_members_that_predict_all_of_it():
    values = VALUES.copy()
    values[1, :, 1] = np.nan
    groups = [[BLOCK[:TRAIN, 1:]]]
    fitted = Best(each="group").fit(features(values), groups)
    assert set(choices(fitted.parts_[0])) == {0}
    each = Best().fit(features(values), groups)
    assert choices(each.parts_[0]) == [0, 0, 1]
    values[0, :, 2] = values[2, :, 3] = np.nan
    with pytest.raises(DataError, match="no member predicts all targets of a group"):
        Best(each="group").fit(features(values), groups)


def test_mean_and_stitch_fill_gaps():
    values = VALUES.copy()
    values[0, :, 0] = np.nan
    values[0, TRAIN + 1, 1] = np.nan
    values[:, :, 3] = np.nan
    view = features(values)
    mean = Mean().fit(view, GROUPS).predict(view, TEST).values
    expected = np.nanmean(values[:, TRAIN:, :3], axis=0)
    np.testing.assert_allclose(mean[:, :3], expected, rtol=1e-6)
    stitch = Stitch().fit(view, GROUPS).predict(view, TEST).values
    np.testing.assert_allclose(stitch[:, 0], values[1, TRAIN:, 0], rtol=1e-6)
    np.testing.assert_allclose(stitch[:, 2], values[0, TRAIN:, 2], rtol=1e-6)
    assert stitch[1, 1] == np.float32(values[1, TRAIN + 1, 1])
    assert np.isnan(mean[:, 3]).all() and np.isnan(stitch[:, 3]).all()


def test_what_learns_nothing_needs_no_measured_rows():
    hidden = BLOCK.copy(data=np.full(BLOCK.shape, np.nan))
    for blend in (Mean(), Stitch()):
        found = blend.fit(features(), [[hidden[:0]], []]).predict(features(), TEST)
        assert found.shape == TEST.shape
        assert not blend.learns


def test_members_are_found_by_label():
    view = features()
    turned = {
        name: {"s1": blocks["s1"].isel(row=slice(None, None, -1), target=[2, 0, 3, 1])}
        for name, blocks in view.members.items()
    }
    other = Features({}, tuple(IDS), turned)
    for blend in (Stack(), Best(), Mean(), Stitch()):
        one = blend.fit(view, GROUPS).predict(view, TEST)
        two = blend.fit(other, GROUPS).predict(other, TEST)
        np.testing.assert_allclose(one.values, two.values, rtol=1e-6)


def test_one_member_may_answer_for_all_subjects():
    general = assemble(VALUES[0], row_table(BLOCK), target_table(BLOCK).drop(columns="subject"))
    view = Features({}, tuple(IDS), {"m": {"": general}})
    two = label_responses(-TRUTH[:TRAIN], IDS[:TRAIN], subject="s2")
    found = Mean().fit(view, [[BLOCK[:TRAIN], two]]).predict(view, TEST)
    assert found.shape == (ROWS - TRAIN, 8)
    np.testing.assert_allclose(found.values[:, 4:], VALUES[0, TRAIN:], rtol=1e-6)


@pytest.mark.parametrize("blend", [Stack(), Best(), Mean(), Stitch()])
def test_blends_refuse_a_start(blend):
    with pytest.raises(RecipeError, match="cannot start from another fit"):
        blend.fit(features(), GROUPS, start=object())
