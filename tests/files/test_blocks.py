import gzip

import numpy as np
import pytest

from striate.errors import FileError
from striate.files.blocks import ASIDE, Block, floating


@pytest.mark.parametrize("name", ["a.bin", "a.gz"])
def test_what_is_asked_for_is_read(tmp_path, name):
    values = np.arange(24, dtype=">i2").reshape(4, 6)
    content = b"head" + values.tobytes() + b"behind"
    (tmp_path / name).write_bytes(gzip.compress(content) if name == "a.gz" else content)
    read = Block(tmp_path / name, 4, 6, values.dtype, 4, aside=6).reading()
    found = read(np.array([3, 0, 3]), np.array([5, 1]))
    assert found.dtype == np.float32 and found.tolist() == [[23, 19], [5, 1], [23, 19]]
    scaled = Block(tmp_path / name, 4, 6, values.dtype, 4, 0.5, 1.0, 6).reading()
    assert scaled(np.array([1]), np.array([0])).tolist() == [[4.0]]
    with pytest.raises(FileError, match=r"should hold|goes on"):
        read = Block(tmp_path / name, 4, 6, values.dtype, 4, aside=5).reading()
        read(np.array([3]), np.array([1]))
    with pytest.raises(FileError, match=r"cut short"):
        Block(tmp_path / name, 4000, 6000, values.dtype, 4)
    if name == "a.bin":
        across = Block(tmp_path / name, 6, 4, values.dtype, 4, aside=6, across=True).reading()
        assert across(np.array([5, 1]), np.array([3])).tolist() == [[23], [19]]


def test_a_compressed_file_is_read_to_its_end(tmp_path):
    values = np.ones((2, 50), dtype="float32")
    path = tmp_path / "a.gz"
    for behind, told in ((b"", ""), (bytes(ASIDE + 9), "goes on behind")):
        path.write_bytes(gzip.compress(values.tobytes() + behind))
        read = Block(path, 2, 50, values.dtype, 0, aside=ASIDE).reading()
        if told:
            with pytest.raises(FileError, match=told):
                read(np.array([0]), np.array([0]))
        else:
            assert read(np.array([0]), np.array([0])) == 1
    path.write_bytes(gzip.compress(values.tobytes())[:-2])  # a part of the checksum is lost
    with pytest.raises(FileError, match="damaged"):
        Block(path, 2, 50, values.dtype, 0).reading()(np.array([0]), np.array([0]))


def test_digits_are_kept():
    assert [floating(np.dtype(d)) for d in ("f2", "f4", "u1", "i2")] == [np.float32] * 4
    assert [floating(np.dtype(d)) for d in ("f8", "i4", "u8")] == [np.float64] * 3


def test_what_unpacks_without_measure_is_refused_by_what_it_claims(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(bytes(1 << 20))
    with pytest.raises(FileError, match="claims to unpack from 1048576 to 4000000000 bytes"):
        Block(path, 1, 10**9, np.dtype("u1"), 352)
    Block(path, 1, 60_000_000, np.dtype("u1"), 352)


@pytest.mark.parametrize("name", ["x.bin", "x.gz"])
@pytest.mark.parametrize("across", [False, True])
def test_all_cells_need_no_list_of_them(tmp_path, name, across):
    values = np.arange(12, dtype="i2").reshape(3, 4)
    content = bytes(10) + (values.T if across and name == "x.bin" else values).tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name == "x.gz" else content)
    block = Block(
        tmp_path / name, 3, 4, np.dtype("i2"), 10, 2.0, 1.0, across=across and name == "x.bin"
    )
    rows = np.array([2, 0])
    np.testing.assert_array_equal(block.reading()(rows, None), 2 * values[rows] + 1)
