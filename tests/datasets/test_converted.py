import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.datasets.converted import Converted, converted
from striate.errors import FileError
from striate.machine import Machine, using
from striate.store.atomic import MANIFEST


@pytest.fixture
def store(tmp_path):
    with using(Machine(store=tmp_path / "store", quiet=True)):
        yield tmp_path / "store"


class Reading:
    """Reads numbers out of a file, and counts how often."""

    def __init__(self, path):
        self.path, self.times = path, 0

    def __call__(self):
        self.times += 1
        numbers = np.frombuffer(self.path.read_bytes(), dtype=np.uint8).astype(np.float32)
        return {"once": numbers, "twice": np.stack([numbers, 2 * numbers])}


def test_a_file_is_read_once_and_then_mapped(store, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\1\2\3")
    reading = Reading(path)
    for _ in range(3):
        found = converted(path, reading)
        assert isinstance(found["twice"], np.memmap)
        np.testing.assert_array_equal(found["twice"], [[1, 2, 3], [2, 4, 6]])
        assert found.shapes == {"once": (3,), "twice": (2, 3)}
        assert sorted(found) == ["once", "twice"] and len(found) == 2
    assert reading.times == 1
    with pytest.raises((ValueError, OSError)):
        converted(path, reading)["once"][0] = 9


def test_it_goes_by_content_and_form_not_by_name(store, tmp_path):
    path, copy = tmp_path / "a.bin", tmp_path / "b.bin"
    path.write_bytes(b"\1\2\3")
    copy.write_bytes(b"\1\2\3")
    reading, other = Reading(path), Reading(copy)
    converted(path, reading)
    np.testing.assert_array_equal(converted(copy, other)["once"], [1, 2, 3])
    assert (reading.times, other.times) == (1, 0)
    converted(copy, other, "another form")
    assert other.times == 1
    path.write_bytes(b"\1\2\4")
    np.testing.assert_array_equal(converted(path, reading)["once"], [1, 2, 4])
    assert reading.times == 2


def test_a_file_changed_within_its_size_is_seen(store, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\1\2\3")
    os.utime(path, ns=(1, 1))
    reading = Reading(path)
    converted(path, reading)
    path.write_bytes(b"\7\2\3")
    os.utime(path, ns=(2, 2))
    np.testing.assert_array_equal(converted(path, reading)["once"], [7, 2, 3])


def test_a_damaged_conversion_is_made_again(store, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\1\2\3")
    reading = Reading(path)
    converted(path, reading)["once"]
    (array,) = store.glob("converted/??/*/0.npy")
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(bytes(content))
    np.testing.assert_array_equal(converted(path, reading)["once"], [1, 2, 3])
    assert reading.times == 2
    (manifest,) = store.glob(f"converted/??/*/{MANIFEST}")
    for seen in (store / "converted" / "seen").iterdir():
        seen.write_bytes(b"../../nonsense\xff")
    np.testing.assert_array_equal(converted(path, reading)["once"], [1, 2, 3])
    assert reading.times == 2 and manifest.is_file()


def test_what_cannot_be_read_leaves_nothing_behind(store, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\1")

    def refuse():
        raise FileError(f"{path} is no good")

    with pytest.raises(FileError, match="no good"):
        converted(path, refuse)
    assert not list(store.glob("converted/??/*"))
    with pytest.raises(FileError, match=r"missing\.bin"):
        converted(tmp_path / "missing.bin", refuse)


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        hnp.arrays(
            st.sampled_from([np.float32, np.float64, np.int32]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=3,
    )
)
def test_any_arrays_come_back_as_they_were(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "a"
    path.write_bytes(b"")
    with using(Machine(store=folder / "store", quiet=True)):
        found = converted(path, lambda: arrays)
        assert isinstance(found, Converted) and set(found) == set(arrays)
        for name, values in arrays.items():
            assert found[name].dtype == values.dtype and found.shapes[name] == values.shape
            np.testing.assert_array_equal(found[name], values)
