"""Pickles of 2021 in the store's form, voxels found by their series, and clips by their numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.datasets.algonauts2021 import files
from striate.datasets.algonauts2021.files import located, series_of
from striate.datasets.algonauts2021.tree import numbered
from striate.errors import FileError
from striate.files import write_pickle
from striate.machine import Machine, using


def test_a_changed_pickle_and_a_damaged_store_are_read_anew(tmp_path):
    path = tmp_path / "V1.pkl"
    write_pickle(path, {"train": np.random.default_rng(0).standard_normal((9, 3, 4))})
    with using(Machine(store=tmp_path / "store", quiet=True)):
        first = files.opened(path)
        values = np.array(first.values)
        write_pickle(path, {"train": values * 2})
        second = files.opened(path)
        np.testing.assert_array_equal(second.values, values * 2)
        stored = list((tmp_path / "store").rglob("*.npy"))
        assert len(stored) >= 8
        for file in stored:
            file.write_bytes(file.read_bytes()[:-7])
        third = files.opened(path)
        np.testing.assert_array_equal(third.values, values * 2)
        np.testing.assert_array_equal(third.series, second.series)


@given(st.lists(st.integers(0, 6), max_size=12), st.lists(st.integers(0, 6), max_size=12))
def test_located_voxels_are_right_once_and_as_many_as_there_are(whole, part):
    """0 stands for a voxel that never varies, which is nowhere."""
    pool = np.random.default_rng(0).integers(1, 255, (7, 16), dtype=np.uint8)
    pool[0] = 0
    series, brain = pool[np.array(part, dtype=int)], pool[np.array(whole, dtype=int)]
    found = located(series, brain)
    assert found.shape == (len(part),)
    there = found >= 0
    np.testing.assert_array_equal(brain[found[there]], series[there])
    assert len(set(found[there].tolist())) == there.sum()
    for k in range(7):
        wanted = min(part.count(k), whole.count(k)) if k else 0
        places = found[there & (np.array(part, dtype=int) == k)]
        assert len(places) == wanted
        assert (np.diff(places) > 0).all()


@given(
    hnp.arrays(np.float32, (4, 2, 5), elements=st.floats(-9, 9, width=32, allow_subnormal=False)),
    st.permutations(range(5)),
)
def test_digests_of_series_follow_their_voxels(values, order):
    series = series_of(values)
    np.testing.assert_array_equal(series_of(values[:, :, order]), series[list(order)])
    np.testing.assert_array_equal(series_of(values.astype(np.float64)), series)
    lines = values.reshape(8, 5).T
    for a in range(5):
        assert series[a].any() == (lines[a] != lines[a][0]).any()
        for b in range(5):
            alike = lines[a].tobytes() == lines[b].tobytes()
            assert (series[a] == series[b]).all() >= alike
            if series[a].any() and not np.array_equal(lines[a], lines[b]):
                assert not (series[a] == series[b]).all()


def test_numbers_of_clips(tmp_path):
    for name in ("0002_b.mp4", "0001_a.mp4", "0003.mp4", ".0009.mp4", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [f.name for _, f in sorted(numbered(tmp_path).items())] == [
        "0001_a.mp4", "0002_b.mp4", "0003.mp4",
    ]  # fmt: skip
    (tmp_path / "0000_z.mp4").write_text("")
    assert numbered(tmp_path)[1].name == "0000_z.mp4"
    (tmp_path / "0002_c.mp4").write_text("")
    with pytest.raises(FileError, match="same number"):
        numbered(tmp_path)
    (tmp_path / "0002_c.mp4").rename(tmp_path / "clip.mp4")
    with pytest.raises(FileError, match="does not begin with the number"):
        numbered(tmp_path)
