"""Features on disk are matched by id, never by position, and never unpickled."""

import json

import numpy as np
import pandas as pd
import pytest

from striate.data import Features, Stimuli
from striate.errors import DataError, FileError, RecipeError
from striate.extractors.array import Array
from striate.machine import Machine, using

IDS = ("c", "a", "007", "b")
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def stimuli():
    return Stimuli(pd.DataFrame(index=["a", "007", "c"]))


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n")
    pd.DataFrame({"id": IDS}).to_csv(tmp_path / "ids.csv", index=False)
    (tmp_path / "ids.json").write_text(json.dumps(IDS))
    np.save(tmp_path / "ids.npy", np.array(IDS))
    return tmp_path


def gathered(extractor, stimuli):
    with using(Machine(batch=2, quiet=True)):
        batches = list(extractor(stimuli))
    return {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}


@pytest.mark.parametrize("ids", ["ids.txt", "ids.csv", "ids.json", "ids.npy"])
def test_rows_of_an_npy_follow_ids(npy, stimuli, ids):
    array = Array(str(npy / "x.npy"), str(npy / ids))
    np.testing.assert_array_equal(gathered(array, stimuli)["values"], VALUES[[1, 2, 0]])
    spaces = array.open_spaces("emb", Stimuli(pd.DataFrame(index=IDS)))
    features = Features(spaces, stimuli.ids)
    np.testing.assert_array_equal(features["emb.values"], VALUES[[1, 2, 0]])


def test_an_npy_without_ids_is_refused(npy, stimuli):
    with pytest.raises(RecipeError, match=r"x\.npy: does not say which row.*give `ids`"):
        gathered(Array(str(npy / "x.npy")), stimuli)


def test_every_array_of_an_npz_is_a_space(tmp_path, stimuli):
    np.savez(tmp_path / "x.npz", ids=np.array(IDS), one=VALUES, two=VALUES[:, :1])
    array = Array(str(tmp_path / "x.npz"))
    assert array.names() == ("one", "two")
    assert gathered(array, stimuli)["two"].tolist() == [[3], [6], [0]]
    np.savez(tmp_path / "y.npz", image=np.array(IDS), one=VALUES)
    with pytest.raises(DataError, match=r"has no array 'ids'.*image, one"):
        gathered(Array(str(tmp_path / "y.npz")), stimuli)
    assert Array(str(tmp_path / "y.npz"), "image").names() == ("one",)


def test_a_table_keeps_its_ids_as_text(tmp_path, stimuli):
    frame = pd.DataFrame(VALUES, columns=["x", "y", "z"])
    frame.assign(word="w").assign(id=IDS).to_csv(tmp_path / "w.csv", index=False)
    frame.assign(image=IDS).to_csv(tmp_path / "x.csv", index=False)
    found = gathered(Array(str(tmp_path / "x.csv"), "image"), stimuli)["values"]
    np.testing.assert_array_equal(found, VALUES[[1, 2, 0]])
    with pytest.raises(DataError, match=r"columns word hold text"):
        gathered(Array(str(tmp_path / "w.csv"), "id"), stimuli)
    with pytest.raises(DataError, match=r"unknown column 'imag'.*did you mean 'image'"):
        gathered(Array(str(tmp_path / "x.csv"), "imag"), stimuli)


def test_missing_and_repeated_ids(npy):
    array = Array(str(npy / "x.npy"), str(npy / "ids.txt"))
    with pytest.raises(DataError, match=r"x\.npy: has no row for stimulus z"):
        gathered(array, Stimuli(pd.DataFrame(index=["a", "z"])))
    (npy / "ids.txt").write_text("a\na\nb\nc\n")
    with pytest.raises(DataError, match=r"ids\.txt: stimulus ids repeat: a"):
        array.open_spaces("emb", Stimuli(pd.DataFrame(index=IDS)))
    (npy / "ids.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"shape \(4, 3\) for 2 stimulus ids"):
        array.open_spaces("emb", Stimuli(pd.DataFrame(index=IDS)))


def test_python_objects_and_text_are_refused(npy, stimuli):
    np.save(npy / "x.npy", np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match=r"holds pickled Python objects.*would run code"):
        gathered(Array(str(npy / "x.npy"), str(npy / "ids.txt")), stimuli)
    np.savez(npy / "x.npz", ids=np.array(IDS, dtype=object), one=VALUES)
    with pytest.raises(FileError, match="holds pickled Python objects"):
        gathered(Array(str(npy / "x.npz")), stimuli)
    np.save(npy / "x.npy", np.array(["a"] * 4))
    with pytest.raises(DataError, match="features are numbers"):
        gathered(Array(str(npy / "x.npy"), str(npy / "ids.txt")), stimuli)
    for content in (b"junk", (npy / "ids.npy").read_bytes()[:-1]):
        (npy / "x.npy").write_bytes(content)
        with pytest.raises(FileError, match=r"x\.npy is damaged"):
            gathered(Array(str(npy / "x.npy"), str(npy / "ids.txt")), stimuli)


def test_rows_stay_on_disk(npy):
    array = Array(str(npy / "x.npy"), str(npy / "ids.txt"))
    (space,) = array.open_spaces("emb", Stimuli(pd.DataFrame(index=IDS))).values()
    assert isinstance(space.values, np.memmap) and not space.values.flags.writeable


def test_a_damaged_archive_is_named(tmp_path, stimuli):
    np.savez(tmp_path / "x.npz", ids=np.array(IDS), one=VALUES)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[content.index(VALUES.tobytes()) + 20] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    array = Array(str(tmp_path / "x.npz"))
    assert array.names() == ("one",)
    with pytest.raises(FileError, match=r"one.npy of .*x\.npz is damaged"):
        gathered(array, stimuli)
    (tmp_path / "x.npz").write_bytes(content[:-9])
    with pytest.raises(FileError, match=r"x\.npz is damaged"):
        array.names()


def test_identity_follows_content(npy):
    array = Array(str(npy / "x.npy"), str(npy / "ids.txt"))
    before = array.identity()
    assert str(npy) not in str(before)
    np.save(npy / "x.npy", VALUES + 1)
    assert array.identity()["file"] != before["file"]
    (npy / "ids.txt").write_text("\n".join(sorted(IDS)))
    assert array.identity()["ids"] != before["ids"]


def test_unknown_files(tmp_path):
    with pytest.raises(RecipeError, match=r"unknown kind of feature file '\.mat'"):
        Array("x.mat").names()
    with pytest.raises(FileError, match="no such file of features"):
        Array(str(tmp_path / "x.npy")).names()
