import errno
import os
import signal
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.store.interrupted import end, start

from striate.datasets import converted as module
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


def test_two_processes_may_open_a_file_at_the_same_time(store, tmp_path):
    for turn in range(8):
        path = tmp_path / f"{turn}.bin"
        path.write_bytes(bytes([turn, 2, 3]))

        def work(path=path, turn=turn):
            reading = Reading(path)

            def read():
                (tmp_path / f"{turn}-{os.getpid()}.here").touch()
                until = time.monotonic() + 20
                while len(list(tmp_path.glob(f"{turn}-*.here"))) < 2:
                    assert time.monotonic() < until
                return reading()

            for again in range(20):
                found = converted(path, read if not again else reading)
                np.testing.assert_array_equal(found["twice"], [[turn, 2, 3], [2 * turn, 4, 6]])
            assert reading.times == 1

        assert [end(one) for one in (start(work), start(work))] == [0, 0]
        assert len(list(store.glob("converted/??/*"))) == turn + 1
    assert not list(store.rglob(".tmp-*"))


def test_a_store_that_can_only_be_read(store, tmp_path):
    path, copy, other = (tmp_path / f"{n}.bin" for n in ("a", "copy", "other"))
    path.write_bytes(b"\1\2\3")
    copy.write_bytes(b"\1\2\3")
    other.write_bytes(b"\1\2\4")
    reading = Reading(path)
    converted(path, reading)
    before = sorted(store.rglob("*"))

    def refuse(event, about):
        """As a disk that is mounted for reading only does; permissions do not bind everybody."""
        written = event == "open" and about[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        changed = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime")
        if (written or changed) and str(about[0]).startswith(str(store)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(about[0]))

    def work():
        sys.addaudithook(refuse)
        for one in (path, copy):
            np.testing.assert_array_equal(converted(one, reading)["once"], [1, 2, 3])
        assert reading.times == 1
        with pytest.raises(FileError, match=r"cannot write to .*store.*Read-only"):
            converted(other, Reading(other))

    assert end(start(work)) == 0
    assert sorted(store.rglob("*")) == before


@pytest.mark.parametrize("last", [0, 1, 2])
def test_a_killed_conversion_leaves_nothing_half_done(store, tmp_path, last):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\1\2\3")
    write, written = module.write_array, []

    def killed(place, values):
        if len(written) == last:
            place.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(place)
        write(place, values)

    def work():
        module.write_array = killed
        converted(path, Reading(path))
        os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing was opened

    assert end(start(work)) == -signal.SIGKILL
    assert len(list(store.rglob(".tmp-*"))) == (last < 2)
    reading = Reading(path)
    for _ in range(2):
        found = converted(path, reading)
        np.testing.assert_array_equal(found["twice"], [[1, 2, 3], [2, 4, 6]])
    assert reading.times == (last < 2)
    assert not list(store.rglob(".tmp-*")) and len(list(store.glob("converted/??/*"))) == 1


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
