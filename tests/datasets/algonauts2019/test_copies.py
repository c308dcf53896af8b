"""Copies of the 2019 challenge: other layouts, the hidden twin set, and ten that are broken."""

import io
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from scipy.spatial.distance import squareform

from striate.data import has_truth, label_responses, slots
from striate.datasets.algonauts2019 import Algonauts2019, submission
from striate.datasets.algonauts2019.inspect import findings
from striate.datasets.check import examine
from striate.datasets.submissions import check
from striate.errors import DataError, FileError

from .test_dataset import KEYS, mean_of, rdms, save_v73

PEOPLE, SAMPLES = 3, 4
FMRI = "Training_Data/92_Image_Set/target_fmri.mat"
MEG = "Test_Data/target_meg.mat"


def images(folder, count, digits=2):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for k in range(count):
        pixels = rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"image_{k + 1:0{digits}d}.png")


def targets(count, modality, seed=0):
    samples = SAMPLES if modality == "meg" else None
    return {k: rdms(PEOPLE, count, samples, seed + j) for j, k in enumerate(KEYS[modality])}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("2019") / "copy"
    first, test = root / "Training_Data/92_Image_Set", root / "Test_Data"
    images(first / "92images", 92)
    images(test / "78images", 78, 3)
    for modality in KEYS:
        save_v73(first / f"target_{modality}.mat", **targets(92, modality))
        savemat(test / f"target_{modality}.mat", targets(78, modality, 5))
    return root


def found(root):
    lines = list(findings(root, PEOPLE))
    assert lines == list(Algonauts2019(root, subjects=PEOPLE).inspect())
    return lines


def test_a_whole_copy_has_nothing_wrong(whole):
    lines = found(whole)
    assert not [f for f in lines if f.kind == "wrong"]
    told = {f.file.removeprefix(f"{whole}/"): f.told for f in lines if f.kind == "there"}
    assert told["Test_Data/78images"] == "78 images, 8 × 9 pixels"
    assert told[MEG] == "late: 3 subjects × 4 samples, 78 images"
    missing = [f.file for f in lines if f.kind == "missing"]
    assert [m.rpartition("/")[2] for m in missing] == [
        "118images",
        "target_fmri.mat",
        "target_meg.mat",
    ]


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def linked(file):
    file.unlink()
    with h5py.File(file, "w") as made:
        for key, values in targets(92, "fmri").items():
            made[key] = values.T if key == "IT_RDMs" else h5py.ExternalLink("/etc/passwd", "/x")


def fmri(change):
    """Write the RDMs of the 92 set anew, changed."""
    return FMRI, lambda f: save_v73(f, **{k: change(v) for k, v in targets(92, "fmri").items()})


def meg(change):
    return MEG, lambda f: savemat(f, {k: change(v) for k, v in targets(78, "meg").items()})


def image(name, damage):
    return f"Test_Data/78images/image_{name}.png", damage


BREAKS = {
    "truncated HDF5": (FMRI, truncate),
    "truncated v5": (MEG, truncate),
    "empty file": (FMRI, lambda f: f.write_bytes(b"")),
    "wrong shape": fmri(lambda v: v[:, :78, :78]),
    "wrong count of subjects": meg(lambda v: v[:2]),
    "swapped axes": fmri(lambda v: v.transpose(2, 1, 0)),
    "wrong dtype": meg(lambda v: v.astype(str)),
    "variable missing": (FMRI, lambda f: save_v73(f, EVC_RDMs=rdms(PEOPLE, 92))),
    "NaN": meg(lambda v: np.where(v > 1.99, np.nan, v)),
    "similarities": fmri(lambda v: 1 - v),
    "flat": fmri(lambda v: v * [[[1]], [[0]], [[1]]]),
    "link out of the file": (FMRI, linked),
    "image truncated": image("007", truncate),
    "image no image": image("070", lambda f: f.write_bytes(b"GIF89a no")),
    "number out of range": image("079", lambda f: shutil.copy(f.with_name("image_001.png"), f)),
    "number twice": image("7", lambda f: shutil.copy(f.with_name("image_001.png"), f)),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_file_is_named_and_the_others_are_still_looked_at(whole, tmp_path, what):
    file, damage = BREAKS[what]
    root = shutil.copytree(whole, tmp_path / "copy")
    damage(root / file)
    lines = found(root)
    (wrong,) = {f.file for f in lines if f.kind == "wrong"}
    # Of two images with one number, either is the odd one.
    assert wrong in (str(root / file), str(root / file).replace("image_7.", "image_007."))
    good = {f.file for f in lines if f.kind == "there"} - {str(root / file)}
    assert len(good) >= 5
    checked = examine(Algonauts2019(root, subjects=PEOPLE), numbers=False)
    assert [f.file for f in checked.wrong][:1] == [wrong]
    assert not checked.foreign


def test_a_missing_image_is_told_by_its_number(whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "copy")
    (root / "Test_Data/78images/image_042.png").unlink()
    (one,) = [f for f in found(root) if f.kind == "wrong"]
    assert one.file == str(root / "Test_Data/78images") and "image 42 of 78" in one.told


def test_an_empty_folder_is_no_copy_and_the_facts_tell_where_it_is(tmp_path):
    checked = examine(Algonauts2019(tmp_path))
    assert checked.foreign and "algonauts.csail.mit.edu/2019" in checked.unopened
    assert "92images/" in str(Algonauts2019.facts)


def test_other_layouts_hold_the_same(whole, tmp_path):
    """Targets and images in a folder of the set's own, and other digits, change nothing."""
    root = tmp_path / "copy"
    shutil.copytree(whole / "Training_Data/92_Image_Set", root / "92_Image_Set")
    shutil.copytree(whole / "Test_Data", root / "Test_Data/78_Image_Set")
    place = root / "Test_Data/78_Image_Set/78images"
    for file in list(place.iterdir()):
        file.rename(place / f"image_{int(file.stem[-3:])}.png")
    one, other = (Algonauts2019(r, subjects=PEOPLE) for r in (whole, root))
    for subject, block in one.responses().items():
        assert block.identical(other.responses()[subject])
    assert other.stimuli().ids == one.stimuli().ids
    last = other.stimuli().table.loc["set78.image_42", "file"]
    assert last.endswith("image_42.png")
    assert not [f for f in found(root) if f.kind == "wrong"]


def test_the_hidden_twin_set(whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "copy")
    images(root / "Test_Data/TS2/78images", 78)
    savemat(root / "Test_Data/TS2/target_fmri.mat", targets(78, "fmri", 9))
    usual = Algonauts2019(root, subjects=PEOPLE)
    assert not [s for s in usual.responses() if "TS2" in s], "the twin set is nobody's training"
    ours = Algonauts2019(root, subjects=PEOPLE, test="TS2")
    blocks = ours.responses()
    assert sum(s.startswith("setTS2.") for s in blocks) == sum(
        s.startswith("set78.") for s in blocks
    )
    block = blocks["setTS2.sub02"]
    np.testing.assert_allclose(
        block.values[:, 1], squareform(rdms(PEOPLE, 78, seed=10)[1], checks=False)
    )
    assert has_truth(block).all() and block.row.values[0] == "setTS2.image_01|setTS2.image_02"
    part = ours.stimuli().table["part"]
    assert part[part == "test"].index[0] == "setTS2.image_01" and (part == "test").sum() == 78
    score = ours.official_score(blocks, mean_of(ours, "TS2"))["official"]
    assert score["ceiling"] == {"EVC": 0.0655, "IT": 0.0734}
    written = ours.write_submission(mean_of(ours, "TS2"), tmp_path / "out")
    assert ours.check_submission(written)["IT"].shape == (78, 78)
    told = {f.file for f in ours.inspect() if f.kind == "there" and "TS2" in f.file}
    assert len(told) == 2


def test_the_submission_read_by_others(whole, tmp_path):
    ours = Algonauts2019(whole, subjects=PEOPLE)
    block = ours.responses()["set78.sub01"]
    rng = np.random.default_rng(0)
    model = {"": label_responses(rng.random((3003, 2)), slots(block), ["IT", "EVC"])}
    mixed = {"": model[""].isel(row=rng.permutation(3003), target=[1, 0])}
    written = ours.write_submission(mixed, tmp_path / "out")
    assert written.name == "submit_fmri.zip"
    with zipfile.ZipFile(written) as archive:
        (member,) = archive.namelist()
        content = loadmat(io.BytesIO(archive.read(member)))
    assert member == "submit_fmri.mat"
    assert {k for k in content if not k.startswith("__")} == {"EVC_RDMs", "IT_RDMs"}
    for column, key in enumerate(("IT_RDMs", "EVC_RDMs")):
        assert content[key].dtype == np.float64 and content[key].shape == (78, 78)
        want = model[""].values[:, column]
        np.testing.assert_array_equal(content[key][np.triu_indices(78, 1)], want)
        np.testing.assert_array_equal(content[key], content[key].T)
        assert not np.diag(content[key]).any()
    check(written, "algonauts2019")


def test_submissions_of_every_kind_that_the_kit_reads(tmp_path):
    good = {"EVC_RDMs": rdms(1, 78)[0], "IT_RDMs": rdms(1, 78, seed=1)[0]}
    save_v73(tmp_path / "submit_fmri.mat", **good)
    np.savez(tmp_path / "submit_fmri.npz", **good)
    np.save(tmp_path / "submit_fmri.npy", np.array(good, dtype=object), allow_pickle=True)
    ours = Algonauts2019(tmp_path)
    for kind in ("mat", "npz", "npy"):
        file = tmp_path / f"submit_fmri.{kind}"
        with zipfile.ZipFile(tmp_path / f"{kind}.zip", "w") as archive:
            archive.write(file, file.name)
        for path in (file, tmp_path / f"{kind}.zip"):
            check(path, "algonauts2019")
            read = ours.check_submission(path)
            np.testing.assert_allclose(read["IT"], good["IT_RDMs"])
    np.save(tmp_path / "submit_fmri.npy", rdms(1, 78)[0])
    with pytest.raises(FileError, match=r"submit_fmri\.npy.*where objects belong"):
        ours.check_submission(tmp_path / "submit_fmri.npy")


class Hostile:
    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


def test_a_hostile_submission_runs_nothing(tmp_path):
    file, canary = tmp_path / "submit_fmri.npy", tmp_path / "canary"
    np.save(file, np.array({"EVC_RDMs": Hostile(canary)}, dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(file, file.name)
    for path in (file, tmp_path / "x.zip"):
        with pytest.raises((FileError, DataError), match=path.name):
            check(path, "algonauts2019")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../submit_fmri.mat", b"")
    with pytest.raises(FileError, match="outside"):
        check(tmp_path / "out.zip", "algonauts2019")
    assert not canary.exists()


def test_a_submission_that_unpacks_to_more_than_it_may(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "submit_fmri.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("submit_fmri.mat", bytes(1 << 16))
    monkeypatch.setattr(submission, "LARGEST", 1 << 15)
    with pytest.raises(FileError, match=r"submit_fmri\.mat of .*submit_fmri\.zip unpacks"):
        check(tmp_path / "submit_fmri.zip", "algonauts2019")


def test_order_changes_no_score(whole, tmp_path):
    """Rows and regions of predictions and truth, and subjects in the file, in another order."""
    ours = Algonauts2019(whole, subjects=PEOPLE)
    truth = ours.responses()
    shown = slots(truth["set78.sub01"])
    rng = np.random.default_rng(0)
    model = {"": label_responses(rng.random((3003, 2)), shown, ["EVC", "IT"])}
    want = ours.official_score(truth, model)
    order = rng.permutation(3003)
    mixed = {"": model[""].isel(row=order, target=[1, 0])}
    other = {s: b.isel(row=rng.permutation(len(b))) for s, b in truth.items()}
    for found in (ours.official_score(truth, mixed), ours.official_score(other, model)):
        for kind in ("official", "corrected"):
            assert found[kind]["value"] == pytest.approx(want[kind]["value"], rel=1e-12)
    root = shutil.copytree(whole, tmp_path / "copy")
    turned = {k: v[::-1] for k, v in targets(78, "fmri", 5).items()}
    savemat(root / "Test_Data/target_fmri.mat", turned)
    again = Algonauts2019(root, subjects=PEOPLE)
    found = again.official_score(again.responses(), model)
    assert found["official"]["raw"] == pytest.approx(want["official"]["raw"], rel=1e-12)
