from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.datasets.algonauts2023 import Algonauts2023
from striate.datasets.algonauts2023.files import (
    COUNTS,
    ceiling_files,
    fmri_file,
    image_folder,
    images,
    read_ceiling,
    responses_of,
    unit_of,
)
from striate.errors import DataError, FileError

MEANS = {
    "subj01": (38.27, 38.38, 12, 29),
    "subj02": (39.94, 39.00, 29, 70),
    "subj03": (26.91, 27.37, 89, 133),
    "subj04": (23.04, 26.80, 106, 394),
    "subj05": (42.88, 41.78, 3, 62),
    "subj06": (27.31, 30.24, 111, 22),
    "subj07": (27.87, 26.87, 30, 14),
    "subj08": (18.38, 18.92, 397, 496),
}
"""Mean ceilings in percent of the left and right hemisphere, and vertices whose ceiling is 0."""


def test_the_counts_of_the_release():
    counts = np.array(list(COUNTS.values()))
    assert counts.sum(axis=0).tolist() == [75_086, 2_012, 151_983, 164_014]


def named(root, names):
    folder = image_folder(root, "training")
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return root


def test_images_follow_their_running_numbers_not_those_of_nsd(tmp_path):
    names = [f"train-{k:04d}_nsd-{73000 - 7 * k:05d}.png" for k in range(1, 12)]
    found = images(named(tmp_path, [*names, ".DS_Store", "Thumbs.db", "notes.txt"]), "training")
    assert found.ids == tuple(f"nsd{73000 - 7 * k:05d}" for k in range(1, 12))
    assert [Path(f).name for f in found.files] == names
    assert images(tmp_path, "test").ids == ()


@given(order=st.permutations(range(1, 13)), digits=st.integers(1, 6))
def test_digits_and_order_of_names_do_not_matter(order, digits, tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    named(root, [f"train-{k:0{digits}d}_nsd-{k * 5:05d}.png" for k in order])
    assert images(root, "training").ids == tuple(f"nsd{5 * k:05d}" for k in range(1, 13))


@pytest.mark.parametrize(
    "names, told",
    [
        (["train-0001_nsd-00001.png", "train-0003_nsd-00003.png"], "lacks train-0002"),
        (["train-0001_nsd-00001.png", "train-0001_nsd-00002.png"], "number 1 twice"),
        (["train-0001_nsd-00001.png", "train-0002_nsd-00001.png"], "nsd00001 twice"),
        (["train-0000_nsd-00001.png"], "lacks a place for train-0000"),
        (["test-0001_nsd-00001.png"], "is named test, but lies among training images"),
    ],
)
def test_names_that_leave_a_row_without_image(tmp_path, names, told):
    with pytest.raises(DataError, match=told):
        images(named(tmp_path, names), "training")


def test_responses_are_mapped_not_read(tmp_path):
    path = fmri_file(tmp_path, "lh")
    path.parent.mkdir(parents=True)
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    for order in "CF":
        np.save(path, np.asarray(values, order=order))
        found = responses_of(path, 3, 4, tmp_path)
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, values)
    for columns, rows, told in (
        (4, 3, "the axes are swapped"),
        (3, 5, "4 rows, but .* holds 5 images"),
        (2, 4, "2 vertices of its all-vertices mask"),
    ):
        with pytest.raises(DataError, match=told):
            responses_of(path, columns, rows, tmp_path)
    np.save(path, values.astype(int))
    with pytest.raises(DataError, match="int64"):
        responses_of(path, 3, 4, tmp_path)
    with pytest.raises(FileError, match="rh_training_fmri"):
        responses_of(fmri_file(tmp_path, "rh"), 3, 4, tmp_path)


def test_the_unit_of_ceilings_is_recognised_or_refused():
    files = [Path("lh.npy"), Path("rh.npy")]
    assert unit_of(files, [0.85, 1.0]) == "fraction"
    assert unit_of(files, [85.0, 2.0]) == "percent"
    assert unit_of(files, [0.0, 40.0]) == "percent"
    assert unit_of([], []) == "fraction" and unit_of(files, [0.0, 0.0]) == "fraction"
    with pytest.raises(DataError, match=r"rh.npy: the largest ceiling is 1.3"):
        unit_of(files, [0.8, 1.3])
    with pytest.raises(DataError, match=r"lh.npy is in percent, but rh.npy seems"):
        unit_of(files, [85.0, 0.8])


def test_ceilings_that_are_none(tmp_path):
    path = tmp_path / "lh.npy"
    for values, told in (
        ([0.5, -0.1], "1 of 2 ceilings, such as -0.1"),
        ([50, 101], "such as 101"),
        ([0.5, np.nan], "such as nan"),
        ([[0.5, 0.1]], r"shape \(1, 2\)"),
        (["a", "b"], "holds"),
        ([0.5, 0.2, 0.1], "3 ceilings for 2 vertices"),
    ):
        np.save(path, np.array(values))
        with pytest.raises((DataError, FileError), match=told):
            read_ceiling(path, 2)


def test_places_of_ceilings(tmp_path):
    for name in ("subj01/lh.npy", "subj02/rh_noise_ceiling.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.zeros(3))
    assert ceiling_files(tmp_path, "subj01") == {"lh": tmp_path / "subj01/lh.npy"}
    assert list(ceiling_files(tmp_path, "subj02")) == ["rh"]
    assert ceiling_files(tmp_path, "subj03") == {}


def test_the_real_ceilings_are_percent_with_the_known_means(real_data, tmp_path):
    place = real_data / "noise_ceiling_2023"
    for subject in MEANS:
        for side in ("lh", "rh"):
            # Which hemispheres are in use is told by files of responses; no value is read.
            path = fmri_file(tmp_path / subject, side)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    table = Algonauts2023(tmp_path, noise_ceilings=place).ceilings()
    assert list(table["unit"].unique()) == ["percent"] and len(table) == 16
    table = table.set_index(["subject", "hemisphere"])
    for subject, (left, right, none_left, none_right) in MEANS.items():
        for side, mean, zeros in (("lh", left, none_left), ("rh", right, none_right)):
            line = table.loc[(subject, side)]
            assert line["mean"] == pytest.approx(mean, abs=0.006)
            assert line["zeros"] == zeros
            assert line["vertices"] == COUNTS[subject][2 + (side == "rh")]
    assert table["vertices"].sum() == 151_983 + 164_014
    # One subject alone is told in the same unit.
    one = Algonauts2023(tmp_path, subjects=("subj08",), noise_ceilings=place).ceilings()
    assert list(one["unit"]) == ["percent"] * 2
