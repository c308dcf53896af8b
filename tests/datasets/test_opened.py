import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.data import digest, stays_on_disk
from striate.datasets import opened
from striate.datasets.folder import Folder
from striate.errors import DataError, FileError

from .folder.test_dataset import images, values


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    axes=st.permutations(["stimulus", "target", "time", "repeat"]),
    drop=st.sets(st.sampled_from(["target", "time", "repeat"]), max_size=2),
    kind=st.sampled_from([".npy", ".h5", "chunked"]),
    dtype=st.sampled_from(["float32", ">f8"]),
    seed=st.integers(0, 99),
)
def test_what_stays_on_disk_is_the_same(tmp_path_factory, axes, drop, kind, dtype, seed):
    home, rng = tmp_path_factory.mktemp("f"), np.random.default_rng(seed)
    images(home / "images", 5)
    sizes = {"stimulus": 5, "target": 3, "time": 2, "repeat": 4}
    axes = tuple(a for a in axes if a not in drop)
    array = rng.normal(size=[sizes[a] for a in axes]).astype(dtype)
    if kind == ".npy":
        np.save(home / "responses.npy", array)
    else:
        with h5py.File(home / "responses.h5", "w") as file:
            chunks = tuple(min(2, n) for n in array.shape) if kind == "chunked" else None
            file.create_dataset("a/responses", data=array, chunks=chunks)
    want = Folder(home, axes=axes).responses()["subject"]
    before, opened.LARGE = opened.LARGE, 20
    try:
        lazy = Folder(home, axes=axes).responses()["subject"]
    finally:
        opened.LARGE = before
    assert stays_on_disk(lazy) and not stays_on_disk(want)
    assert lazy.dtype == want.dtype and digest(lazy) == digest(want)
    assert lazy.equals(want)
    rows, targets = rng.permutation(5)[:3], rng.integers(0, want.shape[1], 4)
    few = lazy.isel(row=rows, target=targets)
    assert stays_on_disk(few)
    np.testing.assert_array_equal(few.values, want.values[rows][:, targets])


def test_missing_is_told_when_it_is_read(tmp_path, monkeypatch):
    images(tmp_path / "images", 12)
    spoilt = values(12)
    spoilt[4, 1] = np.nan
    np.save(tmp_path / "responses.npy", spoilt)
    monkeypatch.setattr(opened, "LARGE", 20)
    block = Folder(tmp_path).responses()["subject"]
    np.testing.assert_array_equal(block[:4].values, spoilt[:4])
    with pytest.raises(DataError, match=r"for stimuli im5 and targets t1"):
        block[:6].values  # noqa: B018
    assert np.isnan(Folder(tmp_path, missing="keep").responses()["subject"].values).sum() == 1


def test_only_headers_are_read(tmp_path):
    images(tmp_path / "images", 12)
    array = np.lib.format.open_memmap(tmp_path / "responses.npy", "w+", "float32", (12, 3_000_000))
    array[3, 7] = 5.0
    array.flush()
    del array
    stored = opened.open_array(tmp_path / "responses.npy")
    assert stored.shape == (12, 3_000_000) and stored.attrs["on_disk"]
    assert stored[3, 7].values == 5.0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (12, 3_000_000), "float32", data=stored.values)
        file["words"] = "what"
    for variable in ("", "x"):
        there = opened.open_array(tmp_path / "a.h5", variable)
        assert stays_on_disk(there) and there[[3], [7]].values == there[3, 7].values == 5.0
    with pytest.raises(DataError, match="unknown variable 'y'"):
        opened.open_array(tmp_path / "a.h5", "y")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros((2, 2))
    with pytest.raises(FileError, match="has changed"):
        there[[3], [7]].values  # noqa: B018
    (tmp_path / "responses.npy").write_bytes((tmp_path / "responses.npy").read_bytes()[:-4])
    with pytest.raises(FileError, match=r"responses.npy is damaged"):
        opened.open_array(tmp_path / "responses.npy")
