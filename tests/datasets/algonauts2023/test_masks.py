import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.datasets.algonauts2023.masks import (
    CLASSES,
    FSAVERAGE,
    class_file,
    label_names,
    mapping_file,
    mask_file,
    regions,
    target_ids,
    to_challenge,
    to_fsaverage,
    vertices,
)
from striate.errors import DataError, FileError
from striate.files import write_object_npy


def subject(root, length=4, name="floc-places", space="challenge", labels=(1, 0, 3, 1)):
    """One hemisphere with `length` vertices, at every tenth of fsaverage, and one class."""
    place = root / "subj01"
    (place / "roi_masks").mkdir(parents=True)
    mask = np.zeros(FSAVERAGE, dtype=np.int64)
    mask[10 * np.arange(length)] = 1
    np.save(mask_file(place, "lh"), mask)
    values = np.array(labels, dtype=np.int64)
    if space == "fsaverage":
        whole = np.full(FSAVERAGE, 2)
        whole[10 * np.arange(length)] = values
        values = whole
    np.save(class_file(place, "lh", name, space), values)
    return place


def test_31_regions_of_six_classes_with_names_of_their_own():
    names = [n for group in CLASSES.values() for n in group]
    assert len(CLASSES) == 6 and len(names) == len(set(names)) == 31


@given(
    mask=hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 1)),
    rows=st.integers(0, 3),
    seed=st.integers(0, 9),
)
def test_there_and_back(mask, rows, seed):
    rng = np.random.default_rng(seed)
    shape = (int(mask.sum()),) if rows == 0 else (rows, int(mask.sum()))
    values = rng.standard_normal(shape)
    whole = to_fsaverage(values, mask, np.nan)
    assert whole.shape == (*shape[:-1], len(mask))
    np.testing.assert_array_equal(to_challenge(whole, mask), values)
    assert np.isnan(whole[..., mask == 0]).all()
    slow = np.zeros(whole.shape)
    column = 0
    for v in range(len(mask)):
        if mask[v]:
            slow[..., v] = values[..., column]
            column += 1
    np.testing.assert_array_equal(to_fsaverage(values, mask), slow)


def test_what_fits_no_mask_and_what_fills():
    with pytest.raises(DataError, match="3 values for 2 vertices of the mask"):
        to_fsaverage(np.zeros((5, 3)), np.array([1, 0, 1]))
    with pytest.raises(DataError, match="3 values for a mask of 4 vertices"):
        to_challenge(np.zeros(3), np.array([1, 0, 1, 0]))
    labels = np.array([1, 2], dtype=np.uint8)
    assert to_fsaverage(labels, np.array([1, 0, 1])).dtype == np.uint8
    assert np.isnan(to_fsaverage(labels, np.array([1, 0, 1]), np.nan)[1])
    assert to_fsaverage(labels, np.array([1, 0, 1]), -1).tolist() == [1, -1, 2]


@pytest.mark.parametrize("space", ["challenge", "fsaverage"])
def test_regions_from_either_space(tmp_path, space):
    place = subject(tmp_path, space=space)
    where = vertices(place, "lh")
    assert where.tolist() == [0, 10, 20, 30]
    assert list(target_ids("lh")[where]) == ["lh.000000", "lh.000010", "lh.000020", "lh.000030"]
    found = regions(place, "lh", where)
    assert set(found) == {"OPA", "PPA", "RSC"}
    assert found["OPA"].tolist() == [True, False, False, True]
    assert not found["PPA"].any() and found["RSC"].sum() == 1
    assert target_ids("rh")[-1] == f"rh.{FSAVERAGE - 1:06d}"


def test_the_subjects_own_names_count(tmp_path):
    place = subject(tmp_path)
    write_object_npy(mapping_file(place, "floc-places"), {0: "Unknown", 1: "A", 2: "B", 3: "C"})
    assert label_names(place, "floc-places") == {1: "A", 2: "B", 3: "C"}
    assert regions(place, "lh", vertices(place, "lh"))["C"].tolist() == [False, False, True, False]
    write_object_npy(mapping_file(place, "floc-places"), {0: "Unknown", 1: "A", 2: "A"})
    with pytest.raises(DataError, match="gives A to several labels"):
        label_names(place, "floc-places")
    write_object_npy(mapping_file(place, "floc-places"), {"one": 1})
    with pytest.raises(DataError, match="must map labels to names"):
        label_names(place, "floc-places")
    write_object_npy(mapping_file(place, "floc-places"), {1: "A"})
    with pytest.raises(DataError, match=r"lh.floc-places_challenge_space.npy holds label 3"):
        regions(place, "lh", vertices(place, "lh"))


def test_masks_that_are_none(tmp_path):
    place = subject(tmp_path)
    where = vertices(place, "lh")
    with pytest.raises(FileError, match=r"no .*rh.all-vertices.*nobody knows where the columns"):
        vertices(place, "rh")
    for odd, told in (
        (np.full(FSAVERAGE, 2), "must hold 0 and 1 only, but holds 2"),
        (np.zeros(10_242, dtype=int), r"shape \(10242,\)"),
        (np.full(FSAVERAGE, 0.5), "whole numbers"),
        (np.zeros((FSAVERAGE, 1), dtype=int), "shape"),
    ):
        np.save(mask_file(place, "lh"), odd)
        with pytest.raises(DataError, match=told):
            vertices(place, "lh")
    np.save(mask_file(place, "lh"), np.ones(FSAVERAGE, dtype=bool))
    assert len(vertices(place, "lh")) == FSAVERAGE
    np.save(class_file(place, "lh", "streams"), np.zeros(5, dtype=int))
    with pytest.raises(DataError, match=r"streams_challenge_space.npy has shape \(5,\)"):
        regions(place, "lh", where)
