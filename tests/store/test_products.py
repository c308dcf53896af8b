"""What a task stored comes back the same, or not at all."""

import random

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from striate.data import label_responses
from striate.errors import FileError
from striate.store import Products, Unstorable, atomic, load_responses, save_responses

from .toy import KEY, snapshot


def block_of(rows=7, targets=5, repeats=None, subject="s1"):
    shape = (rows, targets) if repeats is None else (rows, targets, repeats)
    values = np.random.default_rng(rows * targets).standard_normal(shape)
    values[0, 0] = np.nan
    return label_responses(
        values.astype(np.float32),
        np.array([[f"a{i}", f"b{i}"] for i in range(rows)]),
        [f"lh.{t:06d}" for t in range(targets)],
        subject=subject,
        rois={"V1": [t < 2 for t in range(targets)], "hV4": [True] * targets},
        row_labels={"session": [i // 2 for i in range(rows)], "unit": ["é|\ud800"] * rows},
        target_labels={
            "hemisphere": ["left"] * targets,
            "ceiling": np.linspace(0, 1, targets),
            "time": np.full(targets, 0.1, dtype=np.float32),
        },
    )


def same(a, b):
    xr.testing.assert_identical(a, b)
    assert a.dtype == b.dtype and list(a.coords) == list(b.coords)
    for name in a.coords:
        kinds = a[name].dtype.kind + b[name].dtype.kind
        assert a[name].dtype == b[name].dtype or kinds == "OU", name
    assert np.asarray(a.values).tobytes() == np.asarray(b.values).tobytes()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("repeats", [None, 3])
def test_responses_come_back_with_their_labels(tmp_path, mmap, repeats):
    block = block_of(repeats=repeats)
    save_responses(tmp_path / "s1", block)
    again = load_responses(tmp_path / "s1", mmap=mmap)
    same(again, block)
    assert again.values.flags.writeable != mmap
    np.testing.assert_array_equal(np.load(tmp_path / "s1" / "values.npy"), block.values)


def test_responses_of_no_rows_and_single_labels(tmp_path):
    block = block_of(rows=7).isel(row=slice(0, 0)).assign_coords(fold=3, name="x")
    save_responses(tmp_path / "s", block)
    same(load_responses(tmp_path / "s"), block)


def test_the_same_responses_give_the_same_bytes(tmp_path):
    for k, block in enumerate([block_of(), block_of().copy(deep=True), block_of(8)[:7]]):
        save_responses(tmp_path / str(k), block if k < 2 else block_of())
    assert snapshot(tmp_path / "0") == snapshot(tmp_path / "1") == snapshot(tmp_path / "2")
    save_responses(tmp_path / "0", block_of(3))
    assert load_responses(tmp_path / "0").shape == (3, 5)


def test_what_is_no_responses_is_refused(tmp_path):
    with pytest.raises(Unstorable, match="row, target"):
        save_responses(tmp_path / "s", xr.DataArray(np.zeros((2, 2)), dims=("a", "b")))
    with pytest.raises(Unstorable, match=r"label 'odd'.*set"):
        save_responses(
            tmp_path / "s",
            block_of(2).assign_coords(odd=("row", np.array([{1}, {2}], dtype=object))),
        )
    assert list(tmp_path.iterdir()) == []


def test_harmed_responses_name_the_file(tmp_path):
    save_responses(tmp_path / "s", block_of())
    file = tmp_path / "s" / "values.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"values.npy"):
        load_responses(tmp_path / "s")
    with pytest.raises(FileError, match="nothing"):
        load_responses(tmp_path / "nothing")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"dims": ["row", "target"], "labels": [{}]}', "\xff"]
)
def test_hostile_labels_are_errors(tmp_path, text):
    save_responses(tmp_path / "s", block_of())

    def fill(folder):
        for file in (tmp_path / "s").glob("*.npy"):
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "labels.json").write_text(text, encoding="latin-1")

    atomic.write_folder(tmp_path / "t", fill)
    with pytest.raises(FileError, match=r"labels.json"):
        load_responses(tmp_path / "t")


def save(folder, seed=0, rows="r1", state=True):
    values = np.random.default_rng(seed).standard_normal((3, 4))
    predictions = {"s1": block_of(), "": block_of(4, subject=None), "../x": block_of(3)}
    tree = {"coef": values, "steps": [("zscore", {"mean": 0.1})]} if state else None
    Products(folder).save(KEY, rows, predictions, tree, {"seconds": 0.25, "best": np.float32(2)})
    return predictions, values


def test_a_product_comes_back(tmp_path):
    products = Products(tmp_path)
    assert products.load_predictions(KEY, "r1") is None
    assert products.load_state(KEY) is None and products.load_note(KEY) is None
    predictions, values = save(tmp_path)
    for mmap in (False, True):
        again = products.load_predictions(KEY, "r1", mmap=mmap)
        assert list(again) == ["s1", "", "../x"]
        for subject, block in predictions.items():
            same(again[subject], block)
    state = products.load_state(KEY)
    np.testing.assert_array_equal(state["coef"], values)
    assert state["steps"] == [("zscore", {"mean": 0.1})]
    assert products.load_note(KEY) == {"seconds": 0.25, "best": np.float32(2)}
    assert products.load_predictions(KEY, "r2") is None
    task = tmp_path / "tasks" / "ab" / KEY
    assert sorted(p.name for p in task.iterdir()) == ["fit", "rows-r1"]


def test_what_is_there_stays(tmp_path):
    save(tmp_path, seed=0)
    before = snapshot(tmp_path)
    save(tmp_path, seed=1)
    assert snapshot(tmp_path) == before
    save(tmp_path, seed=1, rows="r2")
    after = snapshot(tmp_path)
    assert {n: after[n] for n in before} == before and len(after) > len(before)


def test_a_fit_without_state_gets_one_later(tmp_path):
    products = Products(tmp_path)
    save(tmp_path, state=False)
    assert products.load_state(KEY) is None and products.load_note(KEY)["seconds"] == 0.25
    _, values = save(tmp_path, rows="r2")
    np.testing.assert_array_equal(products.load_state(KEY)["coef"], values)
    save(tmp_path, rows="r3", state=False)
    np.testing.assert_array_equal(products.load_state(KEY)["coef"], values)


def test_a_state_that_has_no_plain_form_leaves_nothing(tmp_path):
    with pytest.raises(Unstorable, match=r"the tree\['f'\] is a function"):
        Products(tmp_path).save(KEY, "r1", {"s": block_of()}, {"f": lambda: 1}, {})
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_one_flipped_bit_in_any_file_is_found_and_redone(tmp_path, monkeypatch):
    chance = random.Random(5)
    save(tmp_path)
    wanted = snapshot(tmp_path)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) > 15
    for file in files:
        data = bytearray(file.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        monkeypatch.setattr(atomic, "_INTACT", {})
        products = Products(tmp_path)
        in_fit = "/fit/" in file.as_posix()
        assert (products.load_predictions(KEY, "r1") is None) == (not in_fit)
        assert (products.load_state(KEY) is None) == (products.load_note(KEY) is None) == in_fit
        save(tmp_path)
        assert snapshot(tmp_path) == wanted, file


def test_lost_and_cut_files_are_redone(tmp_path):
    save(tmp_path)
    wanted = snapshot(tmp_path)
    for file in sorted(p for p in tmp_path.rglob("*") if p.is_file()):
        file.write_bytes(file.read_bytes()[:-1]) if file.suffix == ".npy" else file.unlink()
        save(tmp_path)
        assert snapshot(tmp_path) == wanted, file


def test_keys_that_lead_elsewhere_are_refused(tmp_path):
    with pytest.raises(FileError, match="no key"):
        Products(tmp_path).load_state("../../../etc")
    with pytest.raises(FileError, match="no key"):
        Products(tmp_path).load_predictions(KEY, "../../x")


def test_notes_may_hold_tables(tmp_path):
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, np.nan]})
    Products(tmp_path).save(KEY, "r1", {}, None, {"history": history})
    pd.testing.assert_frame_equal(Products(tmp_path).load_note(KEY)["history"], history)
    assert Products(tmp_path).load_predictions(KEY, "r1") == {}
