import pickle
import zlib

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from striate.errors import DataError, FileError, StriateError
from striate.files import READERS, arrays, read_array, read_mat

VALUES = np.arange(24.0).reshape(4, 3, 2)


def save(path, values, name="responses"):
    kind = path.suffix
    if kind == ".npy":
        np.save(path, values)
    elif kind == ".npz":
        np.savez(path, **{name: values})
    elif kind == ".mat":
        savemat(path, {name: values})
    elif kind == ".nc":
        xr.DataArray(values, dims=[f"d{k}" for k in range(values.ndim)], name=name).to_netcdf(path)
    elif kind in (".h5", ".hdf5"):
        with h5py.File(path, "w") as file:
            file["group/" + name if kind == ".hdf5" else name] = values
    else:
        table = pd.DataFrame(values, columns=[f"t{k}" for k in range(values.shape[1])])
        table.to_csv(path, index=False, sep="," if kind == ".csv" else "\t")


def save_v73(path, **arrays):
    """As MATLAB writes: axes in reverse, a header of 512 bytes, references among the variables."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            file[name] = np.asarray(values).T
        file.create_group("#refs#")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from([*READERS, "v7.3"]),
    shape=st.lists(st.integers(2, 5), min_size=2, max_size=4),
    dtype=st.sampled_from(["f4", "f8", "i2", "i8", "u1"]),
)
def test_every_format_gives_back_what_was_saved(tmp_path_factory, kind, shape, dtype):
    folder = tmp_path_factory.mktemp("a")
    shape = shape[:2] if kind in (".csv", ".tsv") else shape
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    path = folder / ("x.mat" if kind == "v7.3" else f"x{kind}")
    if kind == "v7.3":
        save_v73(path, responses=values)
    else:
        save(path, values)
    found = read_array(path)
    assert found.shape == tuple(shape)
    assert found.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(found.values, values)


def test_a_pickled_npy_is_refused_without_running_it(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="would run code"):
        read_array(path)
    path.write_bytes(pickle.dumps(np.zeros(3)))
    with pytest.raises(FileError, match="run code"):
        read_array(path)
    np.savez(tmp_path / "x.npz", a=np.array([None, 1], dtype=object))
    with pytest.raises(FileError, match="run code"):
        read_array(tmp_path / "x.npz", "a")


@pytest.mark.parametrize("kind", READERS)
def test_damaged_and_missing_files_are_one_sentence(tmp_path, kind):
    path = tmp_path / f"x{kind}"
    with pytest.raises(FileError, match="no file"):
        read_array(path)
    path.write_bytes(b"\x93nothing of the kind\n1,2\n")
    with pytest.raises(StriateError) as caught:
        read_array(path)
    assert str(path) in str(caught.value) and "Traceback" not in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(StriateError):
        read_array(path)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat", ".h5", ".nc"])
def test_a_truncated_file_is_told(tmp_path, kind):
    path = tmp_path / f"x{kind}"
    save(path, np.random.default_rng(0).random((200, 30)))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FileError, match="damaged"):
        read_array(path)


def test_one_of_several_variables_must_be_named(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, one=VALUES, two=VALUES + 1)
    with pytest.raises(DataError, match=r"one \(4, 3, 2\), two .*dataset.variable=one"):
        read_array(path)
    assert read_array(path, "two").values[0, 0, 0] == 1
    with pytest.raises(DataError, match="did you mean 'two'"):
        read_array(path, "tow")
    np.savez(path, other=VALUES, responses=VALUES + 2)
    assert read_array(path).values[0, 0, 0] == 2


def test_mat_containers_agree_and_leave_text_out(tmp_path):
    savemat(tmp_path / "v5.mat", {"r": VALUES, "note": "text", "cell": np.array([1, "a"], object)})
    save_v73(tmp_path / "v73.mat", r=VALUES)
    for name in ("v5.mat", "v73.mat"):
        found = read_mat(tmp_path / name)
        assert list(found) == ["r"] and found["r"].shape == VALUES.shape
        np.testing.assert_array_equal(read_array(tmp_path / name, "r").values, VALUES)
        with pytest.raises(DataError, match="unknown variable 'q'"):
            read_array(tmp_path / name, "q")


def test_csv_labels(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("﻿image,v1,v2\nb.png,1,2\na.png,,4\n", encoding="utf-8")
    found = read_array(path)
    assert list(found.dim_0.values) == ["b.png", "a.png"]
    assert list(found.dim_1.values) == ["v1", "v2"]
    assert np.isnan(found.values[1, 0])
    path.write_text("v1,v2\n1,2\n3,4\n")
    assert "dim_0" not in read_array(path).coords
    path.write_text("stimulus,0,1\n7,1,2\n8,3,4\n")
    assert list(read_array(path).dim_0.values) == ["7", "8"]
    path.write_text("0,1\n1,2\n")
    with pytest.raises(DataError, match="must name the targets"):
        read_array(path)
    path.write_text("id,v1\na,1\nb,high\n")
    with pytest.raises(DataError, match="text where responses belong"):
        read_array(path)


def test_values_must_be_real_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2), complex))
    with pytest.raises(DataError, match="real numbers"):
        read_array(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", names=np.array(["a", "b"]))
    with pytest.raises(DataError, match="no array of numbers"):
        read_array(tmp_path / "x.npz")
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(FileError, match="its kind is none of"):
        read_array(tmp_path / "x.pkl")


def test_a_chunk_of_a_netcdf_file_that_is_too_short_is_refused(tmp_path):
    array = xr.DataArray(np.arange(40.0).reshape(8, 5), dims=("a", "b"), name="responses")
    packed = {"responses": {"chunksizes": (4, 5), "zlib": True}}
    array.to_netcdf(tmp_path / "x.nc", engine="h5netcdf", encoding=packed)
    np.testing.assert_array_equal(read_array(tmp_path / "x.nc").values, array.values)
    with h5py.File(tmp_path / "x.nc", "a") as file:
        file["responses"].id.write_direct_chunk((4, 0), zlib.compress(b"short"))
    with pytest.raises(FileError, match=r"x\.nc is damaged: a chunk holds"):
        read_array(tmp_path / "x.nc")


@pytest.mark.parametrize("shape", [(20000, 20000), (20, 20)])
def test_netcdf_that_was_never_written_is_refused(tmp_path, shape):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        made = file.create_dataset("x", shape, "f8", chunks=(10, 20))
        for k, name in enumerate("ab"):
            file[name] = np.arange(float(shape[k]))
            file[name].make_scale(name)
            made.dims[k].attach_scale(file[name])
    with pytest.raises(FileError, match="were never written"):
        read_array(tmp_path / "x.nc", "x")


def test_netcdf_without_coordinates_or_with_an_empty_grid_is_read(tmp_path):
    kept = xr.Dataset({"x": (("a", "b"), VALUES[..., 0])})
    kept.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with h5py.File(tmp_path / "x.nc", "a") as file:
        file.create_dataset("crs", (), "i4")
    np.testing.assert_array_equal(read_array(tmp_path / "x.nc", "x").values, VALUES[..., 0])


def test_only_the_array_that_is_asked_for_is_unpacked(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", responses=VALUES, other=VALUES[0])
    asked = []
    real = arrays.read_npz
    monkeypatch.setattr(arrays, "read_npz", lambda p, n: asked.append(n) or real(p, n))
    np.testing.assert_array_equal(read_array(tmp_path / "x.npz").values, VALUES)
    assert asked == ["responses"]


@pytest.mark.parametrize("kind", [".npy", ".h5", ".mat", ".npz"])
def test_a_lack_of_memory_is_told(tmp_path, monkeypatch, kind):
    def lacking(*_):
        raise MemoryError

    save(tmp_path / f"x{kind}", VALUES)
    monkeypatch.setitem(READERS, kind, lacking)
    with pytest.raises(FileError, match="more than there is memory for"):
        read_array(tmp_path / f"x{kind}")
