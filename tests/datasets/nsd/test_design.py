import json

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from striate.datasets.nsd.design import Design, coco_of, id_of, read_captions, read_design
from striate.errors import DataError, FileError


def arrays(seed=0, people=3, shared=4, own=5, trials=20):
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(shared + people * own) + 1
    lists = [np.concatenate([numbers[:shared], n]) for n in np.split(numbers[shared:], people)]
    order = np.concatenate([np.arange(shared + own), rng.integers(0, shared + own, trials)])
    return {
        "masterordering": rng.permutation(order)[None] + 1,
        "subjectim": np.stack(lists),
        "sharedix": numbers[None, :shared],
    }


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), kind=st.sampled_from(["f8", "u2", "i4"]), v73=st.booleans())
def test_pictures_of_trials_follow_the_rule(tmp_path_factory, seed, kind, v73):
    file = tmp_path_factory.mktemp("design") / "nsd_expdesign.mat"
    given = {n: a.astype(kind) for n, a in arrays(seed).items()}
    if v73:
        with h5py.File(file, "w") as opened:
            for name, values in given.items():
                opened[name] = values.T
    else:
        savemat(file, given | {"note": "text"})
    found = read_design(file)
    order, lists = given["masterordering"], given["subjectim"]
    for subject in (1, 2, 3):
        want = [int(lists[subject - 1, int(t) - 1]) - 1 for t in order[0]]
        assert found.shown(subject).tolist() == want
    assert found.shared.tolist() == (given["sharedix"][0].astype(int) - 1).tolist()
    assert set(found.shared) == set.intersection(*(set(own) for own in found.lists.tolist()))


@pytest.mark.parametrize(
    "name, change, told",
    [
        ("masterordering", lambda a: a - 1, "masterordering must hold whole numbers from 1"),
        ("subjectim", lambda a: a + 0.5, "subjectim must hold whole numbers from 1"),
        ("subjectim", lambda a: a.T, "points at place 9 of lists of 3 pictures"),
        ("subjectim", lambda a: np.where(a == a[0, 0], a[0, 1], a), "several times"),
        ("sharedix", lambda a: a * 0 + 999, "sharedix has 999"),
        ("sharedix", lambda a: a[:, :0], "begins at nothing"),
        ("masterordering", lambda a: np.stack([a[0], a[0]]), "one line of trials"),
        ("masterordering", None, "no array 'masterordering'; it has subjectim, sharedix"),
    ],
)
def test_designs_that_do_not_fit(tmp_path, name, change, told):
    given = arrays()
    if change:
        given[name] = change(given[name].astype(float))
    else:
        del given[name]
    savemat(tmp_path / "d.mat", given)
    with pytest.raises(DataError, match=told):
        read_design(tmp_path / "d.mat")


def test_designs_that_are_not_there(tmp_path):
    with pytest.raises(FileError, match=r"no .*d\.mat.*dataset\.design"):
        read_design(tmp_path / "d.mat")
    (tmp_path / "d.mat").write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(FileError, match=r"d\.mat"):
        read_design(tmp_path / "d.mat")
    with pytest.raises(DataError, match="no subject 9"):
        Design(np.zeros(1, int), np.zeros((2, 1), int), np.zeros(1, int)).shown(9)
    assert id_of(72999) == "nsd72999"


def info(path, **columns):
    given = {"cocoId": [40, 30, 20], "cocoSplit": "val2017", "nsdId": [0, 1, 2]} | columns
    pd.DataFrame(given).to_csv(path)
    return path


def test_where_pictures_come_from(tmp_path):
    assert coco_of(info(tmp_path / "i.csv")) == {0: 40, 1: 30, 2: 20}
    for wrong, told in (
        ({"nsdId": [0, 1, 1]}, r"line 4"),
        ({"nsdId": [0, "x", 2]}, r"line 3"),
        ({"cocoId": [1, 2, None]}, r"line 4"),
    ):
        with pytest.raises(DataError, match=told):
            coco_of(info(tmp_path / "i.csv", **wrong))
    pd.DataFrame({"nsdId": [1]}).to_csv(tmp_path / "i.csv")
    with pytest.raises(DataError, match="no column 'cocoId'"):
        coco_of(tmp_path / "i.csv")
    (tmp_path / "i.csv").write_bytes(b"\xff\xfe\x00\x01,\n" * 5)
    with pytest.raises((FileError, DataError), match=r"i\.csv"):
        coco_of(tmp_path / "i.csv")
    with pytest.raises(FileError, match=r"dataset\.info"):
        coco_of(tmp_path / "none.csv")


def coco(path, *said):
    lines = [{"image_id": k, "id": n, "caption": c} for n, (k, c) in enumerate(said)]
    path.write_text(json.dumps({"images": [], "annotations": lines}))
    return str(path)


def test_captions_of_several_files(tmp_path):
    one = coco(tmp_path / "a.json", (40, "A cat. "), (7, "Nobody saw it."), (40, "Two\n cats."))
    two = coco(tmp_path / "b.json", (20, "A dog."), (40, "A cat."))
    joined = {0: 40, 1: 30, 2: 20}
    assert read_captions([one, two], joined, [2, 0, 1, 5]) == ["A dog.", "A cat. Two cats.", "", ""]


def test_files_that_hold_no_captions(tmp_path):
    path = tmp_path / "a.json"
    for content, told in (
        ("", "damaged or no annotation"),
        ('{"annotations": ', "damaged or no annotation"),
        ("[1, 2]", "damaged or no annotation"),
        ('{"annotations": {"a": 1}}', "no list"),
        ('{"annotations": [{"image_id": 40}]}', "no image_id and caption"),
        ('{"annotations": [{"image_id": "x", "caption": "c"}]}', "no image_id and caption"),
        ('{"annotations": [3]}', "no image_id and caption"),
        ('{"annotations": []}', "captions of none of the 1 pictures"),
        ("[" * 100_000, "damaged or no annotation"),
    ):
        path.write_text(content)
        with pytest.raises((FileError, DataError), match=told):
            read_captions([str(path)], {0: 40}, [0])
    with pytest.raises(FileError, match="no captions in"):
        read_captions([str(tmp_path / "b.json")], {0: 40}, [0])
