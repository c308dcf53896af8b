import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from striate.datasets.bold_moments import BoldMoments, files
from striate.datasets.bold_moments import twin as twins
from striate.datasets.bold_moments.targets import SURFACES
from striate.files import read_pickle, write_pickle
from striate.machine import Machine, using

B = "derivatives/versionB/MNI152"
REGION = f"{B}/prepared_allvoxel_pkl/sub-01/sub-01_roi-rFFA_betas_normalized.pkl"
INDEX = f"{B}/GLM/sub-01/ROIs/ROI-rFFA_indices.pkl"
CANARY = Path("/tmp/striate_canary_bold_moments")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    with pytest.MonkeyPatch.context() as patch, using(Machine(store=folder / "s", quiet=True)):
        plan = {"train": 7, "test": 5, "pixels": 32, "voxels": 4, "A": 3, "B": 3}
        patch.setitem(twins.SIZES, "tiny", plan)
        patch.setattr(twins, "REGIONS", ("V1v", "V1d", "FFA", "LOC", "MT"))
        patch.setitem(twins.LACKS, "sub-06", ("V1d",))
        for table in (files.SURFACES, SURFACES):
            patch.setitem(table, "fsaverage", 60)
        twins.write(folder / "bmd", surfaces=("fsaverage",))
        yield folder / "bmd"


def changed(path, **new):
    """Write a region file anew with other values; None leaves a key out."""
    found = read_pickle(path)
    for key, change in new.items():
        name = f"{key}_data_allvoxel" if key in ("train", "test") else key
        found[name] = change(found[name]) if change is not None else None
    write_pickle(path, {k: v for k, v in found.items() if v is not None})


def with_nan(values):
    values = values.copy()
    values[3, 1, 0] = np.nan
    return values


def told(folder, kinds=("wrong",), **fields):
    return [f for f in BoldMoments(folder, **fields).inspect() if f.kind in kinds]


class Canary:
    def __reduce__(self):
        return (CANARY.touch, ())


BROKEN = {
    "truncated": (REGION, lambda p: p.write_bytes(p.read_bytes()[:-40])),
    "empty": (REGION, lambda p: p.write_bytes(b"")),
    "hostile": (REGION, lambda p: p.write_bytes(pickle.dumps({"train_data_allvoxel": Canary()}))),
    "no dictionary": (REGION, lambda p: write_pickle(p, [1, 2])),
    "key missing": (REGION, lambda p: changed(p, test=None)),
    "wrong dtype": (REGION, lambda p: changed(p, train=lambda v: v.astype(int))),
    "swapped axes": (REGION, lambda p: changed(p, train=lambda v: v.transpose(1, 0, 2))),
    "voxels last to first": (REGION, lambda p: changed(p, test=lambda v: v.T)),
    "fewer voxels in the test": (REGION, lambda p: changed(p, test=lambda v: v[..., 1:])),
    "wrong count of films": (REGION, lambda p: changed(p, train=lambda v: v[:-1])),
    "nothing but zeros": (REGION, lambda p: changed(p, train=np.zeros_like)),
    "no test but zeros": (REGION, lambda p: changed(p, test=np.zeros_like)),
    "training rows in another order": (REGION, lambda p: changed(p, train=lambda v: v[::-1])),
    "test rows in another order": (REGION, lambda p: changed(p, test=lambda v: v[::-1])),
    "repeats in another order": (REGION, lambda p: changed(p, test=lambda v: v[:, ::-1])),
    "voxels in another order": (
        REGION,
        lambda p: changed(p, train=lambda v: v[..., ::-1], test=lambda v: v[..., ::-1]),
    ),
    "infinite": (REGION, lambda p: changed(p, test=lambda v: v * np.float32(np.inf))),
    "ceiling above 100": (
        REGION,
        lambda p: changed(p, test_noiseceiling_allvoxel=lambda v: v + 90),
    ),
    "ceilings of other voxels": (
        REGION,
        lambda p: changed(p, test_noiseceiling_allvoxel=lambda v: v[1:]),
    ),
    "index of other voxels": (
        INDEX,
        lambda p: write_pickle(p, (read_pickle(p)[0][1:], read_pickle(p)[1], None)),
    ),
    "index damaged": (INDEX, lambda p: write_pickle(p, {"a": 1})),
    "film cut": ("mp4_h264/0003.mp4", lambda p: p.write_bytes(p.read_bytes()[:-700])),
    "film empty": ("mp4_h264/1002.mp4", lambda p: p.write_bytes(b"")),
    "film no film": ("mp4_h264/0005.mp4", lambda p: p.write_bytes(b"RIFF" * 50)),
    "annotations damaged": (
        "derivatives/stimuli_metadata/annotations.json",
        lambda p: p.write_text(p.read_text()[:-3]),
    ),
    "annotations of other films": (
        "derivatives/stimuli_metadata/annotations.json",
        lambda p: p.write_text(json.dumps({"1103": {}})),
    ),
    "misnamed": (
        REGION.replace("rFFA", "rFFFA"),
        lambda p: shutil.copy(p.parent / "sub-01_roi-rFFA_betas_normalized.pkl", p),
    ),
}


def test_a_right_copy_has_nothing_wrong(whole):
    for version in ("A", "B"):
        found = list(BoldMoments(whole, version=version).inspect())
        assert {f.kind for f in found} == {"there", "missing"}
        lines = "\n".join(map(str, found))
        assert "12 films" in lines and "7 of 1000 films to learn from and 5 of 102" in lines
        assert ("percent" in lines) == (version == "B")
        lacking = [f for f in found if f.kind == "missing" and "V1d" in f.told]
        assert len(lacking) == 1 and lacking[0].file.endswith("sub-06")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_by_its_file(whole, tmp_path, name):
    copy = shutil.copytree(whole, tmp_path / "copy")
    place, breaking = BROKEN[name]
    breaking(copy / place)
    found = told(copy)
    assert [f for f in found if Path(f.file).resolve() == (copy / place).resolve()], found
    # Only the two files that disagree about their voxels are both in doubt.
    assert len({f.file for f in found}) == 1
    assert not CANARY.exists()


def test_missing_responses_are_told(whole, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "copy")
    changed(copy / REGION, train=with_nan)
    (lost,) = [f for f in told(copy, ("missing", "wrong")) if "NaN" in f.told]
    assert lost.file == str(copy / REGION) and lost.told.startswith("1 ")


@pytest.mark.parametrize("version", ["A", "B"])
def test_what_is_missing_is_named(whole, tmp_path, version):
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / REGION).unlink()
    (copy / "mp4_h264/0004.mp4").unlink()
    (copy / "derivatives/stimuli_metadata/annotations.json").unlink()
    lines = "\n".join(map(str, told(copy, ("missing",), version=version)))
    assert "0004.mp4" in lines and "annotations.json" in lines
    assert ("rFFA" in lines and "one hemisphere" in lines) == (version == "B")
    shutil.rmtree(copy / "mp4_h264")
    lines = "\n".join(map(str, told(copy, ("missing",), subjects=("sub-03",))))
    assert "mp4_h264: films are needed" in lines and "sub-03: no responses" in lines


def test_two_files_of_one_film_are_told(whole, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "copy")
    shutil.copy(copy / "mp4_h264/0001.mp4", copy / "mp4_h264/0001_again.mp4")
    (wrong,) = told(copy)
    assert "0001_again.mp4" in wrong.told and "film 1" in wrong.told


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("train", lambda b, n: (b[..., 1:], n), "targets"),
        ("train", lambda b, n: (b, n[1:]), "names 6"),
        ("train", lambda b, n: (b, [*n[1:], n[1]]), "twice"),
        ("test", lambda b, n: (b, [*n[1:], "vid0001"]), "vid0001"),
        ("test", lambda b, n: (b, [*n[1:], "vid1103"]), "vid1103"),
        ("test", lambda b, n: (b.transpose(1, 0, 2), n), "repeat"),
        ("test", lambda b, n: b, "tuple"),
        ("test", lambda b, n: (b[:, :9], n), "repeats"),
    ],
)
def test_broken_betas_of_a_surface_are_named(whole, tmp_path, part, change, says):
    copy = shutil.copytree(whole, tmp_path / "copy")
    layout = files.Layout(copy / "derivatives", "B", "fsaverage", "allvoxel")
    path = layout.betas_file("sub-01", part, "rh")
    write_pickle(path, change(*read_pickle(path)))
    (wrong,) = told(copy, space="fsaverage")
    assert wrong.file == str(path) and says in wrong.told


def test_a_broken_ceiling_of_a_surface_is_named(whole, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "copy")
    layout = files.Layout(copy / "derivatives", "B", "fsaverage", "allvoxel")
    path = layout.ceiling_file("sub-01", "lh")
    write_pickle(path, read_pickle(path)[:1])
    (wrong,) = told(copy, space="fsaverage")
    assert wrong.file == str(path)
    (lost,) = [f for f in told(copy, ("missing",), space="fsaverage") if "ceilings" in f.told]
    assert lost.file == str(layout.ceiling_file("sub-01", "rh"))


def test_voxels_that_never_vary_are_told(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "bmd")
    for file in (REGION, REGION.replace("rFFA", "WB")):
        (tmp_path / "bmd" / file).unlink()

    def still(values):
        values = values.copy()
        values[:, :, 1] = 0.5
        return values

    changed(tmp_path / "bmd" / REGION.replace("rFFA", "lFFA"), train=still)
    found = [f for f in told(tmp_path / "bmd", ("there",)) if "never vary" in f.told]
    assert [Path(f.file).name for f in found] == [Path(REGION.replace("rFFA", "lFFA")).name]
    assert "responses of train never vary in 1 of " in found[0].told
    assert not told(tmp_path / "bmd")


def test_rows_of_version_a_are_held_against_the_whole_brain(whole, tmp_path):
    """Without files of indices, a voxel is known by its first responses of the test."""
    shutil.copytree(whole, tmp_path / "bmd")
    assert not told(tmp_path / "bmd", version="A")
    (place,) = (tmp_path / "bmd").rglob("sub-01/FFA_TRavg-56789_allvoxel.pkl")
    before = place.read_bytes()
    for change in ({"train": lambda v: v[::-1]}, {"test": lambda v: v[::-1]}):
        changed(place, **change)
        (line,) = told(tmp_path / "bmd", version="A")
        assert Path(line.file) == place and "WB" in line.told
        place.write_bytes(before)
