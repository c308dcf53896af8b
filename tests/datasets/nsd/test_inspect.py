import gzip
import re
import shutil

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat, savemat

from striate.datasets.facts import Finding
from striate.datasets.nsd import Nsd
from striate.datasets.nsd.inspect import findings
from striate.datasets.nsd.twin import write
from striate.errors import FileError

BETAS = "betas_fithrf_GLMdenoise_RR"
VOLUME = f"nsddata_betas/ppdata/subj01/func1pt8mm/{BETAS}"
PACKED = f"nsddata_betas/ppdata/subj02/func1pt8mm/{BETAS}"
SURFACE = f"nsddata_betas/ppdata/subj01/fsaverage/{BETAS}"
ROI = "nsddata/ppdata/subj01/func1pt8mm/roi"
LABEL = "nsddata/freesurfer/fsaverage/label"
DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
PICTURES = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nsd") / "twin"
    write(folder, sessions=(4, 3), trials=20, shared=12, own=24, targets=4, pixels=16)
    return folder


@pytest.mark.parametrize("space", ["func1pt8mm", "fsaverage"])
def test_a_whole_copy_has_nothing_wrong(whole, space):
    captions = (str(whole / "captions/captions_train2017.json"),)
    found = list(Nsd(whole, space=space, captions=captions).inspect())
    assert not [f for f in found if f.kind == "wrong"]
    assert len(found) == len(set(found))
    lost = [f.told for f in found if f.kind == "missing"]
    assert {re.sub(" [lr]h", "", t).strip() for t in lost} == {
        "regions floc-bodies, floc-places, floc-words"
    }
    told = "\n".join(map(str, found))
    grid = "14 × 16 × 12" if space == "func1pt8mm" else "642"
    for text in (
        "2 subjects, 80 trials, 12 shared",
        "60 pictures",
        f"4 sessions of 20 trials over {grid}",
        "prf-visualrois, floc-faces, streams",
        "captions of",
    ):
        assert text in told


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def betas(file, change):
    with h5py.File(file) as opened:
        values = opened["betas"][()]
    with h5py.File(file, "w") as opened:
        opened["betas"] = change(values)


def linked(file):
    file.rename(file.with_name("elsewhere.hdf5"))
    with h5py.File(file, "w") as opened:
        opened["betas"] = h5py.ExternalLink("elsewhere.hdf5", "betas")


def design(file, **change):
    found = {n: v for n, v in loadmat(file).items() if not n.startswith("_")}
    savemat(file, {n: change.get(n, lambda v: v)(v) for n, v in found.items()})


def volume(file, change):
    image = nibabel.load(file)
    values = change(np.asarray(image.dataobj).copy())
    content = nibabel.Nifti1Image(values, image.affine).to_bytes()
    file.write_bytes(gzip.compress(content))


def labelled(values):
    values[values == 1] = 99
    return values


def turned(values):
    """The same grid, but the responses of other places."""
    return values[:, ::-1, ::-1, ::-1]


def surface(file, frames):
    shaped = np.ones((642, 1, 1, frames), np.float32)
    file.write_bytes(nibabel.freesurfer.MGHImage(shaped, np.eye(4)).to_bytes())


def table(file):
    pd.read_csv(file, index_col=0).iloc[:20].to_csv(file)


def pictures(file, count, dtype):
    with h5py.File(file, "w") as opened:
        opened["imgBrick"] = np.zeros((count, 16, 16, 3), dtype)


BROKEN = [
    (f"{VOLUME}/betas_session02.hdf5", cut, "damaged|truncated"),
    (f"{VOLUME}/betas_session01.hdf5", lambda f: f.write_bytes(b""), "damaged|empty"),
    (f"{VOLUME}/betas_session03.hdf5", lambda f: betas(f, lambda v: v[:-3]), "17 trials"),
    (f"{VOLUME}/betas_session04.hdf5", lambda f: betas(f, lambda v: v / 300.0), "float64"),
    (f"{VOLUME}/betas_session02.hdf5", lambda f: betas(f, lambda v: v.T), "trials over"),
    (f"{VOLUME}/betas_session02.hdf5", lambda f: betas(f, turned), "never change"),
    (f"{VOLUME}/betas_session03.hdf5", linked, "not followed"),
    (f"{PACKED}/betas_session02.nii.gz", cut, "damaged|cut short"),
    (f"{SURFACE}/rh.betas_session02.mgh", cut, "cut short|damaged"),
    (f"{SURFACE}/lh.betas_session04.mgh", lambda f: surface(f, 21), "21 trials"),
    (f"{SURFACE}/lh.betas_session01.mgh", lambda f: surface(f, 20), "never change"),
    (f"{SURFACE}/rh.betas_session03.mgh", lambda f: f.unlink(), "hemisphere"),
    (f"{SURFACE}/lh.ncsnr.mgh", lambda f: f.write_bytes(b""), "damaged"),
    (f"{VOLUME}/ncsnr.nii.gz", lambda f: volume(f, lambda v: v - 1), "negative"),
    (f"{ROI}/prf-visualrois.nii.gz", lambda f: volume(f, labelled), "label 99"),
    (f"{ROI}/streams.nii.gz", lambda f: volume(f, lambda v: v[:, :, 1:]), "same space"),
    (f"{ROI}/nsdgeneral.nii.gz", lambda f: volume(f, lambda v: v * 0), "nowhere above 0"),
    (f"{ROI}/nsdgeneral.nii.gz", lambda f: f.unlink(), "the mask"),
    (f"{LABEL}/rh.floc-faces.mgz", cut, "damaged|cut short"),
    (DESIGN, lambda f: design(f, masterordering=lambda v: v - 1), "from 1"),
    (DESIGN, lambda f: design(f, subjectim=lambda v: v.T), "lists of"),
    (DESIGN, lambda f: f.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR." * 20), "MATLAB"),
    (DESIGN, lambda f: f.unlink(), "who saw what"),
    (PICTURES, lambda f: pictures(f, 40, np.uint8), "holds 40 pictures, but the design shows 60"),
    (PICTURES, lambda f: pictures(f, 60, np.float32), "8 bits"),
    (PICTURES, lambda f: f.unlink(), "cannot be looked at"),
    (INFO, table, "no line of nsdId"),
]


@pytest.mark.parametrize("name, breaking, told", BROKEN)
def test_what_is_broken_is_named_and_the_rest_still_told(whole, tmp_path, name, breaking, told):
    copy = tmp_path / "nsd"
    shutil.copytree(whole, copy)
    breaking(copy / name)
    space = "fsaverage" if "fsaverage" in name else "func1pt8mm"
    found = list(findings(Nsd(copy, space=space)))
    before = set(map(str, findings(Nsd(whole, space=space))))
    new = [
        f
        for f in found
        if f.kind != "there" and str(f).replace(str(copy), str(whole)) not in before
    ]
    assert any(f.file == str(copy / name) and re.search(told, f.told) for f in new), new
    assert {f.file for f in new} == {str(copy / name)}
    # The other subject is gone through all the same.
    assert any("subj02" in f.file and f.kind == "there" and "sessions" in f.told for f in found)


def test_several_defects_are_all_told(whole, tmp_path):
    copy = tmp_path / "nsd"
    shutil.copytree(whole, copy)
    cut(copy / VOLUME / "betas_session02.hdf5")
    (copy / VOLUME / "betas_session03.hdf5").unlink()
    (copy / ROI / "nsdgeneral.nii.gz").write_bytes(b"x")
    (copy / PICTURES).write_bytes(b"x")
    (copy / DESIGN).write_bytes(b"x" * 300)
    found = [f for f in Nsd(copy).inspect() if f.kind == "wrong"]
    assert {f.file.rpartition("/")[2] for f in found} == {
        "betas_session02.hdf5",
        "nsdgeneral.nii.gz",
        "nsd_stimuli.hdf5",
        "nsd_expdesign.mat",
    }
    gone = Finding(
        "missing", str(copy / VOLUME / "betas_session03.hdf5"), "its trials cannot be used"
    )
    assert gone in list(Nsd(copy).inspect())


def test_nothing_there(tmp_path):
    with pytest.raises(FileError, match="Natural Scenes Dataset"):
        list(Nsd(tmp_path).inspect())
    (tmp_path / "nsddata").mkdir()
    kinds = {f.kind for f in Nsd(tmp_path).inspect()}
    assert kinds == {"missing"}
    assert "betas_session01" in str(Nsd.facts) and "naturalscenesdataset.org" in str(Nsd.facts)
