"""Mistakes are told at the door, sweeps multiply out, and what is written is read again."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import FileError, RecipeError
from striate.recipe import Recipe, apply_override, expand, load_recipe, parse, settled, shipped
from striate.registry import find

NET = {"use": "gabor", "size": 64}
FEATURES = {"net": NET, "edge": {"use": "pixels", "size": 8}}


def member(name="m", **more):
    return {"name": name, "features": ["net.*"], "encoder": {"use": "ridge"}} | more


def table(*members, **more):
    return {"dataset": {"use": "folder"}, "features": FEATURES, "member": list(members)} | more


def expanded(*members, **more):
    return expand(parse(table(*members, **more)))


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_survive_writing(name):
    recipe = load_recipe(name)
    assert recipe.title
    assert parse(tomllib.loads(recipe.toml())) == recipe
    full = expand(recipe)
    assert parse(tomllib.loads(full.toml())) == full
    assert expand(full).member == full.member
    for m in full.member:
        assert full.members_of(m) or full.patterns_of(m)
        for kind, lines in (("encoder", [m.encoder]), ("step", m.steps)):
            for line in lines:
                find(kind, line if isinstance(line, str) else line["use"])
    for line in full.features.values():
        find("extractor", line["use"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"titel": "x"}, r"unknown key 'titel' in titel: did you mean 'title'\?"),
        ({"inners": {}}, r"unknown key 'inners' in inners: did you mean 'inner'\? .*scores"),
        ({"inner": {"fold": 3}}, r"'fold' in inner\.fold: did you mean 'folds'\?"),
        ({"member": [member(encodr="x")]}, r"'encodr' in member\.m\.encodr: .*'encoder'"),
        ({"base": "x"}, r"unknown key 'base'"),
        ({"inner": {"folds": 1}}, r"inner\.folds = 1: .*greater than or equal to 2"),
        ({"final": "both"}, r"final = 'both'"),
        ({"member": []}, "member = "),
        ({"member": [member("a.b")]}, r"member\.a\.b\.name = 'a\.b'"),
        ({"member": [member("a"), member("a")]}, "a stands twice"),
        ({"member": [member("net")]}, "net stands twice"),
        ({"dataset": "folder"}, "dataset = 'folder'"),
    ],
)
def test_mistakes_name_the_place_and_the_valid_keys(change, said):
    with pytest.raises(RecipeError, match=said):
        parse(table(member()) | change)


def test_recipes_by_path_and_by_name(tmp_path):
    (tmp_path / "mine.toml").write_text(parse(table(member())).toml())
    found = load_recipe(tmp_path / "mine.toml")
    assert found.base == tmp_path.resolve()
    assert found.member[0].encoder == {"use": "ridge"}
    (tmp_path / "broken.toml").write_text("title = ")
    with pytest.raises(FileError, match="is no valid TOML"):
        load_recipe(tmp_path / "broken.toml")
    with pytest.raises(FileError, match=r"no recipe file .*folder/ridge"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match=r"unknown recipe 'folder/rigde': did you mean"):
        load_recipe("folder/rigde")


def test_overrides():
    found = load_recipe(
        "folder/ridge",
        [
            "dataset.path=data/mine",
            "split.folds=3",
            "inner.seed=4",
            'responses.keep.roi=["V1", "V4"]',
            "member.ridge.encoder.folds=7",
            "member.ridge.steps.zscore.active=0.5",
            "title=a = b",
            'scores=["r2"]',
        ],
    )
    assert found.dataset["path"] == "data/mine"
    assert found.split == {"use": "kfold", "folds": 3, "seed": 0}
    assert found.inner.seed == 4
    assert found.responses == {"keep": {"roi": ["V1", "V4"]}}
    assert found.named("ridge").encoder["folds"] == 7
    assert found.named("ridge").steps == ({"use": "zscore", "active": 0.5},)
    assert found.title == "a = b"
    assert found.scores == ("r2",)


def test_an_override_of_a_short_form_opens_it():
    made = table(member(encoder="ridge", steps=["power", "zscore"]), split="kfold")
    for line in ("split.folds=3", "member.m.encoder.folds=3", "member.m.steps.zscore.active=0.5"):
        apply_override(made, line)
    assert made["split"] == {"use": "kfold", "folds": 3}
    assert made["member"][0]["encoder"] == {"use": "ridge", "folds": 3}
    assert made["member"][0]["steps"] == [{"use": "power"}, {"use": "zscore", "active": 0.5}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("data/x", "data/x"),
        ("007", "007"),
        ("1,2", "1,2"),
        ('"3"', "3"),
        ("{ use = 'x' }", {"use": "x"}),
        ("", ""),
    ],
)
def test_the_value_of_an_override(text, value):
    made = {}
    apply_override(made, f"dataset.field={text}")
    assert made == {"dataset": {"field": value}}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("folds", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
        ("member.n.encoder=x", r"unknown entry 'n' in member\. Valid: m"),
        ("member.m=3", "names a list, but none of its entries"),
        ("member.m.steps.pca.x=3", r"unknown entry 'pca' in member\.m\.steps.*zscore"),
        ("scale.x.y=3", "scale.x is no table"),
    ],
)
def test_overrides_that_lead_nowhere(override, said):
    made = table(member(steps=["zscore"]), scale={"x": 3})
    with pytest.raises(RecipeError, match=said):
        apply_override(made, override)


def test_sweep_over_the_encoder_multiplies():
    sweep = {"encoder.folds": [3, 5], "encoder.penalty": ["target", "group"], "per": [[], ["roi"]]}
    full = expanded(member(sweep=sweep))
    assert len(full.member) == 8
    assert full.member[0].name == "m@folds=3,penalty=target,per="
    lines = {(m.encoder["folds"], m.encoder["penalty"], m.per) for m in full.member}
    assert len(lines) == 8
    assert all(not m.sweep for m in full.member)
    assert full.features == FEATURES


def test_sweep_over_a_short_form():
    full = expanded(member(encoder="ridge", sweep={"encoder.folds": [3]}))
    assert full.member[0].encoder == {"use": "ridge", "folds": 3}


def test_sweep_over_features_makes_tables_of_their_own():
    full = expanded(
        member(features=["net.*", "edge.pixels"], sweep={"features.net.size": [32, 48]}),
        member("other", features=["net.f1"]),
    )
    one, two, other = full.member
    assert one.features == ("net@size=32.*", "edge.pixels")
    assert two.features == ("net@size=48.*", "edge.pixels")
    assert other.features == ("net.f1",)
    assert full.features["net@size=48"] == {"use": "gabor", "size": 48}
    assert full.features["net"] == NET


def test_sweep_over_two_fields_of_one_feature():
    sweep = {"features.net.size": [32, 48], "features.net.spacing": [0.5], "encoder.folds": [3]}
    full = expanded(member(sweep=sweep))
    for m, size in zip(full.member, (32, 48), strict=True):
        (pattern,) = m.features
        name = pattern.removesuffix(".*")
        assert full.features[name] == {"use": "gabor", "size": size, "spacing": 0.5}
    assert len(full.features) == len(FEATURES) + 2


def test_sweep_over_features_themselves_and_steps():
    full = expanded(
        member(
            steps=["power", {"use": "zscore"}],
            sweep={"features": [["net.f1"], ["edge.*"]], "steps.zscore.active": [0.1, 0.2]},
        )
    )
    assert [m.name for m in full.member] == [
        "m@net.f1,active=0.1",
        "m@net.f1,active=0.2",
        "m@edge.all,active=0.1",
        "m@edge.all,active=0.2",
    ]
    both = {"steps.power.exponent": [0.5], "encoder.seed": [1], "features.net.seed": [2]}
    (one,) = expanded(member(steps=["power"], sweep=both)).member
    assert one.name == "m@exponent=0.5,encoder.seed=1,net.seed=2"
    assert full.member[3].features == ("edge.*",)
    assert full.member[3].steps == ({"use": "power"}, {"use": "zscore", "active": 0.2})


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"encoder.folds": [3, 3]}, "makes 'm@folds=3' twice"),
        ({"features.nett.size": [1]}, "unknown feature in a sweep"),
        ({"features.net": [1]}, "unknown feature in a sweep"),
        ({"features.edge.size": [1]}, "sweeps over feature 'edge', which its `features` do not"),
        ({"steps.pca.components": [1]}, "unknown step in a sweep"),
        ({"encodr": ["x"]}, "sweep of member 'm': unknown key 'encodr'"),
    ],
)
def test_sweeps_that_lead_nowhere(sweep, said):
    with pytest.raises(RecipeError, match=said):
        expanded(member(sweep=sweep))


def test_a_reference_to_a_swept_member_names_all_its_variants():
    full = expanded(
        member(sweep={"encoder.folds": [3, 5]}),
        member("plain"),
        member("blend", features=["m", "plain"], encoder="stack"),
        member("glob", features=["m@*"], encoder="mean"),
    )
    blend, glob = full.member[-2:]
    assert blend.features == ("m@folds=3", "m@folds=5", "plain")
    assert full.members_of(blend) == ("m@folds=3", "m@folds=5", "plain")
    assert full.patterns_of(blend) == ()
    assert full.members_of(glob) == ("m@folds=3", "m@folds=5")
    with pytest.raises(RecipeError, match="which is swept; name one of m@folds=3, m@folds=5"):
        expanded(member(sweep={"encoder.folds": [3, 5]}), member("late", after="m"))


def test_members_and_spaces_are_told_apart():
    recipe = parse(
        table(
            member("a"),
            member("b", features=["a", "net.*", "edge"]),
            member("c", features=["[ab]"], encoder="mean"),
            member("d", features=["*"]),
            member("e", features=["ghost"]),
        )
    )
    a, b, c, d, e = recipe.member
    assert recipe.members_of(a) == ()
    assert (recipe.members_of(b), recipe.patterns_of(b)) == (("a",), ("net.*", "edge"))
    assert (recipe.members_of(c), recipe.patterns_of(c)) == (("a", "b"), ())
    assert recipe.patterns_of(e) == ("ghost",)
    with pytest.raises(RecipeError, match=r"'\*' stands for feature 'net' and for member 'a'"):
        recipe.members_of(d)


def test_a_glob_does_not_take_in_what_another_member_sweeps():
    swept = member(sweep={"features.net.size": [32]})
    with pytest.raises(RecipeError, match=r"'n\*' would take in 'net@size=32' of a sweep"):
        expanded(swept, member("other", features=["n*"]))
    assert expanded(swept, member("other", features=["e*"])).member[1].features == ("e*",)


def test_after_names_an_earlier_member():
    for name in ("late", "b", "nobody"):
        with pytest.raises(RecipeError, match=f"unknown earlier member '{name}'"):
            expanded(member("a"), member("b", after=name), member("late"))
    assert expanded(member("a"), member("b", after="a")).member[1].after == "a"


def test_features_like_others():
    found = settled({"a": NET, "b": {"like": "a", "size": 32}, "c": {"like": "b", "spacing": 2.0}})
    assert found["b"] == {"use": "gabor", "size": 32}
    assert found["c"] == {"use": "gabor", "size": 32, "spacing": 2.0}
    for tables in ({"a": {"like": "b"}}, {"a": {"like": "b"}, "b": {"like": "a"}}):
        with pytest.raises(RecipeError, match="unknown feature"):
            settled(tables)


def test_features_and_per_may_be_one_text():
    found = parse(table(member(features="net.f1, edge", per="subject"))).member[0]
    assert found.features == ("net.f1", "edge")
    assert found.per == ("subject",)


def test_named():
    recipe = parse(table(member()))
    assert recipe.named("m") is recipe.member[0]
    with pytest.raises(RecipeError, match="unknown member 'n'"):
        recipe.named("n")


KEYS = st.text("abcdefgh_-. '\"é", min_size=1, max_size=6)
VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**40), 2**40),
        st.floats(allow_nan=False),
        st.text(max_size=6),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=3),
    st.text(max_size=10),
)
def test_what_is_written_is_read_again(options, features, title):
    made = {
        "title": title,
        "dataset": options,
        "features": features,
        "member": [
            member("m", encoder=options, steps=["zscore", options], sweep={"encoder.x": [1, [2]]})
        ],
        "expect": {"official": {"value": 1.5, "tol": 0.1}},
    }
    recipe = Recipe(**made)
    assert parse(tomllib.loads(recipe.toml())) == recipe
