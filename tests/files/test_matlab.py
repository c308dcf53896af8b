"""MATLAB files are read as scipy reads them, with what they claim counted first."""

import struct
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from striate.errors import FileError
from striate.files import matlab, read_mat
from striate.files.matlab import mat_variables

KINDS = ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=hnp.arrays(
        st.sampled_from(KINDS).map(np.dtype),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    ),
    name=st.sampled_from(["a", "EVC_RDMs", "x" * 31]),
    packed=st.booleans(),
)
def test_numbers_are_as_scipy_reads_them(tmp_path_factory, values, name, packed):
    path = tmp_path_factory.mktemp("m") / "x.mat"
    savemat(path, {name: values, "other": 1.5}, do_compression=packed)
    found, theirs = read_mat(path), loadmat(path, mat_dtype=True)
    assert set(found) == {name, "other"}
    assert found[name].shape == theirs[name].shape
    np.testing.assert_array_equal(found[name], theirs[name])
    assert found[name].dtype == (values.dtype if values.dtype != bool else "u1")
    assert set(read_mat(path, "other")) == {"other"}


def element(kind, content, order="<"):
    return struct.pack(order + "II", kind, len(content)) + content + bytes(-len(content) % 8)


def variable(name=b"x", shape=(2, 3), kind=2, content=bytes(range(6)), cls=6, order="<"):
    return element(
        14,
        element(6, struct.pack(order + "II", cls, 0), order)
        + element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
        + element(1, name, order)
        + element(kind, content, order),
        order,
    )


def test_numbers_may_be_stored_narrowly_and_in_either_order():
    found = mat_variables(HEAD + variable(), "x.mat")["x"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.arange(6.0).reshape(2, 3, order="F"))
    other = HEAD[:124] + b"\x01\x00MI" + variable(order=">")
    np.testing.assert_array_equal(mat_variables(other, "x.mat")["x"], found)
    short = struct.pack("<HH", 2, 4) + b"\1\2\3\4"
    head = variable(shape=(2, 2), content=b"")
    content = struct.pack("<II", 14, len(head) - 8) + head[8:-8] + short
    np.testing.assert_array_equal(mat_variables(HEAD + content, "x")["x"], [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (variable()[:-9], "an element claims"),
        (variable(shape=(2, 1 << 30)), "does not fit 6 bytes"),
        (variable(shape=(2, 4)), "does not fit 6 bytes"),
        (variable(shape=(-2, -3)), "no name or shape"),
        (variable(kind=77), "unknown type 77"),
        (variable(shape=()), "no shape"),
        (variable() + b"\0\0\0", "ends within a tag"),
        (element(9, bytes(8)), "type 9 stands where a variable belongs"),
        (element(15, b"nothing packed"), "header check"),
        (struct.pack("<II", 15, 1 << 31), "claims 2147483648 bytes"),
        (element(15, zlib.compress(struct.pack("<II", 14, 1 << 30))), "claim to unpack"),
        (element(15, zlib.compress(variable()[:-4])), "not as long as it claims"),
        (element(15, zlib.compress(variable() + bytes(9))), "not as long as it claims"),
        (element(15, zlib.compress(b"")), "is empty"),
        (element(14, b""), "ends within a tag"),
        (element(14, element(6, bytes(4))), "no class"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, content, told):
    path = tmp_path / "x.mat"
    path.write_bytes(HEAD + content)
    with pytest.raises(FileError, match=rf"x\.mat is damaged or no MATLAB file: .*{told}"):
        read_mat(path)


def test_text_cells_and_structs_are_left_out(tmp_path):
    path = tmp_path / "x.mat"
    savemat(path, {"a": np.eye(2), "t": "text", "c": np.array([1, "b"], object), "s": {"f": 1},
                   "z": np.eye(2) * 1j})  # fmt: skip
    assert set(read_mat(path)) == {"a"}
    (tmp_path / "old.mat").write_bytes(bytes(200))
    with pytest.raises(FileError, match="save it with -v7"):
        read_mat(tmp_path / "old.mat")
    with pytest.raises(FileError, match="no file"):
        read_mat(tmp_path / "none.mat")


def test_v73_follows_no_link(tmp_path):
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["x"] = np.eye(3)
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:
        file["a"] = np.arange(6.0).reshape(2, 3)
        file["empty"] = np.array([0, 0], "u8")
        file["empty"].attrs["MATLAB_empty"] = 1
    found = read_mat(tmp_path / "x.mat")
    assert list(found) == ["a"] and found["a"].shape == (3, 2)
    with h5py.File(tmp_path / "x.mat", "a") as file:
        file["b"] = h5py.ExternalLink("y.h5", "x")
    with pytest.raises(FileError, match="is a link"):
        read_mat(tmp_path / "x.mat")


def test_real_files_agree_with_h5py_and_scipy(real_data):
    for path in real_data.glob("algonauts2019/**/target_*.mat"):
        found = read_mat(path)
        with h5py.File(path) as file:
            for name, values in found.items():
                np.testing.assert_array_equal(values, file[name][()].T)
    path = real_data / "v1_figures" / "V1_mean_figure.mat"
    found, theirs = read_mat(path), loadmat(path)
    assert found["R2"].shape == (797, 80)
    for name in ("R2", "I2"):
        np.testing.assert_array_equal(found[name], theirs[name])


def widened(name, shape, width=9, stored=2, klass=6):
    """A variable of bytes that are shown as doubles."""
    named = name.encode().ljust(8)[:8]
    body = struct.pack("<IIII", 6, 8, klass, 0) + struct.pack("<IIii", 5, 8, *shape)
    body += struct.pack("<II", 1, 8) + named + struct.pack("<II", stored, shape[0] * shape[1])
    body += bytes(shape[0] * shape[1])
    packed = zlib.compress(struct.pack("<II", 14, len(body)) + body, 9)
    return struct.pack("<II", 15, len(packed)) + packed


def test_numbers_that_widen_are_counted_as_they_become():
    small = mat_variables(HEAD + widened("a", (8, 100)), "x.mat")
    assert {n.strip(): (a.shape, a.dtype) for n, a in small.items()} == {
        "a": ((8, 100), np.dtype("f8"))
    }
    one = widened("a", (8, 2 << 20))
    with pytest.raises(FileError, match=f"claim to unpack to {8 * (16 << 20)}"):
        mat_variables(HEAD + one, "x.mat")
    half = [widened(n, (8, 1 << 20)) for n in "ab"]
    assert len(mat_variables(HEAD + half[0], "x.mat")) == 1
    with pytest.raises(FileError, match=f"claim to unpack to {8 * (16 << 20)}"):
        mat_variables(HEAD + half[0] + half[1], "x.mat")


def test_what_is_not_wanted_is_not_unpacked(monkeypatch):
    unpacked = []
    real = matlab._inflated
    monkeypatch.setattr(matlab, "_inflated", lambda p, o: unpacked.append(p) or real(p, o))
    content = HEAD + b"".join(widened(f"name{k}xxx", (8, 1000)) for k in range(5))
    assert list(mat_variables(content, "x.mat", "name3xxx")) == ["name3xxx"]
    assert len(unpacked) == 1
