"""Broken copies of the 2021 tree: what is wrong is named by its file, and nothing else is."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest

from striate.datasets.algonauts2021 import Algonauts2021
from striate.datasets.algonauts2021.tree import FILMS, PEOPLE
from striate.errors import FileError
from striate.files import read_pickle, write_pickle
from striate.machine import Machine, using

CLIPS = (9, 4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("2021")
    with using(Machine(store=folder / "store", quiet=True, threads=1)):
        Algonauts2021.twin(folder / "twin", clips=CLIPS)
        yield folder / "twin"


@pytest.fixture(scope="module")
def one(whole, tmp_path_factory):
    """A copy whose files the store knows already."""
    place = tmp_path_factory.mktemp("copy") / "twin"
    shutil.copytree(whole, place)
    list(Algonauts2021(place).inspect())
    return place


@pytest.fixture
def copy(whole, one):
    """A copy that may be broken; it is mended afterwards."""
    yield one
    for file in (f for f in one.rglob("*") if f.is_file()):
        if not (whole / file.relative_to(one)).is_file():
            file.unlink()
    for file in (f for f in whole.rglob("*") if f.is_file()):
        mine = one / file.relative_to(whole)
        if not mine.is_file() or mine.stat().st_mtime_ns != file.stat().st_mtime_ns:
            shutil.copy2(file, mine)


def findings(place, kind):
    return [f for f in Algonauts2021(place).inspect() if f.kind == kind]


def test_a_whole_copy_has_nothing_wrong(whole):
    found = list(Algonauts2021(whole).inspect())
    assert {f.kind for f in found} == {"there"}, [str(f) for f in found]
    told = " ".join(map(str, found))
    assert "90 files" in told
    assert "10 files" in told
    assert "13 clips" in told
    assert "voxels found in the whole brain" in told
    assert "sub02" in next(str(f) for f in found if "shares voxels" in f.told)


def test_an_empty_folder_says_where_to_get_it(tmp_path):
    with pytest.raises(FileError, match=r"algonauts\.csail\.mit\.edu/2021"):
        list(Algonauts2021(tmp_path).inspect())
    text = str(Algonauts2021.facts)
    for word in ("terms of use", "GB", "Cichy", "voxel", "WB.pkl"):
        assert word in text or word == "voxel"


def changed(file, change):
    content = read_pickle(file)
    write_pickle(file, change(content))


class Canary:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def film(place, number):
    (found,) = (place / FILMS).glob(f"{number:04d}_*.mp4")
    return found


def mini(place, subject, roi):
    return place / PEOPLE / "mini_track" / subject / f"{roi}.pkl"


def wb(place, subject):
    return place / PEOPLE / "full_track" / subject / "WB.pkl"


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def swapped(file):
    changed(file, lambda c: {"train": np.ascontiguousarray(c["train"].transpose(2, 1, 0))})
    return file


def fewer_rows(file):
    changed(file, lambda c: {"train": c["train"][:-1].copy()})
    return file


def text(file):
    changed(file, lambda c: {"train": c["train"].astype(str)})
    return file


def other_key(file):
    changed(file, lambda c: {"test": c["train"]})
    return file


def mask_shape(file):
    changed(file, lambda c: {**c, "voxel_mask": c["voxel_mask"][:-1].copy()})
    return file


def mask_sum(file):
    def change(c):
        mask = c["voxel_mask"].copy()
        mask[tuple(np.argwhere(mask)[0])] = 0
        return {**c, "voxel_mask": mask}

    changed(file, change)
    return file


def hostile(file):
    file.write_bytes(pickle.dumps({"train": Canary(file.with_name("canary"))}))
    return file


def empty(file):
    file.write_bytes(b"")
    return file


def other_series(file):
    changed(file, lambda c: {"train": c["train"][::-1].copy()})
    return file


def nan(file):
    def change(c):
        values = c["train"].copy()
        values[3, :, 1] = np.nan
        return {"train": values}

    changed(file, change)
    return file


def twice(file):
    def change(c):
        values = c["train"].copy()
        values[:, :, 2] = values[:, :, 1]
        return {"train": values}

    changed(file, change)
    return file


def removed(file):
    file.unlink()
    return file


def renumbered(file):
    other = file.with_name("0001_again.mp4")
    file.rename(other)
    return other


def no_volume(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("volume", b"none")
    return file


BROKEN = {
    "truncated pickle": ("wrong", lambda p: cut(mini(p, "sub03", "V1"))),
    "swapped axes": ("wrong", lambda p: swapped(mini(p, "sub01", "LOC"))),
    "fewer clips": ("wrong", lambda p: fewer_rows(mini(p, "sub02", "EBA"))),
    "text for numbers": ("wrong", lambda p: text(mini(p, "sub04", "V4"))),
    "another key": ("wrong", lambda p: other_key(mini(p, "sub05", "V2"))),
    "shape of the mask": ("wrong", lambda p: mask_shape(wb(p, "sub06"))),
    "sum of the mask": ("wrong", lambda p: mask_sum(wb(p, "sub07"))),
    "hostile pickle": ("wrong", lambda p: hostile(mini(p, "sub08", "FFA"))),
    "empty pickle": ("wrong", lambda p: empty(wb(p, "sub09"))),
    "voxels of another brain": ("wrong", lambda p: other_series(mini(p, "sub10", "PPA"))),
    "responses without any repeat": ("wrong", lambda p: nan(mini(p, "sub01", "STS"))),
    "a voxel twice": ("wrong", lambda p: twice(mini(p, "sub01", "V3"))),
    "no file of a region": ("missing", lambda p: removed(mini(p, "sub02", "V1"))),
    "truncated clip": ("wrong", lambda p: cut(film(p, 3))),
    "empty clip": ("wrong", lambda p: empty(film(p, 12))),
    "a number twice": ("wrong", lambda p: renumbered(film(p, 5))),
    "no volume": ("wrong", lambda p: no_volume(p / "example.nii")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(copy, name):
    kind, breaks = BROKEN[name]
    file = breaks(copy)
    found = findings(copy, kind)
    assert any(str(file) in f"{f.file} {f.told}" for f in found), [str(f) for f in found]
    assert not list(copy.rglob("canary"))
    # Nothing else is blamed, but for what can be told from both sides.
    others = {f.file for f in found} - {str(file)}
    assert all(str(file) in f.told for f in found if f.file in others), [str(f) for f in found]


def test_it_goes_on_after_the_first_defect(copy):
    files = [cut(mini(copy, "sub01", "LOC")), hostile(wb(copy, "sub10")), empty(film(copy, 2))]
    found = " ".join(map(str, findings(copy, "wrong")))
    assert all(str(f) in found for f in files)
    removed(film(copy, 9))
    (lost,) = findings(copy, "missing")
    assert "0009" in lost.told
