"""Families are found by what members share, taken apart target by target, and told in words."""

import numpy as np
import pytest

from striate.report.page import pictures, render
from striate.report.partition import families, in_words, stacks, table_of, told

from .made import HOSTILE, NASTY, people, predictions, report_of

SWEPT = """
[[member]]
name = "ridge"
encoder = { use = "ridge", folds = 5 }
per = ["subject"]
[member.sweep]
features = [["a"], ["b"], ["a", "b"]]
"""
ALONE = """
[[member]]
name = "one"
features = ["a"]
encoder = { use = "ridge" }
[[member]]
name = "two"
features = ["b"]
encoder = { use = "ridge" }
[[member]]
name = "both"
features = ["b", "a"]
encoder = { use = "ridge" }
[[member]]
name = "other"
features = ["c"]
encoder = { use = "pls" }
[[member]]
name = "blend"
features = ["one", "two"]
encoder = { use = "ridge" }
"""
THREE = SWEPT.replace('["a", "b"]]', '["a", "b"], ["c"], ["a", "c"], ["b", "c"], ["a", "b", "c"]]')
NAMES = ["ridge@a", "ridge@b", "ridge@a+b"]


def made(recipe, members, scores=("pearson", "r2")):
    truth = people(targets=15, rows=30)
    return report_of(truth, predictions(truth, members), scores, recipe=recipe)


@pytest.mark.parametrize(
    "recipe, members, union",
    [(SWEPT, NAMES, "ridge@a+b"), (ALONE, ["one", "two", "other", "blend", "both"], "both")],
)
def test_members_that_differ_in_spaces_only_are_a_family(recipe, members, union):
    report = made(recipe, members)
    (family,) = families(report)
    assert (family.member, family.spaces, family.score) == (union, ("a", "b"), "r2")
    assert family.columns == ["a alone", "b alone", "a and b"]
    scores = report.scores[report.scores["score"] == "r2"].set_index("member")["value"]
    one, two = members[0], members[1]
    np.testing.assert_allclose(family.parts["whole"], scores[union])
    np.testing.assert_allclose(family.parts["a alone"], scores[union] - scores[two].to_numpy())
    np.testing.assert_allclose(
        family.parts["a and b"], scores[one].to_numpy() + scores[two].to_numpy() - scores[union]
    )


def test_what_is_no_family():
    other = ALONE.replace(
        'name = "two"\nfeatures = ["b"]', 'name = "two"\nper = []\nfeatures = ["b"]'
    )
    assert families(made(other, ["one", "two", "other", "blend", "both"])) == []
    assert families(made(SWEPT, NAMES[1:])) == []
    assert families(made(SWEPT, NAMES, ("mse",))) == []
    swept = SWEPT + '"encoder.folds" = [3, 5]\n'
    both = [f"{n},folds={k}" for k in (3, 5) for n in NAMES]
    assert [f.member for f in families(made(swept, both))] == [
        "ridge@a+b,folds=3",
        "ridge@a+b,folds=5",
    ]


def test_an_ensemble_is_no_part_of_a_family():
    """Members that are features look like spaces, also by a pattern."""
    recipe = ALONE.replace('features = ["b", "a"]', 'features = ["one", "tw*"]')
    recipe = recipe.replace('features = ["a"]', 'features = ["one"]')
    recipe = recipe.replace('features = ["b"]', 'features = ["tw*"]')
    assert families(made(recipe, ["one", "two", "other", "blend", "both"])) == []


def test_the_page_shows_the_first_few_families():
    swept = SWEPT + '"encoder.folds" = [2, 3, 4, 5, 6]\n'
    names = [f"{n},folds={k}" for k in range(2, 7) for n in NAMES]
    found = families(made(swept, names))
    assert len(found) == 5
    assert set(table_of(found)["member"]) == {f"ridge@a+b,folds={k}" for k in range(2, 7)}
    assert "partition.csv beside this page has all 5 families" in "".join(told(found, {}))


def test_three_spaces_have_seven_parts():
    names = [*NAMES[:2], "ridge@c", "ridge@a+b", "ridge@a+c", "ridge@b+c", "ridge@a+b+c"]
    (family,) = families(made(THREE, names))
    assert len(family.columns) == 7
    np.testing.assert_allclose(family.parts[family.columns].sum(axis=1), family.parts["whole"])
    assert len(stacks([family])) == 1


def test_correlations_are_squared_with_their_sign():
    report = made(SWEPT, NAMES, ("pearson",))
    (family,) = families(report)
    own = report.scores.set_index("member")["value"]["ridge@a+b"].to_numpy()
    np.testing.assert_allclose(family.parts["whole"], own * abs(own))
    assert "squared correlation" in in_words(family)


def test_targets_without_a_score_are_left_out_and_told():
    report = made(SWEPT, NAMES)
    lost = (report.scores["member"] == "ridge@b") & (report.scores["score"] == "r2")
    report.scores.loc[report.scores.index[lost][:3], "value"] = np.nan
    (family,) = families(report)
    assert family.left_out == 3
    assert len(family.parts) == 27
    assert "3 targets without a score" in in_words(family)


def test_words_table_and_figure():
    report = made(SWEPT, NAMES)
    family = families(report)[0]
    words = in_words(family)
    assert words.startswith("a and b together explain a mean R² of 0.")
    assert "Parts below zero are kept" in words
    table = table_of([family])
    assert set(table["part"]) == {"a alone", "b alone", "a and b", "whole"}
    assert len(table) == 30 * 4
    drawn = pictures(report)
    assert "partition" in drawn
    page = render(report, drawn)
    assert "Unique and shared variance" in page
    assert HOSTILE not in page
    shown = "".join(told([family], drawn))
    middle = family.parts["a alone"].mean()
    assert f'<td class="n">{middle:.3f}</td>'.replace("-", "−") in shown
    assert NASTY not in shown
