"""Rows are found by digest in any order, and damage never goes unseen."""

import errno
import json
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import DataError, FileError
from striate.store import Entry, arrays, atomic
from striate.store.rows import RowsMissingError

from .toy import KEY, row_of

WIDTH = 5


def filled(folder: Path, sizes=(4, 4, 3), width: int = WIDTH) -> tuple[Entry, list[str]]:
    entry, digests = Entry(folder, KEY, {"network": "toy"}), []
    for size in sizes:
        batch = [f"d{len(digests) + k}" for k in range(size)]
        rows = np.stack([row_of(d, width) for d in batch])
        entry.append(batch, {"a": rows, "b": np.arange(size, dtype=np.uint8)})
        digests += batch
    return entry, digests


def rows_of(digests: list[str]) -> np.ndarray:
    return np.stack([row_of(d, WIDTH) for d in digests])


@pytest.fixture(scope="module")
def shared() -> tuple[Entry, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        yield filled(Path(folder), sizes=(1, 4, 4, 7, 3))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 18), min_size=1, max_size=40))
def test_rows_come_in_any_order_and_as_often_as_asked(shared, places):
    entry, digests = shared
    wanted = [digests[p] for p in places]
    np.testing.assert_array_equal(entry.read("a", wanted), rows_of(wanted))
    assert Entry(entry.store, KEY, {}).read("a", wanted).tobytes() == rows_of(wanted).tobytes()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 30), max_size=40))
def test_missing_are_those_not_stored_each_once_in_order(shared, places):
    entry, digests = shared
    wanted = [f"d{p}" for p in places]
    expected = list(dict.fromkeys(d for d in wanted if d not in digests))
    assert entry.missing(wanted) == expected


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(12)), st.lists(st.integers(1, 5), min_size=1, max_size=12), st.data())
def test_any_batches_in_any_order_give_the_same_rows(order, sizes, data):
    with tempfile.TemporaryDirectory() as folder:
        entry, left = Entry(Path(folder), KEY, {}), [f"d{p}" for p in order]
        for size in sizes:
            batch, left = left[:size], left[size:]
            if batch:
                entry.append(batch, {"a": rows_of(batch)})
        everything = [f"d{p}" for p in range(12)]
        assert sorted(entry.missing(everything)) == sorted(left)
        there = [d for d in everything if d not in left]
        wanted = data.draw(st.lists(st.sampled_from(there), min_size=1))
        np.testing.assert_array_equal(entry.read("a", wanted), rows_of(wanted))


def test_an_empty_entry_creates_nothing(tmp_path):
    entry = Entry(tmp_path, KEY, {})
    assert entry.missing(["x"]) == ["x"] and entry.spaces() == ()
    with pytest.raises(RowsMissingError, match="1 of 1 rows are not stored"):
        entry.read("a", ["x"])
    assert list(tmp_path.iterdir()) == []


def test_no_rows_of_a_known_space(tmp_path):
    filled(tmp_path)
    assert Entry(tmp_path, KEY, {}).read("a", []).shape == (0, WIDTH)


def test_entry_tells_a_human_what_it_is(tmp_path):
    entry, _ = filled(tmp_path)
    told = json.loads((entry.folder / "entry.json").read_text())
    assert told["identity"] == {"network": "toy"} and told["key"] == KEY
    assert entry.folder == tmp_path / "features" / "ab" / KEY
    assert entry.spaces() == ("a", "b")


def test_rows_stored_twice_are_harmless(tmp_path):
    entry, digests = filled(tmp_path)
    entry.append(digests[2:6], {"a": rows_of(digests[2:6]), "b": np.zeros(4, dtype=np.uint8)})
    for e in (entry, Entry(tmp_path, KEY, {})):
        np.testing.assert_array_equal(e.read("a", digests), rows_of(digests))


def test_the_first_of_two_equal_batches_stays(tmp_path):
    one, two = Entry(tmp_path, KEY, {}), Entry(tmp_path, KEY, {})
    one.append(["x"], {"a": np.zeros((1, 2))})
    two.append(["x"], {"a": np.ones((1, 2))})
    assert one.read("a", ["x"]).sum() == two.read("a", ["x"]).sum() == 0


def test_a_block_that_loses_one_copy_is_found_in_the_other(tmp_path):
    entry, digests = filled(tmp_path)
    entry.append(digests[:3], {"a": rows_of(digests[:3]), "b": np.zeros(3, dtype=np.uint8)})
    first = atomic.digest_of(*digests[:4])
    (entry.folder / "blocks" / first / "0-a.npy").unlink()
    again = Entry(tmp_path, KEY, {})
    assert again.missing(digests, ["a"]) == [digests[3]]
    np.testing.assert_array_equal(again.read("a", digests[:3]), rows_of(digests[:3]))


@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "longer", "manifest cut", "folder gone"])
def test_harmed_blocks_are_removed_and_missing(tmp_path, harm):
    entry, digests = filled(tmp_path)
    block = entry.folder / "blocks" / atomic.digest_of(*digests[4:8])
    file = block / ("manifest.json" if "manifest" in harm else "0-a.npy")
    data = file.read_bytes()
    if harm == "gone":
        file.unlink()
    elif harm == "folder gone":
        atomic.remove(block)
    else:
        file.write_bytes({"empty": b"", "longer": data + b"\0"}.get(harm, data[:-3]))
    again = Entry(tmp_path, KEY, {})
    assert again.missing(digests) == digests[4:8]
    assert not block.exists()
    with pytest.raises(RowsMissingError, match="4 of 11"):
        again.read("a", digests)


def test_a_block_removed_by_another_process_is_missed_in_time(tmp_path):
    entry, digests = filled(tmp_path)
    entry.read("a", digests)
    atomic.remove(entry.folder / "blocks" / atomic.digest_of(*digests[4:8]))
    with pytest.raises(RowsMissingError):
        entry.read("a", digests)
    np.testing.assert_array_equal(entry.read("a", digests[:4]), rows_of(digests[:4]))


def test_a_file_cut_while_it_is_in_use_is_an_error(tmp_path):
    entry, digests = filled(tmp_path)
    entry.read("a", digests)
    file = entry.folder / "blocks" / atomic.digest_of(*digests[:4]) / "0-a.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"0-a.npy ends too early"):
        entry.read("a", digests)
    np.testing.assert_array_equal(entry.read("a", digests[4:]), rows_of(digests[4:]))


def test_rows_that_follow_one_another_are_one_read(tmp_path):
    file, rows = tmp_path / "a.npy", np.arange(24, dtype=np.int16).reshape(8, 3)
    arrays.write_array(file, rows)
    start, out = file.stat().st_size - rows.nbytes, np.full((6, 3), -1, np.int16)
    arrays.read_rows(file, start, [2, 3, 4, 0, 7], out, [1, 2, 3, 5, 0])
    np.testing.assert_array_equal(out, [rows[7], *rows[2:5], [-1, -1, -1], rows[0]])
    with pytest.raises(FileError, match="cannot be read"):
        arrays.read_rows(tmp_path / "b.npy", start, [0], out, [0])


def test_a_system_that_refuses_to_read_is_no_damage(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    _, digests = filled(tmp_path)
    for name in ("striate.store.atomic.checksum", "pathlib.Path.read_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(name, refuse)
            with pytest.raises(FileError, match="Too many open files"):
                Entry(tmp_path, KEY, {}).missing(digests)
    assert Entry(tmp_path, KEY, {}).missing(digests) == []


def test_rows_appended_by_another_process_are_seen(tmp_path):
    entry, _ = filled(tmp_path)
    more = rows_of(["d90", "d91"])
    Entry(tmp_path, KEY, {}).append(["d90", "d91"], {"a": more, "b": np.zeros(2, np.uint8)})
    np.testing.assert_array_equal(entry.read("a", ["d91"]), more[1:])


def test_pickled_objects_are_refused_even_with_a_sound_manifest(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "boom",)

    entry, digests = filled(tmp_path)
    block = entry.folder / "blocks" / atomic.digest_of(*digests[:4])

    def fill(folder: Path) -> None:
        with (folder / "0-a.npy").open("wb") as file:
            np.save(file, np.array([Bomb()] * 4, dtype=object), allow_pickle=True)
        (folder / "1-b.npy").write_bytes((block / "1-b.npy").read_bytes())

    about = atomic.check_folder(block)
    atomic.write_folder(block, fill, about, replace=True)
    with pytest.raises(FileError, match=r"0-a.npy"):
        Entry(tmp_path, KEY, {}).read("a", digests)
    (block / "1-b.npy").write_bytes(pickle.dumps([Bomb()]))
    assert Entry(tmp_path, KEY, {}).missing(digests) == digests[:4]
    assert not (tmp_path / "boom").exists()


def test_an_older_entry_of_other_shapes_is_an_error(tmp_path):
    entry, _ = filled(tmp_path)
    with pytest.raises(DataError, match=r"another shape .*'a' 5 float32 there, 'a' 6 float32 here"):
        entry.append(["n"], {"a": np.zeros((1, 6), np.float32), "b": np.zeros(1, np.uint8)})
    with pytest.raises(DataError, match=r"'b' uint8|'b' single uint8 there, 'b' none here"):
        entry.append(["n"], {"a": np.zeros((1, 5), np.float32)})
    other = Entry(tmp_path, "cd" + KEY, {})
    other.append(["n"], {"a": np.zeros((1, 6), np.float32), "b": np.zeros(1, np.uint8)})
    block = next((other.folder / "blocks").iterdir())
    block.rename(entry.folder / "blocks" / block.name)
    with pytest.raises(DataError, match="older version"):
        Entry(tmp_path, KEY, {}).read("a", ["n"])


@pytest.mark.parametrize(
    ("digests", "array", "message"),
    [
        ([], np.zeros((0, 2)), "each of its rows once"),
        (["x", "x"], np.zeros((2, 2)), "each of its rows once"),
        (["x", ""], np.zeros((2, 2)), "each of its rows once"),
        (["x"], np.zeros((2, 2)), "has 1 stimuli"),
        (["x"], np.array(["text"]), "must be numbers"),
        (["x"], np.array([None]), "must be numbers"),
    ],
)
def test_bad_batches_leave_nothing(tmp_path, digests, array, message):
    with pytest.raises(DataError, match=message):
        Entry(tmp_path, KEY, {}).append(digests, {"a": array})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_space_names_the_known(tmp_path):
    entry, digests = filled(tmp_path)
    with pytest.raises(DataError, match=r"unknown feature space 'c'.*Valid: a, b"):
        entry.read("c", digests)


def test_keys_that_lead_elsewhere_are_refused(tmp_path):
    with pytest.raises(FileError, match="no key"):
        Entry(tmp_path, "../../etc", {})


def test_an_entry_travels_to_another_process(tmp_path):
    entry, digests = filled(tmp_path)
    again = pickle.loads(pickle.dumps(entry))
    np.testing.assert_array_equal(again.read("a", digests), rows_of(digests))


def test_rows_without_columns_and_single_numbers(tmp_path):
    entry = Entry(tmp_path, KEY, {})
    entry.append(["x", "y"], {"none": np.zeros((2, 0)), "one": np.array([1.0, 2.0])})
    assert entry.read("none", ["y", "x", "y"]).shape == (3, 0)
    np.testing.assert_array_equal(entry.read("one", ["y", "x", "y"]), [2, 1, 2])


def test_memory_layout_of_a_batch_does_not_matter(tmp_path):
    rows = np.arange(6.0).reshape(2, 3)
    for key, array in {
        "aa": rows,
        "bb": np.asfortranarray(rows),
        "cc": rows.repeat(2, 1)[:, ::2],
    }.items():
        Entry(tmp_path, key, {}).append(["x", "y"], {"a": array})
    files = [p.read_bytes() for p in sorted(tmp_path.rglob("*.npy"))]
    assert len(files) == 3 and len(set(files)) == 1
