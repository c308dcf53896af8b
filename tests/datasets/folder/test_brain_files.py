import gzip

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from files.test_brains import AFFINE, cifti, save_nifti
from striate.data import digest, roi_names, stays_on_disk, target_table
from striate.datasets import opened
from striate.datasets.folder import Folder
from striate.datasets.folder.brain_files import by_name, mask_of, name_of
from striate.datasets.folder.inspect import findings
from striate.errors import DataError, FileError

from .test_dataset import images

GRID = (3, 4, 5)


def volumes(count=6, seed=0):
    return np.random.default_rng(seed).normal(size=(*GRID, count)).astype("float32")


def inside(seed=1):
    return (np.random.default_rng(seed).random(GRID) < 0.4).astype("uint8")


def surface(path, maps, table=None):
    """Maps (map, vertex) as .mgh, .mgz or .gii."""
    if path.suffix == ".gii":
        arrays = [nib.gifti.GiftiDataArray(m.astype("float32")) for m in maps]
        nib.save(nib.GiftiImage(darrays=arrays), path)
    else:
        stored = np.ascontiguousarray(np.moveaxis(maps[:, :, None, None], 0, 3))
        nib.save(nib.MGHImage(stored[..., 0] if len(maps) == 1 else stored, np.eye(4)), path)
    if table:
        lines = [f"{k} {name} 0 0 0 0" for k, name in table.items()]
        path.with_name(path.name + ".ctab").write_text("\n".join(lines))
    return path


@pytest.fixture
def home(tmp_path):
    """Six images, volumes of one subject, a mask, two regions."""
    images(tmp_path / "images", 6)
    (tmp_path / "responses").mkdir()
    (tmp_path / "rois").mkdir()
    save_nifti(tmp_path / "responses" / "sub01.nii.gz", volumes())
    save_nifti(tmp_path / "responses" / "sub01_mask.nii.gz", inside())
    save_nifti(tmp_path / "rois" / "V1.nii.gz", inside(2))
    save_nifti(tmp_path / "rois" / "streams.nii", inside(3) * 2 + inside(2))
    (tmp_path / "rois" / "streams.ctab").write_text(
        "0 Unknown 0 0 0 0\n1 early 0 0 0 0\n2 ventral 0 0 0 0\n3 Unknown 0 0 0 0\n"
    )
    return tmp_path


def test_volumes_inside_a_mask_are_rows(home):
    found = Folder(home)
    assert found.stimuli().ids == tuple(f"im{k}" for k in range(1, 7))
    blocks = found.responses()
    assert list(blocks) == ["sub01"]
    block = blocks["sub01"]
    places = np.argwhere(inside() > 0)
    assert list(block.target.values) == [f"v{i:03d}_{j:03d}_{k:03d}" for i, j, k in places]
    np.testing.assert_array_equal(block.values, volumes()[inside() > 0].T)
    xyz = (AFFINE @ np.column_stack([places, np.ones(len(places))]).T)[:3].T
    np.testing.assert_allclose(target_table(block)[["x", "y", "z"]], xyz, atol=1e-5)
    assert set(roi_names(block)) == {"V1", "early", "ventral"}
    want = (inside(2) > 0)[inside() > 0]
    np.testing.assert_array_equal(block["roi:V1"].values, want)
    label = (inside(3) * 2 + inside(2))[inside() > 0]
    np.testing.assert_array_equal(block["roi:early"].values, label == 1)
    np.testing.assert_array_equal(block["roi:ventral"].values, label == 2)


@pytest.mark.parametrize("kind", [".nii", ".nii.gz"])
def test_every_kind_of_file_holds_the_same(home, kind, monkeypatch):
    want = Folder(home).responses()["sub01"]
    for file in (home / "responses").iterdir():
        file.unlink()
    save_nifti(home / f"responses{kind}", volumes())
    save_nifti(home / "within.nii", inside())
    (home / "responses").rmdir()
    found = Folder(home, mask="within.nii", subject="sub01")
    block = found.responses()["sub01"]
    assert block.equals(want) and digest(block) == digest(want)
    assert not stays_on_disk(block)
    monkeypatch.setattr(opened, "LARGE", 100)
    lazy = found.responses()["sub01"]
    assert stays_on_disk(lazy) == (kind == ".nii")
    assert lazy.equals(want) and digest(lazy) == digest(want)
    np.testing.assert_array_equal(lazy[[4, 1], [3, 0]].values, want.values[[4, 1]][:, [3, 0]])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), kind=st.sampled_from([".nii", ".nii.gz", ".gii", ".mgz"]))
def test_shuffled_rows_change_nothing(tmp_path_factory, seed, kind):
    home, rng = tmp_path_factory.mktemp("f"), np.random.default_rng(seed)
    images(home / "images", 5)
    order = rng.permutation(5)
    if kind in (".gii", ".mgz"):
        maps = rng.normal(size=(5, 9)).astype("float32")
        surface(home / f"lh.responses{kind}", maps[order])
        surface(home / f"rh.responses{kind}", maps[order] + 1)
        want = np.concatenate([maps, maps + 1], axis=1)
    else:
        maps = volumes(5, seed)
        save_nifti(home / f"responses{kind}", np.ascontiguousarray(maps[..., order]))
        save_nifti(home / "responses_mask.nii", inside(seed))
        want = maps[inside(seed) > 0].T
    lines = pd.DataFrame({"file": [f"im{k + 1}" for k in order]})
    turn = rng.permutation(5)
    lines["row"] = range(5)
    lines.iloc[turn].to_csv(home / "stimuli.csv", index=False)
    block = Folder(home).responses()["subject"]
    assert list(block.row.values) == [f"im{k}" for k in range(1, 6)]
    np.testing.assert_array_equal(block.values, want)


@pytest.mark.parametrize("kind", [".gii", ".mgh", ".mgz"])
def test_hemispheres_belong_together(tmp_path, kind, monkeypatch):
    images(tmp_path / "images", 4)
    (tmp_path / "responses").mkdir()
    (tmp_path / "rois" / "ann").mkdir(parents=True)
    maps = np.random.default_rng(0).normal(size=(4, 12)).astype("float32")
    for subject in ("ann", "bob"):
        surface(tmp_path / f"responses/lh.{subject}{kind}", maps)
        surface(tmp_path / f"responses/rh.{subject}{kind}", -maps[:, :7])
    left = np.array([[0, 1, 2, 2, 0, 0, 1, 0, 0, 0, 0, -1]], dtype="int32")
    surface(tmp_path / "rois/lh.prf.mgz", left, {0: "Unknown", 1: "V1", 2: "V2"})
    right = np.array([[5, 5, 0, 0, 0, 0, 0]], dtype="int32")
    surface(tmp_path / "rois/ann/rh.face.mgz", right, {5: "OFA"})
    blocks = Folder(tmp_path).responses()
    assert list(blocks) == ["ann", "bob"]
    block = blocks["ann"]
    ids = [f"lh.{k:06d}" for k in range(12)] + [f"rh.{k:06d}" for k in range(7)]
    assert list(block.target.values) == ids
    assert list(block.hemisphere.values) == ["lh"] * 12 + ["rh"] * 7
    np.testing.assert_array_equal(block.values, np.concatenate([maps, -maps[:, :7]], axis=1))
    assert np.flatnonzero(block["roi:V1"].values).tolist() == [1, 6]
    assert np.flatnonzero(block["roi:V2"].values).tolist() == [2, 3]
    assert np.flatnonzero(block["roi:OFA"].values).tolist() == [12, 13]
    assert set(roi_names(blocks["bob"])) == {"V1", "V2"}
    surface(tmp_path / "lh.within.mgz", (left > 0).astype("uint8"))
    surface(tmp_path / "rh.within.mgz", (right > 0).astype("uint8"))
    masked = Folder(tmp_path, mask="lh.within.mgz").responses()["ann"]
    kept = ["lh.000001", "lh.000002", "lh.000003", "lh.000006", "rh.000000", "rh.000001"]
    assert list(masked.target.values) == kept
    np.testing.assert_array_equal(masked.values, block.sel(target=kept).values)
    monkeypatch.setattr(opened, "LARGE", 10)
    lazy = Folder(tmp_path, mask="lh.within.mgz").responses()["ann"]
    assert stays_on_disk(lazy) == (kind == ".mgh") and lazy.equals(masked)
    surface(tmp_path / f"responses/rh.bob{kind}", maps[:3])
    with pytest.raises(DataError, match=r"lh.bob.* has 4 maps, but .*rh.bob.* has 3"):
        Folder(tmp_path).responses()["bob"]


def test_vertices_lie_on_a_mesh(tmp_path):
    images(tmp_path / "images", 3)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(9, 3)).astype("float32")
    (tmp_path / "meshes" / "subject" / "surf").mkdir(parents=True)
    for side, sign in (("lh", 1), ("rh", -1)):
        surface(tmp_path / f"{side}.responses.mgh", rng.normal(size=(3, 9)).astype("float32"))
        place = tmp_path / "meshes" / "subject" / "surf" / f"{side}.pial"
        nib.freesurfer.write_geometry(place, sign * points, np.array([[0, 1, 2]]))
        surface(tmp_path / f"{side}.mask.mgh", np.arange(9, dtype="float32")[None] % 2)
    block = Folder(tmp_path, surfaces="meshes").responses()["subject"]
    xyz = target_table(block)[["x", "y", "z"]].to_numpy()
    np.testing.assert_array_equal(xyz, np.concatenate([points[1::2], -points[1::2]]))
    for one, told in (("fsaverage5", r"has 9 vertices, but fsaverage5 has 10242"), ("no", "no")):
        with pytest.raises((DataError, FileError), match=told):
            Folder(tmp_path, surfaces=one).responses()
        assert any(f.kind == "wrong" for f in Folder(tmp_path, surfaces=one).inspect())


def test_grayordinates_are_targets(tmp_path):
    images(tmp_path / "images", 4)
    (tmp_path / "responses").mkdir()
    (tmp_path / "rois").mkdir()
    rows = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")
    cifti(tmp_path / "responses" / "s.dtseries.nii", rows, "series")
    labels = np.array([[0, 1, 2, 1, 0, 2, 0]], dtype="float32")
    cifti(tmp_path / "rois" / "areas.dlabel.nii", labels, "label")
    block = Folder(tmp_path).responses()["s"]
    assert list(block.target.values)[:2] == ["lh.000001", "lh.000004"]
    np.testing.assert_array_equal(block.values, rows)
    np.testing.assert_array_equal(block["roi:V1"].values, labels[0] == 1)
    assert np.isfinite(block.x.values[-1]) and np.isnan(block.x.values[0])
    about = pd.DataFrame({"target": block.target.values[::-1], "ceiling": np.arange(7) / 10})
    about.to_csv(tmp_path / "targets.csv", index=False)
    labelled = Folder(tmp_path).responses()["s"]
    at = labelled.sel(target="lh.000001")
    assert float(at.ceiling) == 0.6
    np.testing.assert_array_equal(labelled.sel(target=block.target.values).values, rows)


def test_names_of_files(tmp_path):
    from pathlib import Path

    assert name_of(Path("x/lh.V1.label.gii")) == ("V1", "lh")
    assert name_of(Path("sub-1_hemi-L_space-fsaverage_bold.func.gii")) == (
        "sub-1_space-fsaverage_bold",
        "lh",
    )
    assert name_of(Path("left_hemi-Lx.nii.gz")) == ("left_hemi-Lx", "")
    files = [Path(f) for f in ("rh.a.mgh", "lh.a.mgh", "b.nii", "b_mask.nii", "lh.b_mask.mgh")]
    assert by_name(files) == {"a": (files[1], files[0]), "b": (files[2],)}
    for clash in (["a.nii", "a.nii.gz"], ["a.nii", "lh.a.mgh"], ["lh.a.mgh", "lh.a.gii"]):
        with pytest.raises(FileError, match="both hold a: keep one"):
            by_name(Path(f) for f in clash)
    given = Path("m/rh.x.mgz")
    assert mask_of(Path("lh.a.mgh"), given) == Path("m/lh.x.mgz")
    assert mask_of(Path("a.nii"), Path("m.nii")) == Path("m.nii")


def test_what_does_not_fit_is_told(home):
    mask, region = home / "responses/sub01_mask.nii.gz", home / "rois/V1.nii.gz"
    good = mask.read_bytes()
    elsewhere = nib.Nifti1Image(inside(), AFFINE + np.eye(4, k=3))
    cases = [
        (lambda: mask.unlink(), FileError, r"no mask says .* dataset.mask=FILE"),
        (lambda: save_nifti(mask, inside()[:2]), DataError, r"sub01_mask.* has \(2, 4, 5\)"),
        (lambda: nib.save(elsewhere, mask), DataError, r"sub01_mask.* lies elsewhere"),
        (lambda: save_nifti(mask, inside() * 0), DataError, "nothing inside"),
        (lambda: save_nifti(mask, volumes()), DataError, "a mask is one"),
        (lambda: mask.write_bytes(good[:-9]), FileError, r"sub01_mask.* is damaged"),
    ]
    for spoil, error, told in cases:
        spoil()
        with pytest.raises(error, match=told):
            Folder(home).responses()["sub01"]
    mask.write_bytes(good)
    for labels, told in (
        (inside(2)[:, :2], r"V1.* has \(3, 2, 5\) places"),
        (inside(2) * 0.5, r"V1.* labels of regions are whole numbers"),
    ):
        save_nifti(region, labels)
        with pytest.raises(DataError, match=told):
            Folder(home).responses()["sub01"]
    save_nifti(region, inside(2))
    (home / "rois/V1.nii.gz.ctab").write_text("7 V1\n")
    with pytest.raises(DataError, match=r"V1.nii.gz holds label 1, which is not in its table: 7"):
        Folder(home).responses()["sub01"]
    with pytest.raises(DataError, match="brain file, whose maps are the rows"):
        Folder(home, axes=("target", "stimulus")).responses()["sub01"]
    with pytest.raises(FileError, match=r"no mask nowhere\.nii"):
        Folder(home, mask="nowhere.nii").responses()["sub01"]
    np.save(home / "responses" / "sub01.npy", np.zeros((6, 2)))
    with pytest.raises(FileError, match="holds responses of sub01 twice"):
        Folder(home).responses()
    save_nifti(home / "responses.nii", volumes())
    with pytest.raises(FileError, match=r"holds responses, responses.nii: name the file"):
        Folder(home).responses()


def test_missing_responses_in_volumes(home, monkeypatch):
    spoilt = volumes()
    spoilt[..., 3][inside() > 0] = np.nan
    (home / "responses/sub01.nii.gz").unlink()
    save_nifti(home / "responses/sub01.nii", spoilt)
    for large in (1 << 26, 10):
        monkeypatch.setattr(opened, "LARGE", large)
        with pytest.raises(DataError, match=r"are NaN, for stimuli im4"):
            Folder(home).responses()["sub01"].values  # noqa: B018
        kept = Folder(home, missing="keep").responses()["sub01"]
        assert np.isnan(kept.values).all(axis=1).tolist() == [k == 3 for k in range(6)]


BROKEN = {
    "truncated volumes": ("responses/sub01.nii.gz", lambda p: p.write_bytes(p.read_bytes()[:-9])),
    "empty volumes": ("responses/sub01.nii.gz", lambda p: p.write_bytes(b"")),
    "another file": ("responses/sub01.nii.gz", lambda p: p.write_bytes(gzip.compress(b"x" * 999))),
    "too few volumes": ("responses/sub01.nii.gz", lambda p: save_nifti(p, volumes(5))),
    "complex volumes": (
        "responses/sub01.nii.gz",
        lambda p: save_nifti(p, volumes().astype("complex64")),
    ),
    "infinite": ("responses/sub01.nii.gz", lambda p: save_nifti(p, volumes() * np.inf)),
    "mask of another grid": ("responses/sub01_mask.nii.gz", lambda p: save_nifti(p, inside()[1:])),
    "empty mask": ("responses/sub01_mask.nii.gz", lambda p: save_nifti(p, inside() * 0)),
    "truncated mask": ("responses/sub01_mask.nii.gz", lambda p: p.write_bytes(p.read_bytes()[:50])),
    "region elsewhere": ("rois/V1.nii.gz", lambda p: save_nifti(p, inside()[:, ::2])),
    "label out of table": ("rois/streams.nii", lambda p: save_nifti(p, inside() * 9)),
    "no table": ("rois/streams.ctab", lambda p: p.write_text("nothing to read\n")),
    "hemisphere missing": ("responses/lh.two.mgh", lambda p: (p.parent / "rh.two.mgh").unlink()),
    "damaged image": ("images/im3.png", lambda p: p.write_bytes(p.read_bytes()[:30])),
    "no image": ("images/im4.png", lambda p: p.write_bytes(b"")),
    "table with a word": ("stimuli.csv", lambda p: p.write_text("file,row\nim1,one\n")),
    "table of nobody": ("stimuli.csv", lambda p: p.write_text("file\nim77\n")),
    "ceilings in percent": ("responses/lh.two.mgh", lambda p: percent(p.parents[1])),
}


def percent(home):
    ids = [f"{s}.{k:06d}" for s in ("lh", "rh") for k in range(5)]
    table = pd.DataFrame({"subject": "two", "target": ids, "ceiling": 60})
    table.to_csv(home / "targets.csv", index=False)


@pytest.mark.parametrize("what", BROKEN)
def test_inspection_names_the_broken_file(home, what):
    maps = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    for side in ("lh", "rh"):
        surface(home / f"responses/{side}.two.mgh", maps)
    assert not [f for f in Folder(home).inspect() if f.kind == "wrong"]
    kinds = [f.kind for f in Folder(home).inspect()]
    assert kinds.count("missing") == 2 and kinds.count("there") >= 6
    file, spoil = BROKEN[what]
    spoil(home / file)
    told = [f for f in Folder(home).inspect() if f.kind != "there"]
    bad = [f for f in told if f.kind == "wrong"]
    if what == "hemisphere missing":
        assert not bad and any("no rh beside" in f.told and file in f.file for f in told)
        return
    assert any(file in f.file or file in f.told for f in bad), bad
    others = [f.file for f in Folder(home).inspect() if f.kind == "there"]
    assert any("two.mgh" in f for f in others) != (file in ("stimuli.csv", "responses/lh.two.mgh"))


def test_inspection_of_no_folder(tmp_path):
    (one,) = Folder(tmp_path / "nowhere").inspect()
    assert one.kind == "wrong" and "no folder" in one.told
    told = list(findings(Folder(tmp_path)))
    assert [f.kind for f in told].count("wrong") >= 1 and "must hold one responses" in str(told)
    assert "stimuli.csv" in str(Folder.facts)
