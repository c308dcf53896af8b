"""Headers of .npy and .npz files are held against what follows them."""

import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.errors import DataError, FileError
from striate.files import read_npy, read_npz
from striate.files.npy import npz_headers

KINDS = ["<f4", "<f8", ">f8", "<f2", "<i2", ">i4", "|u1", "|b1", "<U4", "|S3", "<c16", "<i8"]
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
arrays = hnp.arrays(
    st.sampled_from(KINDS).map(np.dtype), hnp.array_shapes(min_dims=0, min_side=0, max_side=5)
).flatmap(lambda a: st.sampled_from([a, np.asfortranarray(a)]))


def equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@quick
@given(values=arrays, mmap=st.booleans())
def test_what_numpy_saves_is_read(tmp_path_factory, values, mmap):
    path = tmp_path_factory.mktemp("n") / "x.npy"
    np.save(path, values)
    found = read_npy(path, mmap=mmap)
    assert equal(found, values)
    assert found.flags.f_contiguous == np.load(path).flags.f_contiguous
    assert found.flags.writeable != (mmap and values.size > 0 and values.itemsize > 0)


@quick
@given(values=arrays, packed=st.booleans())
def test_what_numpy_packs_is_read(tmp_path_factory, values, packed):
    path = tmp_path_factory.mktemp("n") / "x.npz"
    (np.savez_compressed if packed else np.savez)(path, a=values, b=np.arange(3))
    found = read_npz(path)
    assert sorted(found) == ["a", "b"] and equal(found["a"], values)
    assert list(read_npz(path, "b")) == ["b"]
    with pytest.raises(DataError, match="unknown variable 'c'"):
        read_npz(path, "c")


def made(header, content=b"", version=b"\x01\x00"):
    text = header.encode() + b" " * (-len(header) % 16) + b"\n"
    form = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + version + struct.pack(form, len(text)) + text + content


def header(descr="'<f8'", order="False", shape="(3,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (made(header(), bytes(23)), "needs 24 bytes, but 23 follow"),
        (made(header(), bytes(25)), "needs 24 bytes, but 25 follow"),
        (made(header(shape="(1000000, 1000000)"), bytes(24)), "needs 8000000000000 bytes"),
        (made(header(shape="(4294967296, 4294967296, 8)"), bytes(24)), "no shape"),
        (made(header(shape="(0, 99999999999999)")), "no shape"),
        (made(header(shape="(-3,)"), bytes(24)), "header is"),
        (made(header(descr="'|O'"), bytes(24)), "would run code"),
        (made(header(descr="'|V8'"), bytes(24)), "without a meaning"),
        (made(header(descr="[('a', '<f8')]"), bytes(24)), "holds records"),
        (made(header(descr="'<f8, <i4'"), bytes(24)), "called '<f8, <i4'"),
        (made(header(descr="'<f7'"), bytes(24)), "called '<f7'"),
        (made(header(order="0"), bytes(24)), "header is"),
        (made(header(order="(3,)"), bytes(24)), "header is"),
        (made("__import__('os').system('ls')", bytes(24)), "header is"),
        (made("{'descr': '<f8', 'shape': (3,), 'shape': (3,)}", bytes(24)), "header is"),
        (made("(" * 60_000, bytes(24)), "header is"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(64), "claims 4294967295 bytes"),
        (b"\x93NUMPY\x01\x00\xff\xff" + bytes(64), "claims 65535 bytes"),
        (b"\x93NUMPY\x09\x00" + bytes(64), "no NumPy file"),
        (made(header(descr="'|b1'"), b"\x00\x01\x02"), "truth values other than 0 and 1"),
        (made(header(descr="'<U1'", shape="(1,)"), b"\xff\xff\xff\xff"), "no Unicode"),
        (pickle.dumps(np.zeros(3)), "would run code"),
        (b"", "no NumPy file"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, content, told):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    for mmap in (False, True) if b"|b1" not in content and b"<U1" not in content else (False,):
        with pytest.raises(FileError, match=told) as caught:
            read_npy(path, mmap=mmap)
        assert str(path) in str(caught.value)


def test_old_and_new_headers(tmp_path):
    path = tmp_path / "x.npy"
    values = np.arange(3.0)
    for content in (
        made("{'shape': (3L,), 'descr': '<f8', 'fortran_order': False}", values.tobytes()),
        made(header(), values.tobytes(), b"\x02\x00"),
        made(header(), values.tobytes(), b"\x03\x00"),
    ):
        path.write_bytes(content)
        assert equal(read_npy(path), values)


def test_a_folder_or_nothing_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.npy"):
        with pytest.raises(FileError, match="cannot be read"):
            read_npy(path)
    with pytest.raises(FileError, match="no zip archive"):
        read_npz(tmp_path / "none.npz")


def test_members_of_an_archive_must_be_whole(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", made(header(), bytes(16)))
    with pytest.raises(FileError, match=r"a of .*x\.npz is damaged"):
        read_npz(path)
    np.savez(path, a=np.array([None, 1], dtype=object), b=np.arange(3.0))
    assert list(read_npz(path)) == ["b"]
    with pytest.raises(FileError, match="would run code"):
        read_npz(path, "a")
    np.savez(path, b=np.arange(300.0))
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(200).tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="CRC"):
        read_npz(path)


def test_headers_of_archives_tell_what_is_there(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros((2, 3), "f4"), b=np.array([{}]), c=np.arange(3))
    found = npz_headers(tmp_path / "x.npz")
    assert {n: (h.shape, h.ndim, h.dtype.kind) for n, h in found.items()} == {
        "a": ((2, 3), 2, "f"), "b": ((1,), 1, "O"), "c": ((3,), 1, "i"),
    }  # fmt: skip
