import gzip
import tracemalloc

import h5py
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import zscore

from striate.datasets.nsd.betas import Sessions, header_of, moments, session_files
from striate.errors import DataError, FileError, StriateError

GRID, TRIALS = (5, 4, 3), 7


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_STORE", str(tmp_path / "store"))


def counts(seed=0):
    return np.random.default_rng(seed).integers(-900, 900, (TRIALS, *GRID)).astype(np.int16)


def save(file, values):
    """Counts of trials over i, j, k in the container that the name says."""
    name = file.name
    if name.endswith(".hdf5"):
        with h5py.File(file, "w") as opened:
            opened["betas"] = values.transpose(0, 3, 2, 1)
    elif name.endswith(".mgh"):
        shaped = np.float32(values).reshape(len(values), -1).T[:, None, None]
        content = nibabel.freesurfer.MGHImage(shaped, np.eye(4)).to_bytes()
        file.write_bytes(content)
    else:
        image = nibabel.Nifti1Image(np.moveaxis(values, 0, -1), np.eye(4))
        file.write_bytes(gzip.compress(image.to_bytes()))
    return file


KINDS = ("betas_session{:02d}.hdf5", "betas_session{:02d}.nii.gz", "lh.betas_session{:02d}.mgh")


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    zscored=st.booleans(),
    trials=st.lists(st.integers(0, 3 * TRIALS - 1), max_size=9),
    targets=st.lists(st.integers(0, 10), max_size=9),
    seed=st.integers(0, 9),
)
def test_any_trials_of_any_targets(tmp_path_factory, kind, zscored, trials, targets, seed):
    folder = tmp_path_factory.mktemp("betas")
    for k in (1, 2, 3):
        save(folder / kind.format(k), counts(seed + k))
    side = "lh" if "lh" in kind else ""
    files = session_files(folder, side)
    assert list(files) == [1, 2, 3]
    header = header_of(files[2])
    assert header == (TRIALS, (60,) if side else GRID)
    flat = np.random.default_rng(seed).choice(60, 11, replace=False)
    ours = Sessions(files, flat, *header, zscore=zscored)
    found = ours.read(np.array(trials, dtype=int), np.array(targets, dtype=int))
    whole = [counts(seed + k).reshape(TRIALS, 60)[:, flat].astype(float) for k in (1, 2, 3)]
    one = zscore if zscored else (lambda v: v / (1 if side else 300))
    want = np.concatenate([one(v) for v in whole])[np.ix_(trials, targets)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, atol=2e-6 * max(1, np.abs(want).max(initial=0)))


def test_what_never_changes_is_zero_and_what_is_missing_stays_missing(tmp_path):
    values = counts().astype(np.float32)
    values[:, 0, 0, 0] = 4
    values[2, 0, 0, 1] = np.nan
    values[:, 0, 0, 2] = np.nan
    save(tmp_path / "lh.betas_session01.mgh", values)
    ours = Sessions(session_files(tmp_path, "lh"), np.arange(4), TRIALS, (60,), zscore=True)
    found = ours.read(np.arange(TRIALS), np.arange(4))
    assert (found[:, 0] == 0).all() and np.isnan(found[:, 2]).all()
    rest = np.delete(values[:, 0, 0, 1], 2).astype(float)
    np.testing.assert_allclose(np.delete(found[:, 1], 2), zscore(rest), atol=1e-6)
    assert np.isnan(found[2, 1]) and not np.isnan(found[:, 3]).any()
    mean, spread = moments(values.reshape(TRIALS, -1)[:, :4])
    np.testing.assert_allclose([mean[1], spread[1]], [rest.mean(), rest.std()], rtol=1e-6)


def test_the_file_that_is_read_fastest_is_taken(tmp_path):
    for name in ("betas_session01.nii.gz", "betas_session01.hdf5", "betas_session11.nii.gz",
                 "betas_session00.hdf5", "betas_sessionXX.hdf5", "lh.betas_session01.mgh",
                 "betas_session02.hdf5.part", "meanbeta_session03.nii.gz"):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
    found = {k: f.name for k, f in session_files(tmp_path).items()}
    assert found == {1: "betas_session01.hdf5", 11: "betas_session11.nii.gz"}
    assert list(session_files(tmp_path, "lh")) == [1] and session_files(tmp_path / "none") == {}


def test_sessions_that_differ_are_told(tmp_path):
    for k, values in ((1, counts()), (2, counts()[:-1]), (3, counts()[:, :-1])):
        save(tmp_path / f"betas_session{k:02d}.hdf5", values)
    ours = Sessions(session_files(tmp_path), np.arange(9), TRIALS, GRID, zscore=True)
    assert ours.read(np.array([0]), np.array([1])).shape == (1, 1)
    for k, told in ((2, r"02\.hdf5 holds 6 trials"), (3, r"03\.hdf5 holds .*\(4, 4, 3\)")):
        with pytest.raises(DataError, match=told):
            ours.read(np.array([(k - 1) * TRIALS]), np.array([1]))
    with pytest.raises(FileError, match="no file of session 4"):
        ours.read(np.array([3 * TRIALS]), np.array([1]))


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda f: f.create_dataset("beta", data=counts()), "no array `betas`; it has beta"),
        (lambda f: f.create_dataset("betas", data=counts()[0]), "int16 of shape"),
        (lambda f: f.create_dataset("betas", data=counts() / 300), "float64 of shape"),
        (lambda f: f.__setitem__("betas", h5py.ExternalLink("o.hdf5", "betas")), "not followed"),
        (lambda f: f.create_dataset("betas", 7, np.int16, external=[("o", 0, 14)]), "followed"),
    ],
)
def test_files_that_hold_something_else(tmp_path, make, told):
    with h5py.File(tmp_path / "betas_session01.hdf5", "w") as file:
        make(file)
    with pytest.raises(StriateError, match=told):
        header_of(tmp_path / "betas_session01.hdf5")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_only_chunks_that_hold_a_target_are_needed(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("betas") / "betas_session01.hdf5"
    shape = (TRIALS, *GRID[::-1])
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    places = np.array(data.draw(st.lists(st.integers(0, 59), min_size=1, max_size=12)))
    with h5py.File(file, "w") as opened:
        betas = opened.create_dataset("betas", shape, np.int16, chunks=chunks)
        for i, j, k in zip(*np.unravel_index(places, GRID), strict=True):
            betas[:, k, j, i] = counts()[:, i, j, k]
    ours = Sessions({1: file}, places, TRIALS, GRID, zscore=False)
    np.testing.assert_array_equal(ours.gathered(1), counts().reshape(TRIALS, 60)[:, places])


def test_what_was_never_written_is_no_zero(tmp_path):
    file = tmp_path / "betas_session01.hdf5"
    for options in ({}, {"chunks": (TRIALS, 1, 1, 1)}, {"chunks": (1, 1, 1, 1), "fillvalue": 3}):
        with h5py.File(file, "w") as opened:
            betas = opened.create_dataset("betas", (TRIALS, *GRID[::-1]), np.int16, **options)
            if options:
                betas[:, 0, 0, 0] = 7
        if options:
            ours = Sessions({1: file}, np.array([0]), TRIALS, GRID, zscore=False)
            assert (ours.gathered(1) == 7).all()
        ours = Sessions({1: file}, np.array([0, 1]), TRIALS, GRID, zscore=False)
        with pytest.raises(FileError, match=r"/betas of .*session01\.hdf5: .* never written"):
            ours.gathered(1)


def mutated(tmp_path, kind, rounds):
    """Cut and changed files: an error of ours, or values that are right but where they changed."""
    file = save(tmp_path / kind.format(1), counts())
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    side = "lh" if "lh" in kind else ""
    grid = (60,) if side else GRID
    want = counts().reshape(TRIALS, 60)
    refused = 0
    tracemalloc.start()
    for turn in range(rounds):
        content = bytearray(whole)
        if turn % 3 == 0:
            content = content[: rng.integers(0, len(content))]
        else:
            # Headers decide most.
            end = len(content) if turn % 3 == 1 else min(len(content), 2048)
            content[rng.integers(0, end)] ^= 1 << rng.integers(0, 8)
        file.unlink()
        file.write_bytes(bytes(content))
        try:
            found = header_of(file)
            places = np.arange(min(60, int(np.prod(found[1]))))
            values = Sessions({1: file}, places, *found, zscore=False).gathered(1)
        except StriateError:
            refused += 1
            continue
        if found == (TRIALS, grid) and values.shape == want.shape:
            # One bit of an uncompressed file is one value, unless the header says how to read them.
            assert (values != want).sum() <= 1 or (values != want).mean() > 0.2
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > rounds / 4 and most < 100 << 20


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files(tmp_path, kind):
    mutated(tmp_path, kind, 100)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files(tmp_path, kind):
    mutated(tmp_path, kind, 2000)
