"""Trees come back with the same types and bits; hostile files are errors and nothing more."""

import json
import math
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.data import label_responses
from striate.errors import FileError
from striate.store import Unstorable, atomic, load_tree, save_tree

from .toy import snapshot

ARRAYS = hnp.arrays(
    dtype=st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(),
        hnp.floating_dtypes(sizes=(16, 32, 64)),
        hnp.complex_number_dtypes(sizes=(64, 128)),
        hnp.unicode_string_dtypes(),
        hnp.byte_string_dtypes(),
        hnp.datetime64_dtypes(),
        hnp.array_dtypes(allow_subarrays=False, max_size=3),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
SCALARS = hnp.arrays(
    dtype=st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.floating_dtypes()), shape=(1,)
).map(lambda a: a[0])
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
ATOMS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
COLUMNS = st.one_of(
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.integers(-9, 9), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.text("abc", max_size=3), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.text("ab"), st.integers(0, 9)), min_size=3, max_size=3).map(
        lambda v: np.array(v, dtype=object)
    ),
)
FRAMES = st.dictionaries(st.text("xyz", max_size=2), COLUMNS, max_size=3).map(pd.DataFrame)
TREES = st.recursive(
    st.one_of(ATOMS, SCALARS, ARRAYS, FRAMES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(TEXT, st.integers(), st.tuples(TEXT)), inner, max_size=4),
    ),
    max_leaves=12,
)


def same(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            same(a[k], b[k])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, np.ndarray | np.generic):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    elif isinstance(a, xr.DataArray):
        xr.testing.assert_identical(a, b)
    elif isinstance(a, float):
        assert (math.isnan(a) and math.isnan(b)) or (
            a == b and math.copysign(1, a) == math.copysign(1, b)
        )
    else:
        assert a == b


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_trees_come_back_the_same(tree):
    with tempfile.TemporaryDirectory() as folder:
        save_tree(Path(folder) / "a", tree)
        again = load_tree(Path(folder) / "a")
        same(again, tree)
        save_tree(Path(folder) / "b", again)
        assert snapshot(Path(folder) / "a") == snapshot(Path(folder) / "b")


def test_a_fit_comes_back_the_same(tmp_path):
    table = pd.DataFrame(
        {"roi": ["V1", "V2"], "alpha": np.array([1, np.inf], np.float32), "ok": [True, False]},
        index=pd.Index(["a", "b"], name="target"),
    )
    tree = {
        "coef": np.asfortranarray(np.random.default_rng(0).standard_normal((3, 4))),
        "alphas": (1e-300, 0.1, math.inf, -math.inf, math.nan, -0.0, 10**30, -(2**63)),
        (1, "pair"): [np.float32("nan"), np.str_("x\0"), np.bytes_(b"\xff\0"), np.bool_(True)],
        "targets": label_responses(np.zeros((1, 2)), ["s"], subject="s1"),
        "table": table,
        "twice": pd.DataFrame([[1, 2.5]], columns=["x", "x"]),
        "empty": pd.DataFrame(index=pd.RangeIndex(2, 8, 3, name="i")),
        "when": np.datetime64("2020-01-01", "D"),
    }
    save_tree(tmp_path / "t", tree)
    again = load_tree(tmp_path / "t")
    same(again, tree)
    assert again["coef"].flags.f_contiguous and again["coef"].flags.writeable
    assert type(again["coef"]) is np.ndarray


def test_a_tree_replaces_the_one_before(tmp_path):
    save_tree(tmp_path / "t", [np.zeros(3), np.ones(2)])
    save_tree(tmp_path / "t", [1])
    assert load_tree(tmp_path / "t") == [1]
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["manifest.json", "tree.json"]


Pair = namedtuple("Pair", "a b")


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [{1, 2}]}, r"the tree\['a'\]\[0\] is a set"),
        (Pair(1, 2), "is a Pair"),
        (Text("x"), "is a Text"),
        (b"raw", "is a bytes"),
        (object(), "is an object"),
        (Path("x"), "Path"),
        (np.array([None]), "array of object"),
        (np.array([(None, 1)], dtype=[("o", object), ("i", int)]), "array of"),
        (np.ma.masked_array([1.0]), "MaskedArray"),
        (pd.Series([1]), "Series"),
        (pd.DataFrame({"a": pd.Categorical(["x"])}), "column 'a' of the tree is of type category"),
        (pd.DataFrame({"a": [{1}]}), r"holds \{1\}"),
        (pd.DataFrame([[1]], index=pd.MultiIndex.from_tuples([("a", 1)])), "MultiIndex"),
        (xr.DataArray([1.0]), "not responses"),
        (xr.Dataset(), "is a Dataset"),
    ],
)
def test_anything_else_is_refused_by_name_and_place(tmp_path, value, message):
    with pytest.raises(Unstorable, match=message):
        save_tree(tmp_path / "t", value)
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_holds_itself_is_refused(tmp_path):
    tree: list = []
    tree.append(tree)
    with pytest.raises(Unstorable, match="holds itself"):
        save_tree(tmp_path / "t", tree)


def forge(folder: Path, text: str, **files: bytes) -> Path:
    """A folder whose manifest is sound and whose tree is whatever one likes."""

    def fill(place: Path) -> None:
        (place / "tree.json").write_bytes(text.encode("latin-1"))
        for name, data in files.items():
            (place / f"{name}.npy").write_bytes(data)

    atomic.write_folder(folder, fill, {"holds": "tree"})
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[Infinity]",
        "\xff\xfe",
        "[" * 100_000,
        "9" * 10_000,
        '{"array": "../secret.npy"}',
        '{"array": "/etc/passwd"}',
        '{"array": "0.npy/../../secret.npy"}',
        '{"array": "0.npy\\n"}',
        '{"array": "１.npy"}'.encode().decode("latin-1"),
        '{"array": 3}',
        '{"array": "7.npy"}',
        '{"responses": ".."}',
        '{"responses": "0"}',
        '{"os.system": "touch x"}',
        '{"int": "1", "float": "nan"}',
        "{}",
        '{"dict": [[1]]}',
        '{"dict": [[[1], 2]]}',
        '{"dict": 4}',
        '{"tuple": "ab"}',
        '{"float": "1e5"}',
        '{"scalar": ["O", "00"]}',
        '{"scalar": ["<f8", "00"]}',
        '{"scalar": ["<f8", "zz"]}',
        '{"scalar": ["S3", "616263"]}',
        '{"str_": 4}',
        '{"bytes_": 4}',
        '{"frame": {}}',
        '{"frame": {"index": {"name": null, "range": [0, 3, 0]}, "columns": {}, "data": []}}',
        '{"frame": {"index": {"name": null, "range": [0, 3, 1]}, "columns": {"name": null,'
        ' "range": [0, 1, 1]}, "data": [{"objects": [1]}]}}',
    ],
)
def test_hostile_trees_are_errors_that_name_the_file(tmp_path, text):
    np.save(tmp_path / "secret.npy", np.ones(3))
    with pytest.raises(FileError, match=r"tree.json|7.npy|values.npy"):
        load_tree(forge(tmp_path / "t", text))


def test_pickled_arrays_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    data = (tmp_path / "x.npy").read_bytes()
    for name, content in {"a": data, "b": data[:40], "c": b"\x80\x04N."}.items():
        folder = forge(tmp_path / name, '{"array": "0.npy"}', **{"0": content})
        with pytest.raises(FileError, match=r"0.npy cannot be read as a plain array"):
            load_tree(folder)


def test_damage_names_the_file(tmp_path):
    save_tree(tmp_path / "t", [np.arange(9.0)])
    file = tmp_path / "t" / "0.npy"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(FileError, match=r"0.npy is missing or damaged"):
        load_tree(tmp_path / "t")
    with pytest.raises(FileError, match="absent"):
        load_tree(tmp_path / "absent")
    (tmp_path / "t" / "manifest.json").write_text("{}")
    with pytest.raises(FileError, match=r"manifest.json is damaged"):
        load_tree(tmp_path / "t")


def test_tree_json_is_plain(tmp_path):
    save_tree(tmp_path / "t", {"alpha": 0.1, "coef": np.zeros(2)})
    told = json.loads((tmp_path / "t" / "tree.json").read_text())
    assert told == {"dict": [["alpha", 0.1], ["coef", {"array": "0.npy"}]]}
