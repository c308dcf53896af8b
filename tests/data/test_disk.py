import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import (
    OnDisk,
    Opened,
    digest,
    has_truth,
    in_pieces,
    label_responses,
    stays_on_disk,
)
from striate.errors import DataError


class Counted:
    """An array on disk that remembers what was read of it."""

    def __init__(self, values):
        self.values, self.read_values = values, 0

    def on_disk(self):
        def read(rows, targets):
            self.read_values += len(rows) * len(targets)
            return self.values[np.ix_(rows, targets)]

        return OnDisk(self.values.shape, self.values.dtype, read)


def block_of(stored):
    rows, targets = stored.shape[:2]
    return label_responses(
        stored, [f"s{i}" for i in range(rows)], [f"t{i}" for i in range(targets)]
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_read_is_what_numpy_would_give(data):
    rows, left, right = (data.draw(st.integers(1, 6)) for _ in range(3))
    hidden, repeats = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 2))
    shape = (repeats,) if repeats else ()
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((rows, n, *shape)).astype("f4") for n in (left, right))
    block = block_of(OnDisk.beside([OnDisk.of(a), OnDisk.of(b)]).below(hidden))
    whole = np.concatenate(
        [np.concatenate([a, b], axis=1)]
        + [np.full((1, left + right, *shape), np.nan, "f4")] * hidden
    )
    np.testing.assert_array_equal(block.values, whole)
    r = data.draw(st.lists(st.integers(0, rows + hidden - 1), max_size=8))
    t = data.draw(st.lists(st.integers(0, left + right - 1), max_size=8))
    part = block.isel(row=np.array(r, dtype=int)).isel(target=np.array(t, dtype=int))
    assert stays_on_disk(part)
    np.testing.assert_array_equal(part.values, whole[r][:, t])
    one = data.draw(st.integers(0, rows + hidden - 1))
    np.testing.assert_array_equal(block[one].values, whole[one])
    np.testing.assert_array_equal(block[:, -1].values, whole[:, -1])
    if repeats:
        np.testing.assert_array_equal(block[..., repeats - 1].values, whole[..., repeats - 1])
    np.testing.assert_array_equal(has_truth(block), np.arange(rows + hidden) < rows)
    assert digest(block) == digest(block_of(whole))


def test_nothing_is_read_before_values_are_asked_for():
    counted = Counted(np.zeros((100, 50), dtype="f4"))
    block = block_of(counted.on_disk())
    part = block.assign_coords(unit=("row", np.arange(100))).isel(row=[3, 5], target=slice(10, 20))
    assert counted.read_values == 0
    assert part.values.shape == (2, 10)
    assert counted.read_values == 20


def test_hidden_rows_are_found_without_reading_everything():
    counted = Counted(np.zeros((100, 500), dtype="f4"))
    assert has_truth(block_of(counted.on_disk().below(1))).sum() == 100
    assert counted.read_values < 100 * 500 / 4


def test_a_row_measured_in_late_targets_alone_has_truth():
    values = np.full((3, 200), np.nan, dtype="f4")
    values[1, 150] = 1
    assert has_truth(block_of(OnDisk.of(values))).tolist() == [False, True, False]
    assert has_truth(block_of(values)).tolist() == [False, True, False]


def test_infinite_values_are_refused_when_they_are_read():
    values = np.zeros((2, 2), dtype="f4")
    values[1, 1] = np.inf
    block = block_of(OnDisk.of(values))
    assert block[:1].values.shape == (1, 2)
    with pytest.raises(DataError, match="infinite"):
        _ = block.values


def test_a_mapped_file_is_read_as_it_is(tmp_path):
    values = np.random.default_rng(0).standard_normal((40, 30)).astype(">f8")
    np.save(tmp_path / "x.npy", values)
    block = block_of(OnDisk.of(np.load(tmp_path / "x.npy", mmap_mode="r")))
    assert block.dtype == np.dtype("float64")
    np.testing.assert_array_equal(block[5:9, [2, 28]].values, values[5:9][:, [2, 28]])


def test_small_numbers_become_single_precision():
    stored = OnDisk.of(np.arange(4, dtype="int16").reshape(2, 2))
    assert block_of(stored).values.dtype == np.float32
    assert OnDisk.of(np.zeros((1, 1), dtype="f2")).dtype == np.float32


def test_pieces_are_all_of_it(monkeypatch):
    monkeypatch.setattr("striate.data.disk.PIECE", 100)
    values = np.random.default_rng(0).standard_normal((17, 5))
    found = list(in_pieces(block_of(OnDisk.of(values))))
    assert len(found) > 3
    np.testing.assert_array_equal(np.concatenate([p.values for p in found]), values)


def test_arrays_of_other_rows_do_not_stand_beside_each_other():
    with pytest.raises(DataError, match="share their rows"):
        OnDisk.beside([OnDisk.of(np.zeros((2, 1))), OnDisk.of(np.zeros((3, 1)))])


def test_a_mapping_opens_what_is_asked_for_once():
    opened = []

    def opening(name):
        opened.append(name)
        return name.upper()

    found = Opened(["a", "b"], opening)
    assert (list(found), len(found), opened) == (["a", "b"], 2, [])
    assert (found["b"], found["b"], opened) == ("B", "B", ["b"])
    with pytest.raises(KeyError):
        _ = found["c"]


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path):
    values = np.zeros((4, 3), dtype="f4")
    np.save(tmp_path / "x.npy", values)
    mapped = OnDisk.of(np.load(tmp_path / "x.npy", mmap_mode="r"))
    block = block_of(OnDisk.beside([mapped, mapped]).below(1))
    assert mapped.files == (str(tmp_path / "x.npy"),)
    part = block.isel(row=[0, 1])
    assert not part.values.any()
    np.save(tmp_path / "x.npy", values + 1)
    with pytest.raises(DataError, match=r"x\.npy has changed while it was in use"):
        _ = part.values
    (tmp_path / "x.npy").unlink()
    with pytest.raises(DataError, match=r"x\.npy has changed"):
        _ = block.values
