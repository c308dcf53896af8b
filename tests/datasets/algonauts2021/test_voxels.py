"""Voxels of 2021: joined over files by their series, named by their place, with coordinates."""

import gzip

import nibabel
import numpy as np
import pytest

from striate.datasets.algonauts2021.files import SHAPE, opened
from striate.datasets.algonauts2021.twin import AFFINE
from striate.datasets.algonauts2021.voxels import affine_of, coordinates, of_regions, of_whole
from striate.errors import DataError, FileError
from striate.files import write_pickle
from striate.machine import Machine, using

PLACES = np.array([[3, 4, 5], [3, 4, 6], [70, 1, 2], [77, 92, 70]])


@pytest.fixture
def files(tmp_path):
    """V1 has voxels 2 and 0 of the whole brain and one from elsewhere; EBA has 0, 3 and 3 again."""
    values = np.random.default_rng(0).standard_normal((7, 3, 5)).astype(np.float32)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[tuple(PLACES.T)] = 1
    kept = {"V1": [2, 0, 4], "EBA": [0, 3, 3]}
    for roi, columns in kept.items():
        write_pickle(tmp_path / f"{roi}.pkl", {"train": values[:, :, columns].copy()})
    write_pickle(tmp_path / "WB.pkl", {"train": values[:, :, :4].copy(), "voxel_mask": mask})
    with using(Machine(store=tmp_path / "store", quiet=True)):
        regions = {roi: opened(tmp_path / f"{roi}.pkl") for roi in kept}
        yield values, regions, opened(tmp_path / "WB.pkl", mask=True)


def read(voxels):
    return voxels.values.read(np.arange(7), np.arange(len(voxels.ids)))


def test_voxels_of_regions_in_the_whole_brain(files):
    values, regions, whole = files
    found = of_regions(regions, whole)
    # The second column with one series is no voxel of the whole brain any more.
    assert found.ids == ("v070_001_002", "v003_004_005", "V1.0003", "v077_092_070", "EBA.0003")
    assert found.columns["V1"].tolist() == [0, 1, 2]
    assert found.columns["EBA"].tolist() == [1, 3, 4]
    np.testing.assert_array_equal(read(found), values[:, :, [2, 0, 4, 3, 3]].transpose(0, 2, 1))
    np.testing.assert_array_equal(found.places[0], [70, 1, 2])
    assert np.isnan(found.places[[2, 4]]).all()
    assert found.members("EBA").tolist() == [False, True, False, True, True]


def test_voxels_of_regions_alone(files):
    values, regions, _ = files
    found = of_regions(regions, None)
    assert found.ids == ("V1.0001", "V1.0002", "V1.0003", "EBA.0002", "EBA.0003")
    assert found.columns["EBA"].tolist() == [1, 3, 4]
    np.testing.assert_array_equal(read(found), values[:, :, [2, 0, 4, 3, 3]].transpose(0, 2, 1))
    assert np.isnan(found.places).all()


def test_the_whole_brain_and_its_regions(files):
    values, regions, whole = files
    found = of_whole(whole, regions)
    assert found.ids == ("v003_004_005", "v003_004_006", "v070_001_002", "v077_092_070")
    assert found.members("V1").tolist() == [True, False, True, False]
    assert found.members("EBA").tolist() == [True, False, False, True]
    np.testing.assert_array_equal(read(found), values[:, :, :4].transpose(0, 2, 1))


def test_files_of_different_clips_do_not_fit(files, tmp_path):
    _, regions, whole = files
    write_pickle(tmp_path / "V2.pkl", {"train": np.random.default_rng(1).random((6, 3, 2))})
    with pytest.raises(DataError, match=r"V2\.pkl has 6 clips × 3 repeats, but .*V1\.pkl 7 × 3"):
        of_regions({**regions, "V2": opened(tmp_path / "V2.pkl")}, whole)


def test_affine_is_that_which_nibabel_reads(tmp_path):
    affine = np.array([*AFFINE, (0, 0, 0, 1)])
    image = nibabel.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), affine)
    for name in ("example.nii", "example.nii.gz"):
        nibabel.save(image, tmp_path / name)
        np.testing.assert_allclose(affine_of(tmp_path / name), affine)
    found = coordinates(PLACES.astype(float), affine)
    wanted = nibabel.affines.apply_affine(affine, PLACES)
    np.testing.assert_allclose(np.stack([found[n] for n in "xyz"], axis=1), wanted)


def test_volumes_that_are_none_are_named(tmp_path):
    small = nibabel.Nifti1Image(np.zeros((3, 4, 5), dtype=np.uint8), np.eye(4))
    nibabel.save(small, tmp_path / "small.nii")
    (tmp_path / "text.nii").write_text("no volume at all, " * 40)
    (tmp_path / "short.nii").write_bytes(b"\x5c\x01\x00\x00")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(bytes(400))[:-12])
    for name in ("small.nii", "text.nii", "short.nii", "cut.nii.gz", "none.nii"):
        with pytest.raises(FileError, match=name.replace(".", r"\.")):
            affine_of(tmp_path / name)
