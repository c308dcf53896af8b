"""Folders appear at once, errors name the next step, and leftovers of the dead are swept."""

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from striate.errors import FileError
from striate.store import arrays, atomic, open_store, temporary


def test_open_store_creates_the_folder(tmp_path):
    folder = open_store(tmp_path / "a" / "b")
    assert folder.is_dir() and list(folder.iterdir()) == []
    assert open_store(folder) == folder


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"name another one as `store`.*STRIATE_STORE"):
        open_store(tmp_path / "file")
    with pytest.raises(FileError, match="cannot write"):
        open_store(tmp_path / "file" / "below")


def test_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(folder):
        (folder / "half").write_bytes(b"x")
        full()

    with pytest.raises(FileError, match=r"disk of .* is full: free some space"):
        atomic.write_folder(tmp_path / "new", fill)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(FileError, match="is full"):
        open_store(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_first_folder_stays_unless_replaced(tmp_path):
    def write(text, **options):
        return atomic.write_folder(
            tmp_path / "f", lambda f: (f / "t").write_text(text) and None, {"n": 1}, **options
        )

    assert write("one") and not write("two")
    assert (tmp_path / "f" / "t").read_text() == "one"
    assert write("two", replace=True)
    assert (tmp_path / "f" / "t").read_text() == "two"
    assert atomic.check_folder(tmp_path / "f") == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "final.doc").write_text("years")
    with pytest.raises(FileError, match="did not write"):
        atomic.write_folder(tmp_path / "thesis", lambda _: None, replace=True)
    assert (tmp_path / "thesis" / "final.doc").exists()


def test_every_flipped_bit_of_a_manifest_is_found(tmp_path):
    atomic.write_folder(tmp_path / "f", lambda f: (f / "t").write_text("x") and None, {"a": [1]})
    path = tmp_path / "f" / "manifest.json"
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 3):
        harmed = bytearray(data)
        harmed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(harmed)
        with pytest.raises(FileError, match="damaged"):
            atomic.read_manifest(tmp_path / "f")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "..", "a//b", "c:\\x", ""])
def test_manifests_cannot_lead_elsewhere(tmp_path, name):
    (tmp_path / "f").mkdir()
    body = {"format": 1, "files": {name: [0, 0]}, "about": {}}
    (tmp_path / "f" / "manifest.json").write_bytes(atomic._seal(body))
    with pytest.raises(FileError, match="damaged"):
        atomic.check_folder(tmp_path / "f")


def test_leftovers_of_dead_processes_are_swept_and_those_of_the_living_stay(tmp_path):
    code = (
        "import sys, time, pathlib\nfrom striate.store import temporary\n"
        "with temporary.temporary(pathlib.Path(sys.argv[1])) as t:\n"
        "    t.mkdir(); (t / 'f').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    with temporary.temporary(tmp_path) as mine:
        mine.write_text("x")
        temporary.sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        child.kill()
        child.communicate()
        temporary.sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_other_computers_are_swept_when_old(tmp_path):
    other = tmp_path / ".tmp-1-abc-elsewhere"
    other.mkdir()
    (tmp_path / "kept").write_text("x")
    temporary.sweep(tmp_path)
    assert other.exists()
    past = time.time() - 2 * temporary.OLD
    os.utime(other, (past, past))
    temporary.sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    temporary.sweep(tmp_path / "nowhere")


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_layout(tmp_path, order):
    array = np.asarray(np.arange(6.0).reshape(2, 3), order=order)
    arrays.write_array(tmp_path / "a.npy", array)
    for again in (arrays.read_array(tmp_path / "a.npy"), np.load(tmp_path / "a.npy", "r")):
        np.testing.assert_array_equal(again, array)
        assert again.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04N.", b"\x93NUMPY\x01\x00\xff\xff{"])
def test_files_that_are_no_arrays_are_refused(tmp_path, data):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(FileError, match=r"a.npy cannot be read"):
        arrays.read_array(tmp_path / "a.npy")


def test_an_array_that_claims_to_be_huge_is_refused(tmp_path):
    arrays.write_array(tmp_path / "a.npy", np.zeros(10))
    data = (tmp_path / "a.npy").read_bytes().replace(b"(10,)", b"(9" + b"9" * 14 + b",)")
    (tmp_path / "a.npy").write_bytes(data.replace(b" " * 14, b"", 1))
    with pytest.raises(FileError):
        arrays.read_array(tmp_path / "a.npy")
