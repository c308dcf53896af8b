"""HDF5 files are read as h5py reads them, until they claim or lead too much."""

import struct
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import DataError, FileError
from striate.files import h5_array, open_hdf5
from striate.files.chunks import read_chunks
from striate.files.hdf5 import check_storage

VALUES = np.arange(50 * 31 * 7, dtype="f4").reshape(50, 31, 7) % 11


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_all_and_boxes_are_as_h5py_reads_them(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("h") / "x.h5"
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    dtype = data.draw(st.sampled_from(["f4", ">f8", "i2", "u1", "f2", "c16", ">i8", bool]))
    how = data.draw(st.sampled_from(["flat", "chunked", "gzip", "lzf"]))
    values = np.random.default_rng(0).integers(0, 3, shape).astype(dtype)
    options = {}
    if how != "flat":
        chunks = tuple(data.draw(st.integers(1, 5)) for _ in shape)
        options = {
            "chunks": chunks, "shuffle": data.draw(st.booleans()),
            "maxshape": (None,) * len(shape), "fletcher32": data.draw(st.booleans()),
            "compression": None if how == "chunked" else how,
        }  # fmt: skip
    libver = data.draw(st.sampled_from(["earliest", "latest"]))
    block = data.draw(st.sampled_from([0, 512]))
    with h5py.File(path, "w", libver=libver, userblock_size=block) as file:
        file.create_dataset("g/x", data=values, **options)
    ends = [sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n)))) for n in shape]
    box = tuple(slice(a, b) for a, b in ends)[: data.draw(st.integers(0, len(shape)))]
    with open_hdf5(path) as file:
        whole = h5_array(file["g/x"], path)
        part = h5_array(file["g/x"], path, box)
        theirs = file["g/x"][()]
    assert whole.dtype == theirs.dtype and whole.tobytes() == theirs.tobytes()
    np.testing.assert_array_equal(whole, values)
    np.testing.assert_array_equal(part, values[box])


def written(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def test_small_things(tmp_path):
    path = written(tmp_path / "x.h5", scalar=2.5, empty=np.zeros((0, 3)), text="abc")
    with h5py.File(path, "a") as file:
        file.create_dataset("compact", data=[1.0, 2.0])
        file.create_dataset("unwritten", (4, 5), "i4", chunks=(2, 2))
        file["unwritten"][:2, :2] = 7
        file.create_dataset("flat", (4, 5), "i4", fillvalue=3)
        file.create_dataset("filled", (4, 5), "i4", chunks=(2, 2), fillvalue=3)
        file.create_dataset("nothing", data=h5py.Empty("f4"))
    with open_hdf5(path) as file:
        assert h5_array(file["scalar"], path) == 2.5
        assert h5_array(file["empty"], path).shape == (0, 3)
        assert h5_array(file["unwritten"], path, (slice(0, 2), slice(0, 2))).sum() == 28
        for box, told in (((), "16 of 20 values"), ((slice(0, 3),), r"values from \(0, 2\) on")):
            with pytest.raises(FileError, match=rf"x\.h5: .*{told} were never written"):
                h5_array(file["unwritten"], path, box)
        for box in ((), (slice(0, 1),)):
            with pytest.raises(FileError, match="20 values were never written"):
                h5_array(file["flat"], path, box)
        for name, told in (("text", "holds object"), ("nothing", "where numbers belong")):
            with pytest.raises(DataError, match=told):
                h5_array(file[name], path)
        with pytest.raises(FileError, match="20 of 20 values were never written"):
            h5_array(file["filled"], path)
        with pytest.raises(DataError, match="is no array"):
            h5_array(file, path)
        with pytest.raises(DataError, match="is no box"):
            h5_array(file["empty"], path, (slice(0, 2, 2),))


def test_links_to_other_files_are_refused(tmp_path):
    written(tmp_path / "secret.h5", x=VALUES)
    path = written(tmp_path / "a.h5", x=VALUES)
    with h5py.File(path, "a") as file:
        file["group/deep"] = h5py.ExternalLink("secret.h5", "/x")
    with pytest.raises(FileError, match=r"'deep' is a link to 'secret\.h5'"), open_hdf5(path):
        pass
    path = tmp_path / "b.h5"
    (tmp_path / "raw").write_bytes(VALUES.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("x", VALUES.shape, "f4", external=[(str(tmp_path / "raw"), 0, 1 << 20)])
    with pytest.raises(FileError, match=r"/x of .*b\.h5 lies in another file"), open_hdf5(path):
        pass
    with h5py.File(path) as file, pytest.raises(FileError, match="lies in another file"):
        check_storage(file["x"], path)
    path = tmp_path / "c.h5"
    layout = h5py.VirtualLayout(VALUES.shape, "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", VALUES.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)
    with pytest.raises(FileError, match=r"/x of .*c\.h5 lies in another file"), open_hdf5(path):
        pass


def test_links_inside_of_a_file_are_followed(tmp_path):
    path = written(tmp_path / "a.h5", x=VALUES)
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/x")
        file["group/again"] = file["x"]
        file["group/up"] = file["/"]
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(h5_array(file["soft"], path), VALUES)
        np.testing.assert_array_equal(h5_array(file["group/again"], path), VALUES)


def test_a_claim_beyond_what_is_stored_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (100_000, 100_000), "f8", chunks=(100, 100), compression="gzip")
        file["x"][:100, :100] = 1
    with open_hdf5(path) as file:
        with pytest.raises(FileError, match=r"claims 80000000000 bytes, but .* are stored"):
            h5_array(file["x"], path)
        np.testing.assert_array_equal(h5_array(file["x"], path, (slice(0, 9), slice(0, 9))), 1)
        with pytest.raises(FileError, match="never written"):
            h5_array(file["x"], path, (slice(200, 209), slice(0, 9)))
    written(path, x=np.arange(30.0))
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<Q", 30))
    content[at : at + 8] = struct.pack("<Q", 1 << 40)
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"x\.h5 is damaged"), open_hdf5(path):
        pass


def test_a_chunk_that_is_too_short_is_refused(tmp_path):
    """The library would take what lies behind it in memory, or end the process."""
    for name, options, told in (
        ("gzip", {"compression": "gzip"}, "a chunk holds 8 bytes, not 400"),
        ("sum", {"fletcher32": True}, "checksum"),
        ("lzf", {"compression": "lzf"}, "a chunk holds 8 bytes, not 400"),
    ):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            made = file.create_dataset("x", (100,), "f4", chunks=(100,), **options)
            short = np.arange(2, dtype="f4").tobytes()
            content = {"gzip": zlib.compress(short), "sum": b"ab", "lzf": b"\x07" + short}[name]
            made.id.write_direct_chunk((0,), content)
        with open_hdf5(path) as file, pytest.raises(FileError, match=told):
            h5_array(file["x"], path)


def test_a_chunk_cannot_be_longer_than_the_file(tmp_path):
    path = written(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        made = file.create_dataset("x", data=VALUES, chunks=(10, 31, 7))
        box = tuple(slice(0, n) for n in VALUES.shape)
        np.testing.assert_array_equal(read_chunks(made, box, 1 << 20, "x"), VALUES)
        with pytest.raises(FileError, match="claims 8680 bytes"):
            read_chunks(made, box, 8000, "x")


@pytest.mark.parametrize("claim", [8000, 8684, 9000])
def test_a_chunk_without_filters_is_as_long_as_all(tmp_path, claim):
    """The library would write what the file claims into memory for a chunk of the right length."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("x", data=VALUES, chunks=(10, 31, 7))
    content = bytearray(path.read_bytes())
    key = struct.pack("<II", 8680, 0) + struct.pack("<4Q", 20, 0, 0, 0)
    assert content.count(key) == 1
    at = content.index(key)
    content[at : at + 4] = struct.pack("<I", claim)
    path.write_bytes(content)
    for box in ((), (slice(20, 21),), (slice(0, 1),)):
        with open_hdf5(path) as file, pytest.raises(FileError, match="is damaged: a chunk of 8680"):
            h5_array(file["x"], path, box)


def test_chunks_that_overlap_are_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("x", data=VALUES, chunks=(10, 31, 7))
        addresses = [file["x"].id.get_chunk_info(k).byte_offset for k in range(5)]
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<Q", addresses[2]))
    content[at : at + 8] = struct.pack("<Q", addresses[2] - 4)
    path.write_bytes(content)
    with open_hdf5(path) as file, pytest.raises(FileError, match="is damaged: chunks overlap"):
        h5_array(file["x"], path, (slice(20, 21),))


def test_other_filters_are_named(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES.astype("i4"), chunks=True, scaleoffset=0)
    with open_hdf5(path) as file, pytest.raises(FileError, match="packed with scaleoffset"):
        h5_array(file["x"], path)


def test_a_file_ends_where_it_says(tmp_path):
    path = written(tmp_path / "x.h5", x=VALUES)
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"\0", content[:100], b"", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(wrong)
        with pytest.raises(FileError, match="is damaged"), open_hdf5(path):
            pass
    with pytest.raises(FileError, match="no file"), open_hdf5(tmp_path / "none.h5"):
        pass
    path.write_bytes(content)
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(h5_array(file["x"], path), VALUES)


def test_a_changed_file_is_looked_at_again(tmp_path):
    path = written(tmp_path / "x.h5", x=VALUES)
    with open_hdf5(path):
        pass
    with h5py.File(path, "a") as file:
        file["link"] = h5py.ExternalLink("y.h5", "/x")
    with pytest.raises(FileError, match="is a link"), open_hdf5(path):
        pass
