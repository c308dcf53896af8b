"""A recipe that starts as another one differs from it where it says so, and nowhere else."""

import tomllib

import pytest

from striate.errors import FileError, RecipeError
from striate.recipe import load_recipe, parse
from striate.recipe.likes import inherited, merged, settled_members

PARENT = """
title = "first"
dataset = { use = "folder", path = "here" }
[features]
net = { use = "gabor", size = 64, frequencies = [2.0, 4.0] }
[[member]]
name = "one"
features = ["net.*"]
steps = ["zscore"]
encoder = { use = "ridge", alphas = [1.0], folds = 3 }
[[member]]
name = "two"
like = "one"
steps = []
[[member]]
name = "last"
features = ["one", "two"]
encoder = "stack"
[expect.official]
value = 0.5
tol = 0.1
source = "somewhere"
"""


@pytest.fixture
def parent(tmp_path):
    (tmp_path / "first.toml").write_text(PARENT)
    return tmp_path


def child(folder, text, *overrides, like="first.toml", name="child.toml"):
    (folder / name).write_text(f'like = "{like}"\n{text}')
    return load_recipe(folder / name, overrides)


def test_nothing_said_is_nothing_changed_but_what_was_published(parent):
    first, same = load_recipe(parent / "first.toml"), child(parent, "")
    assert same.model_copy(update={"expect": first.expect}) == first
    assert first.expect and not same.expect


def test_tables_merge_key_by_key_and_lists_replace(parent):
    found = child(parent, 'title = "second"\n[features]\nnet = { frequencies = [8.0] }')
    assert found.title == "second"
    assert found.dataset == {"use": "folder", "path": "here"}
    assert found.features["net"] == {"use": "gabor", "size": 64, "frequencies": [8.0]}


def test_another_component_takes_over_no_fields(parent):
    found = child(parent, '[features]\nnet = { use = "pixels", size = 8 }')
    assert found.features["net"] == {"use": "pixels", "size": 8}
    found = child(parent, '[[member]]\nname = "one"\nencoder = "mean"')
    assert found.named("one").encoder == "mean"
    found = child(parent, '[[member]]\nname = "last"\nencoder = { l2 = 1.0 }')
    assert found.named("last").encoder == {"use": "stack", "l2": 1.0}


def test_members_merge_by_name_and_pass_on_to_those_like_them(parent):
    found = child(parent, '[[member]]\nname = "one"\nencoder = { folds = 5 }')
    wanted = {"use": "ridge", "alphas": [1.0], "folds": 5}
    assert [m.name for m in found.member] == ["one", "two", "last"]
    assert found.named("one").encoder == found.named("two").encoder == wanted
    assert found.named("one").steps and not found.named("two").steps
    # An override reaches what is like the member, too.
    found = child(parent, "", "member.one.encoder.folds=7")
    assert found.named("two").encoder["folds"] == 7


def test_new_members_stand_before_the_one_that_follows_them(parent):
    lines = '[[member]]\nname = "{}"\nfeatures = ["net.*"]\nencoder = "ridge"\n'
    found = child(parent, lines.format("three") + '[[member]]\nname = "last"\n')
    assert [m.name for m in found.member] == ["one", "two", "three", "last"]
    found = child(parent, lines.format("three") + lines.format("four"))
    assert [m.name for m in found.member] == ["one", "two", "last", "three", "four"]


def test_a_recipe_may_be_like_one_that_is_like_another(parent):
    child(parent, 'title = "second"\n[features]\nnet = { size = 32 }', name="middle.toml")
    found = child(parent, "[dataset]\nseed = 1", like="middle.toml")
    assert (found.title, found.features["net"]["size"]) == ("second", 32)
    assert found.dataset == {"use": "folder", "path": "here", "seed": 1}


def test_what_is_written_says_all_of_it(parent):
    found = child(parent, '[[member]]\nname = "one"\nsteps = ["power"]')
    text = found.toml()
    assert "like" not in text
    assert parse(tomllib.loads(text), found.base) == found


def test_a_shipped_recipe_is_a_start_for_ones_own(tmp_path):
    found = child(tmp_path, '[dataset]\npath = "mine"', like="folder/ridge")
    shipped = load_recipe("folder/ridge")
    assert found.dataset == shipped.dataset | {"path": "mine"}
    assert found.member == shipped.member


@pytest.mark.parametrize(
    ("like", "error", "said"),
    [
        ("folder/rigde", RecipeError, "did you mean 'folder/ridge'"),
        ("second.toml", FileError, "no recipe file"),
        ("sub/first.toml", RecipeError, "in the same folder"),
        ("child.toml", RecipeError, "circle"),
    ],
)
def test_a_start_that_is_none(parent, like, error, said):
    if like == "child.toml":
        (parent / "other.toml").write_text('like = "child.toml"')
        like = "other.toml"
    with pytest.raises(error, match=said):
        child(parent, "", like=like)


def test_members_like_one_another_in_a_circle_or_like_none():
    for members in (
        [{"name": "a", "like": "b"}, {"name": "b", "like": "a"}],
        [{"name": "a", "like": "a"}],
        [{"name": "a", "like": "zero"}],
    ):
        with pytest.raises(RecipeError, match=r"member\.a\.like|member\.b\.like"):
            settled_members(members)


def test_groups_may_be_a_list_of_regions():
    line = {"name": "m", "encoder": "ridge", "per": ["roi"], "groups": ["V1", "V2"]}
    found = parse({"dataset": {"use": "folder"}, "member": [line]}).member[0]
    assert found.groups == {"V1": ("V1",), "V2": ("V2",)}


def test_merging_changes_neither_table():
    first, later = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merged(first, later) == {"a": {"b": 1, "c": 2}}
    assert (first, later) == ({"a": {"b": 1}}, {"a": {"c": 2}})
    table = {"like": "x", "member": [{"name": "m", "steps": []}]}
    other = {"member": [{"name": "m", "encoder": "ridge"}]}
    found = inherited(table, "here", lambda _: other)
    assert found["member"] == [{"name": "m", "encoder": "ridge", "steps": []}]
    assert other == {"member": [{"name": "m", "encoder": "ridge"}]} and "like" in table
