import struct
import sys

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import DataError, FileError
from striate.files.surfaces import FSAVERAGE, read_mesh, vertex_coordinates, voxel_coordinates


def mesh(count=12, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)).astype("float32")
    return points, rng.integers(0, count, (2 * count, 3)).astype("int32")


def save_gifti(path, points, faces):
    arrays = [
        nib.gifti.GiftiDataArray(points, intent="NIFTI_INTENT_POINTSET"),
        nib.gifti.GiftiDataArray(faces, intent="NIFTI_INTENT_TRIANGLE"),
    ]
    nib.save(nib.GiftiImage(darrays=arrays), path)


@pytest.mark.parametrize("surface", ["pial", "white", "inflated", "sphere", "flat"])
def test_fsaverage5_is_what_nilearn_gives(surface):
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    files = fetch_surf_fsaverage("fsaverage5")
    for hemisphere, side in (("lh", "left"), ("rh", "right")):
        key = {"inflated": "infl"}.get(surface, surface)
        want = load_surf_mesh(files[f"{key}_{side}"])
        assert len(want.coordinates) == FSAVERAGE["fsaverage5"]
        at = np.array([0, 10241, 77, 77])
        found = vertex_coordinates(hemisphere, at, surface)
        np.testing.assert_allclose(found, want.coordinates[at], rtol=1e-6)
        if surface in ("pial", "white"):  # left is where x is below 0
            every = vertex_coordinates(hemisphere, np.arange(10242), surface)
            assert (every[:, 0].mean() < 0) == (hemisphere == "lh")
            assert 20 < np.abs(every[:, 0].mean()) < 50


def test_a_vertex_beyond_fsaverage5_asks_for_a_path():
    with pytest.raises(DataError, match=r"vertex 10242, 163841 is not on fsaverage5, .*SUBJECTS"):
        vertex_coordinates("lh", np.array([3, 10242, 163841]))
    with pytest.raises(DataError, match="unknown hemisphere 'left'"):
        vertex_coordinates("left", np.array([3]))
    with pytest.raises(DataError, match="unknown surface of fsaverage5 'pia'"):
        vertex_coordinates("lh", np.array([3]), "pia")


@pytest.mark.parametrize("name", ["lh.pial", "surf/lh.pial", "lh.pial.gii", "pial_left.gii.gz"])
def test_meshes_of_ones_own(tmp_path, name):
    points, faces = mesh()
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    if "gii" in name:
        save_gifti(place, points, faces)
    else:
        nib.freesurfer.write_geometry(place, points, faces)
    found = vertex_coordinates("lh", np.array([11, 2]), "pial", tmp_path)
    np.testing.assert_array_equal(found, points[[11, 2]])
    np.testing.assert_array_equal(vertex_coordinates("lh", np.array([4]), path=place), points[[4]])
    np.testing.assert_array_equal(read_mesh(place)[1], faces)
    with pytest.raises(FileError, match=r"no rh.pial, .* which holds"):
        vertex_coordinates("rh", np.array([0]), "pial", tmp_path)
    with pytest.raises(DataError, match="a mesh of 12 vertices"):
        vertex_coordinates("lh", np.array([12]), "pial", tmp_path)


def test_damaged_meshes_are_refused(tmp_path):
    points, faces = mesh()
    nib.freesurfer.write_geometry(tmp_path / "lh.good", points, faces)
    good = (tmp_path / "lh.good").read_bytes()
    counts = good.index(b"\n\n") + 2
    spoilt = [
        b"",
        good[:-1],
        good[: counts + 5],
        b"\xff\xff\xff" + good[3:],
        good[:counts] + struct.pack(">2i", 2**31 - 1, 2**31 - 1) + good[counts + 8 :],
        good[:counts] + struct.pack(">2i", -1, 3) + good[counts + 8 :],
        good[: counts + 8] + struct.pack(">f", float("nan")) + good[counts + 12 :],
        good[:-4] + struct.pack(">i", 12),
    ]
    for k, content in enumerate(spoilt):
        (tmp_path / f"lh.bad{k}").write_bytes(content)
        with pytest.raises(FileError, match=f"lh.bad{k}"):
            read_mesh(tmp_path / f"lh.bad{k}")
    nib.save(nib.GiftiImage(), tmp_path / "none.gii")
    array = nib.gifti.GiftiDataArray(points[:, 0].copy(), intent="NIFTI_INTENT_SHAPE")
    nib.save(nib.GiftiImage(darrays=[array]), tmp_path / "map.gii")
    for name in ("none.gii", "map.gii", "nowhere"):
        with pytest.raises(FileError, match=name):
            read_mesh(tmp_path / name)


def test_without_nilearn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    with pytest.raises(FileError, match=r"pip install 'striate\[brain\]'"):
        vertex_coordinates("lh", np.array([3]))


@given(
    st.lists(st.tuples(*[st.integers(0, 92)] * 3), min_size=1, max_size=9),
    st.lists(st.floats(-100, 100), min_size=12, max_size=12),
)
def test_voxels_lie_where_the_affine_says(indices, numbers):
    affine = np.vstack([np.reshape(numbers, (3, 4)), [0, 0, 0, 1]])
    found = voxel_coordinates(np.array(indices), affine)
    want = nib.affines.apply_affine(affine, np.array(indices))
    np.testing.assert_allclose(found, want, atol=1e-9)
