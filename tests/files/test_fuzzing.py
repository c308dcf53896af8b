"""Every reader, on files with something wrong: an error of ours, or the right values."""

import gc
import pickle
import sys
import zipfile

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.io import savemat

from striate.errors import FileError
from striate.files import (
    h5_array,
    open_hdf5,
    read_array,
    read_mat,
    read_member,
    read_npy,
    read_npz,
    read_object_npy,
    read_pickle,
    write_object_npy,
    write_pickle,
    zip_members,
)

from .fuzzing import explained, fuzz, mutations, trial

VALUES = np.random.default_rng(5).integers(0, 7, (40, 30)).astype("f8")
SEVERAL = {
    "train": VALUES, "mask": VALUES > 3, "names": ["a", "b"], "n": 3,
    "objects": np.array([VALUES[0], VALUES[1] * 2, None], dtype=object),
}  # fmt: skip
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def npy(folder):
    for name, values in (
        ("a", VALUES), ("b", np.asfortranarray(VALUES.astype("f4"))), ("c", VALUES > 3),
        ("d", VALUES.astype("U3")),
    ):  # fmt: skip
        np.save(folder / f"{name}.npy", values)
        yield folder / f"{name}.npy"


def npz(folder):
    for name, save in (("a", np.savez), ("b", np.savez_compressed)):
        save(folder / f"{name}.npz", a=VALUES, b=VALUES.astype("i2"))
        yield folder / f"{name}.npz"


def pickles(folder):
    for protocol in range(6):
        path = folder / f"{protocol}.pkl"
        path.write_bytes(pickle.dumps(SEVERAL, protocol))
        yield path
    write_pickle(folder / "ours.pkl", SEVERAL)
    yield folder / "ours.pkl"


def object_npy(folder):
    value = {"sub-01": {"a": VALUES.astype("f4"), "b": VALUES[:5]}, "n": {1: "V1v"}}
    np.save(folder / "theirs.npy", value)
    write_object_npy(folder / "ours.npy", value)
    return folder / "theirs.npy", folder / "ours.npy"


def mat5(folder):
    for name, packed in (("a", False), ("b", True)):
        arrays = {"a": VALUES, "b": VALUES.astype("u1"), "c": np.array([1, "a"], object)}
        savemat(folder / f"{name}.mat", arrays, do_compression=packed)
        yield folder / f"{name}.mat"


def mat73(folder):
    with h5py.File(folder / "c.mat", "w", userblock_size=512) as file:
        file["EVC"] = VALUES.T
        file.create_group("#refs#")
        file.create_dataset("IT", data=VALUES.T, chunks=True, compression="gzip")
    return [folder / "c.mat"]


def hdf5(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["responses"] = VALUES
        file["ses-1/x"] = VALUES.astype("f4")
        file["ses-1"].attrs["n"] = "abc"
        file.create_dataset(
            "g/packed", data=VALUES, chunks=(10, 15), compression="gzip", shuffle=True,
            fletcher32=True,
        )  # fmt: skip
    with h5py.File(folder / "b.h5", "w", libver="latest") as file:
        file["responses"] = VALUES
        # LZF has no sum of its own: a wrong byte becomes several values.
        file.create_dataset(
            "packed", data=VALUES, chunks=(7, 8), compression="lzf", fletcher32=True
        )
        file.create_dataset("more", data=VALUES.astype("i2"), chunks=(7, 30), maxshape=(None, 30))
    return folder / "a.h5", folder / "b.h5"


def read_hdf5(path):
    arrays = {}
    with open_hdf5(path) as file:

        def see(name, item):
            if isinstance(item, h5py.Dataset):
                arrays[name] = h5_array(item, path)

        file.visititems(see)
    return arrays


def tables(folder):
    names = [f"v{k}" for k in range(6)]
    for kind, sep in (("csv", ","), ("tsv", "\t")):
        lines = [sep.join(["image", *names])]
        lines += [sep.join([f"im{k}.png", *map(str, r[:6])]) for k, r in enumerate(VALUES)]
        (folder / f"a.{kind}").write_text("\n".join(lines) + "\n")
        yield folder / f"a.{kind}"


def netcdf(folder):
    for engine in ("h5netcdf", "scipy"):
        array = xr.DataArray(VALUES, dims=("a", "b"), name="responses")
        array.to_netcdf(folder / f"{engine}.nc", engine=engine)
        yield folder / f"{engine}.nc"


def zips(folder):
    for name, method in (("a", zipfile.ZIP_DEFLATED), ("b", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", method) as archive:
            archive.writestr("f/a.npy", VALUES.tobytes())
            archive.writestr("b.txt", "abc" * 50)
        yield folder / f"{name}.zip"


def read_zip(path):
    return {name: read_member(path, name) for name in zip_members(path)}


READERS = {
    "npy": (read_npy, npy, False),
    "mapped npy": (lambda path: np.array(read_npy(path, mmap=True)), npy, False),
    "npz": (read_npz, npz, False),
    "pickle": (read_pickle, pickles, False),
    "object npy": (read_object_npy, object_npy, False),
    "mat v5": (read_mat, mat5, False),
    "mat v7.3": (read_mat, mat73, True),
    "hdf5": (read_hdf5, hdf5, True),
    "table": (read_array, tables, False),
    "netcdf": (read_array, netcdf, True),
    "zip": (read_zip, zips, False),
}


def held_to(kind, folder, count, seed):
    """At least `count` mutated files of a kind; how often there was an error, and a value."""
    read, samples, moves = READERS[kind]
    made = list(samples(folder))
    each = -(-count // len(made))
    told = fuzz(read, made, folder, each, seed, moves)
    assert sum(told.values()) == each * len(made) >= count
    errors = sum(n for way, n in told.items() if way.endswith("error"))
    assert 0.2 * count < errors < sum(told.values()), f"{errors} errors: what is tried is too tame"
    return told


@needs_linux
@pytest.mark.parametrize("kind", READERS)
def test_a_hundred_wrong_files(tmp_path, kind):
    gc.collect()
    held_to(kind, tmp_path, 100, seed=20)


@needs_linux
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", READERS)
def test_two_thousand_wrong_files(tmp_path, kind):
    print(kind, sorted(held_to(kind, tmp_path, 2400, seed=1000).items()))


def test_mutations_repeat_and_differ():
    content = bytes(range(256)) * 20
    first, again, other = (mutations(content, seed) for seed in (1, 1, 2))
    ours = [next(first) for _ in range(200)]
    assert ours == [next(again) for _ in range(200)] != [next(other) for _ in range(200)]
    assert all(m != content and m.touched for m in ours)
    assert len({m.what for m in ours}) >= 8


def test_wrong_values_are_seen():
    wrong = VALUES.copy()
    wrong[3:5] += 1
    assert not explained(wrong, VALUES, 8)
    assert explained(wrong, VALUES, 60)
    assert not explained(np.roll(VALUES, 1), VALUES, 1)
    assert not explained(np.random.default_rng(0).permutation(VALUES), VALUES, 16)
    assert explained(VALUES.T, VALUES, 1) and explained(VALUES[:39], VALUES, 1)
    assert explained(VALUES.view("i8"), VALUES, 1) and explained(VALUES.astype("f4"), VALUES, 1)


@needs_linux
@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda path: {}["no"], "raised KeyError"),
        (lambda path: VALUES + 1 * (np.arange(30) == 3), "is wrong"),
        (lambda path: np.ones(250 << 20, np.uint8).sum(), r"raised|took \d{3} MiB"),
        (lambda path: [None for _ in iter(int, 1)], "took|ended the process: signal SIG"),
        (lambda path: h5py.h5i.os_kill(), "raised AttributeError"),
        (lambda path: sys.modules["os"].kill(sys.modules["os"].getpid(), 11), "signal SIGSEGV"),
        (lambda path: sys.modules["os"].environ.update(STRIATE_CANARY="1"), "environment"),
        (lambda path: (_ for _ in ()).throw(FileError("a\nb")), "said FileError"),
    ],
)
def test_the_claim_can_fail(tmp_path, read, told, monkeypatch):
    monkeypatch.setattr("files.fuzzing.SECONDS", 0.2)
    case = next(mutations(VALUES.tobytes(), 0))
    case.touched = 1
    with pytest.raises(AssertionError, match=told):
        trial(read, [case], tmp_path, "x.npy", [VALUES], 10_000)
