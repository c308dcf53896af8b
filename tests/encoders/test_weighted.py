"""Fixed weights: of members, shared inside of globs, by region, and around gaps."""

import numpy as np
import pytest

from striate.data import Features, label_responses
from striate.encoders.weighted import Weighted
from striate.errors import RecipeError

RNG = np.random.default_rng(0)
IDS = [f"im{k}" for k in range(8)]
NAMES = ["a1", "a2", "b@size=64", "b@size=96", "c"]
VALUES = RNG.standard_normal((5, 8, 4)).astype(np.float32)
ROIS = {"V1": [True, True, False, False], "V2": [False, True, True, False]}


def labelled(values):
    return label_responses(np.asarray(values), IDS, subject="s1", rois=ROIS)


def features(values=VALUES):
    members = {n: {"s1": labelled(v)} for n, v in zip(NAMES, values, strict=True)}
    return Features({}, tuple(IDS), members)


BLOCK = labelled(np.zeros((8, 4)))
GROUPED = {"a*": 0.5, "b": 0.3, "c": 0.2}
OF_MEMBERS = np.array([0.25, 0.25, 0.15, 0.15, 0.2])


def answer(weights, values=VALUES):
    view = features(values)
    return Weighted(weights).fit(view, [[BLOCK[:5]]]).predict(view, BLOCK).values


def mixed(weights, values=VALUES):
    return np.einsum("m,mrt->rt", np.asarray(weights), np.nan_to_num(values))


def test_a_glob_shares_its_weight():
    np.testing.assert_allclose(answer(GROUPED), mixed(OF_MEMBERS), rtol=1e-5, atol=1e-6)
    fitted = Weighted(GROUPED).fit(features(), [[BLOCK[:0]], []])
    assert not fitted.learns
    line = fitted.note_["weights"][0]
    assert (line["roi"], line["targets"]) == ("V1", 2)
    assert line["of"] == pytest.approx(dict(zip(NAMES, OF_MEMBERS, strict=True)))
    own = {"a1": 0.6, "a*": -0.1, "b@*": 0.3, "c": 0.5}
    np.testing.assert_allclose(
        answer(own), mixed([0.6, -0.1, 0.15, 0.15, 0.5]), rtol=1e-5, atol=1e-6
    )


def test_what_is_missing_would_weigh_goes_to_the_others():
    values = VALUES.copy()
    values[0, :, 0] = np.nan  # the rest of its glob
    values[4, :, 1] = np.nan  # all others in proportion
    values[[0, 1], 3, 2] = np.nan  # a whole glob, in one row
    found = answer(GROUPED, values)
    first = mixed([0, 0.5, 0.15, 0.15, 0.2], values)[:, 0]
    np.testing.assert_allclose(found[:, 0], first, rtol=1e-5, atol=1e-6)
    second = mixed(np.array([0.25, 0.25, 0.15, 0.15, 0]) / 0.8, values)[:, 1]
    np.testing.assert_allclose(found[:, 1], second, rtol=1e-5, atol=1e-6)
    row = mixed(np.array([0, 0, 0.15, 0.15, 0.2]) / 0.5, values)[3, 2]
    np.testing.assert_allclose(found[3, 2], row, rtol=1e-5)
    np.testing.assert_allclose(found[:, 3], mixed(OF_MEMBERS)[:, 3], rtol=1e-5, atol=1e-6)
    values[:, 0, 3] = np.nan
    assert np.isnan(answer(GROUPED, values)[0, 3])


def test_differences_of_members_are_weights_too():
    weights = {"a1": 1.0, "a2": -1.0, "b": 0.0, "c": 0.0}
    np.testing.assert_allclose(answer(weights), VALUES[0] - VALUES[1], rtol=1e-5, atol=1e-6)
    values = VALUES.copy()
    values[0, :, 0] = np.nan
    found = answer(weights, values)
    assert np.isnan(found[:, 0]).all() and not np.isnan(found[:, 1:]).any()


def test_regions_have_tables_of_their_own():
    plain = {"a*": 1.0, "b": 0.0, "c": 0.0}
    other = {"a*": 0.0, "b": 0.0, "c": 1.0}
    found = answer({"V1": plain, "V2": other, "*": GROUPED})
    a, c = VALUES[:2].mean(axis=0), VALUES[4]
    np.testing.assert_allclose(found[:, 0], a[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 1], (a + c)[:, 1] / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 2], c[:, 2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 3], mixed(OF_MEMBERS)[:, 3], rtol=1e-5, atol=1e-6)
    with pytest.raises(RecipeError, match="target 't3' is in none of the regions V1, V2"):
        answer({"V1": plain, "V2": other})
    with pytest.raises(RecipeError, match="unknown region of weights 'V11'"):
        answer({"V11": plain})


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"a*": 0.5, "b": 0.3}, "member 'c' has no weight"),
        ({"a*": 0.5, "a?": 0.1, "b": 0.3, "c": 1.0}, r"member 'a1' is named by a\* and a\?"),
        ({**GROUPED, "d": 0.3}, "unknown member in weights 'd'"),
        ({}, "must name weights of members"),
        ({"V1": {}}, "must name weights of members"),
        ({"V1": {"a*": 1.0}, "c": 1.0}, "must name weights of members"),
    ],
)
def test_mistakes_are_named(weights, match):
    with pytest.raises(RecipeError, match=match):
        answer(weights)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"a*": 0.5, "b": 0.3, "cc": 0.2}, "unknown member in weights 'cc' in weighted: did you"),
        ({"nobody": 1.0}, r"unknown member in weights 'nobody' .* Valid: a1, a2, b@size=64"),
        ({"a*": 0.5, "b": 0.3}, "weighted: member 'c' has no weight"),
        ({"V1": {"a*": 1.0, "b": 0.0}}, "weights of V1: member 'c' has no weight"),
        ({"V9": GROUPED, "*": GROUPED}, "unknown region of weights 'V9' in weighted. Valid"),
    ],
)
def test_mistakes_are_found_without_data(weights, match):
    with pytest.raises(RecipeError, match=match):
        Weighted(weights).check(NAMES, ("V1", "V2"))
    Weighted({"V1": GROUPED, "*": GROUPED}).check(NAMES, ("V1", "V2"))
    Weighted(GROUPED).check(NAMES, ())
