"""From a line of a recipe to a component and back, and what its key is made of."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from striate.errors import FileError, RecipeError
from striate.registry import build, find, identity, key_of, make, names, table_of

PLUG_IN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    power: float = 1.0

class Plain:
    pass

class Estimator:
    def __init__(self, level=1.0):
        self.level = level
    def get_params(self, deep=True):
        return {"level": self.level}
    def fit(self, x, y):
        return self
    def predict(self, x):
        return x[:, :1] * 0 + self.level
"""


@dataclass(frozen=True)
class Many:
    words: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    count: int = 1
    name: str = ""
    level: float = 0.5
    choice: Literal["92", "118"] = "92"
    sides: tuple[float, ...] | None = None
    size: int | tuple[int, int] | None = None
    place: str | Path = ""
    flag: bool = False
    free: Any = None
    array: np.ndarray | None = None
    inner: Any = field(default=None, metadata={"kind": "split"})
    device: str = field(default="cpu", metadata={"machine": True})


def test_every_short_name_is_importable():
    for kind in ("dataset", "extractor", "encoder", "step", "split"):
        assert names(kind), kind
        for name in names(kind):
            assert isinstance(find(kind, name), type)


def test_unknown_names_and_fields_name_the_nearest():
    with pytest.raises(RecipeError, match=r"unknown encoder 'rigde': did you mean 'ridge'\?"):
        build("encoder", "rigde")
    with pytest.raises(RecipeError, match=r"unknown field of encoder 'ridge' 'alpha': .*'alphas'"):
        build("encoder", {"use": "ridge", "alpha": 1})
    with pytest.raises(RecipeError, match=r"does not say which: add use = .*'kfold'"):
        build("split", {"folds": 3})
    with pytest.raises(RecipeError, match=r"unknown class in sklearn\.linear_model 'Laso'.*Lasso"):
        find("encoder", "sklearn.linear_model:Laso")
    with pytest.raises(RecipeError, match=r"needs 'nobody\.has\.this', which does not import"):
        find("encoder", "nobody.has.this:Thing")
    with pytest.raises(RecipeError, match="dataset 'folder' needs path: set it in the recipe"):
        build("dataset", "folder")
    with pytest.raises(RecipeError, match="is no dataclass"):
        build("step", "collections:OrderedDict")


def test_a_file_beside_the_recipe(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUG_IN)
    made = build("encoder", {"use": "./mine.py:Mine", "power": 2}, tmp_path)
    assert made.power == 2.0
    assert isinstance(made.power, float)
    again = build("encoder", {"use": "./mine.py:Mine", "power": 2}, tmp_path)
    assert type(again) is type(made)
    monkeypatch.chdir(tmp_path)
    assert build("encoder", "./mine.py:Mine") == build("encoder", "mine.py:Mine")
    with pytest.raises(FileError, match=r"no file './other\.py' beside the recipe"):
        build("encoder", "./other.py:Mine", tmp_path)
    with pytest.raises(RecipeError, match=r"unknown class in \./mine\.py 'Min'.*'Mine'"):
        build("encoder", "./mine.py:Min", tmp_path)
    with pytest.raises(RecipeError, match="is no dataclass: decorate it"):
        build("encoder", "./mine.py:Plain", tmp_path)


def test_an_edited_file_has_another_key_wherever_it_lies(tmp_path):
    def key(folder, text):
        folder.mkdir(exist_ok=True)
        (folder / "mine.py").write_text(text)
        return key_of(identity(build("encoder", "./mine.py:Mine", folder)))

    first = key(tmp_path / "a", PLUG_IN)
    assert key(tmp_path / "b", PLUG_IN) == first
    assert key(tmp_path / "a", PLUG_IN + "\n# changed") != first
    assert key(tmp_path / "a", PLUG_IN) == first


def test_a_broken_file_leaves_nothing_behind(tmp_path):
    (tmp_path / "bad.py").write_text("raise RuntimeError('at import')")
    before = set(sys.modules)
    with pytest.raises(RecipeError, match=r"bad\.py does not import \(RuntimeError: at import"):
        find("encoder", "./bad.py:X", tmp_path)
    assert set(sys.modules) == before


def test_a_module_of_a_package():
    assert find("encoder", "striate.encoders.ridge:Ridge") is find("encoder", "ridge")


def test_an_edited_package_has_another_key(tmp_path, monkeypatch):
    keys = []
    for k, extra in enumerate(("", "# changed")):
        place = tmp_path / str(k)
        place.mkdir()
        (place / f"lab{k}.py").write_text(PLUG_IN + extra)
        monkeypatch.syspath_prepend(place)
        keys.append(identity(build("encoder", f"lab{k}:Mine"))["source"])
    assert keys[0] != keys[1]
    assert all(keys)


def test_a_bare_regressor_becomes_an_encoder():
    made = build("encoder", {"use": "sklearn.linear_model:Lasso", "alpha": 0.3})
    assert type(made).__name__ == "Regressor"
    assert made.options == {"alpha": 0.3}
    line = table_of(made, "sklearn.linear_model:Lasso")
    assert line == {"use": "sklearn.linear_model:Lasso", "alpha": 0.3}
    assert build("encoder", line) == made
    with pytest.raises(RecipeError, match="does not take"):
        build("encoder", {"use": "sklearn.linear_model:Lasso", "apha": 0.3})


def test_a_bare_regressor_in_a_file_beside_the_recipe(tmp_path):
    keys = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(PLUG_IN)
        for table in (
            {"use": "./mine.py:Estimator", "level": 2.0},
            {"use": "sklearn", "estimator": "./mine.py:Estimator", "options": {"level": 2.0}},
        ):
            made = build("encoder", table, tmp_path / name)
            keys.add(key_of(identity(made)))
            line = table_of(made, f"{(tmp_path / name / 'mine.py').resolve()}:Estimator")
            assert line["level"] == 2.0
            assert build("encoder", line) == made
    assert len(keys) == 1
    (tmp_path / "a" / "mine.py").write_text(PLUG_IN + "\n")
    made = build("encoder", {"use": "./mine.py:Estimator", "level": 2.0}, tmp_path / "a")
    assert key_of(identity(made)) not in keys


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("words", "a,b", ("a", "b")),
        ("words", "a", ("a",)),
        ("words", "", ()),
        ("words", [1, 2], ("1", "2")),
        ("words", (1, 2), ("1", "2")),
        ("words", 92, ("92",)),
        ("numbers", 3, (3.0,)),
        ("numbers", "1, 1e2", (1.0, 100.0)),
        ("name", 92, "92"),
        ("name", "a,b", "a,b"),
        ("level", 1, 1.0),
        ("level", "1e-3", 1e-3),
        ("count", "7", 7),
        ("choice", 118, "118"),
        ("sides", "0.1,0.2", (0.1, 0.2)),
        ("sides", None, None),
        ("size", 64, 64),
        ("size", "64,32", (64, 32)),
        ("place", "x,y", "x,y"),
        ("flag", True, True),
        ("free", {"a": [1]}, {"a": [1]}),
        ("inner", "kfold", build("split", "kfold")),
        ("inner", {"use": "last", "count": 3}, build("split", {"use": "last", "count": 3})),
    ],
)
def test_values_become_what_a_field_takes(key, given, expected):
    found = getattr(make(Many, {key: given}, "many"), key)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("count", 1.5),
        ("count", "many"),
        ("level", "high"),
        ("numbers", "a,b"),
        ("choice", "93"),
        ("name", {"use": "x"}),
        ("flag", "perhaps"),
        ("size", "64,32,16"),
    ],
)
def test_what_does_not_fit_is_told(key, given):
    with pytest.raises(RecipeError, match=f"many: {key} = .* does not fit"):
        make(Many, {key: given}, "many")


def test_fields_of_the_machine_are_no_part_of_the_key():
    assert key_of(identity(Many(device="cuda"))) == key_of(identity(Many()))
    assert key_of(identity(Many(inner=build("split", "kfold")))) != key_of(identity(Many()))


def test_version_and_class_are_part_of_the_key():
    @dataclass(frozen=True)
    class One:
        version = 1

    first = key_of(identity(One()))
    One.version = 2
    assert key_of(identity(One())) != first

    @dataclass(frozen=True)
    class Two:
        version = 2

    assert key_of(identity(Two())) != key_of(identity(One()))


def test_keys_follow_content_not_order_or_container():
    assert key_of({"a": 1, "b": (1, 2)}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"x", "y", "z"}) == key_of({"z", "y", "x"})
    assert key_of("a", "b") != key_of("ab")
    assert key_of(["a", "b"]) != key_of(["a"], "b")
    assert key_of(1) != key_of("1")
    assert key_of(None) != key_of("None")


def test_sets_have_one_key_in_every_process():
    import subprocess

    code = "from striate.registry import key_of; print(key_of({'a', 'b', 'c', 'd'}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_table_of_leaves_out_what_has_no_value():
    assert table_of(build("split", "last"), "last") == {"use": "last", "fraction": 0.1}
