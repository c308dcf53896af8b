import gzip
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from jaxtyping import TypeCheckError
from scipy.io import loadmat, savemat
from scipy.stats import zscore

from striate.data import has_truth, label_responses, row_table, stays_on_disk, target_table
from striate.datasets import made_up
from striate.datasets.nsd import Nsd
from striate.datasets.nsd.places import places_of, root_region
from striate.datasets.nsd.score import explained
from striate.datasets.nsd.twin import SIZES, write
from striate.errors import DataError, FileError, StriateError
from striate.media import open_image
from striate.prepare import Preparation
from striate.scores import nsd_noise_ceiling, pearson
from striate.solvers.ridge import ridge_cv
from striate.splits import folds_of
from striate.testing import check_dataset

BETAS = "betas_fithrf_GLMdenoise_RR"
TRIALS = SIZES["tiny"].trials
SPACES = ("func1pt8mm", "fsaverage")


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_STORE", str(tmp_path / "store"))


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nsd") / "twin"
    write(folder)
    return folder


@pytest.fixture
def small(tmp_path):
    """A copy that may be changed, without pictures."""
    write(tmp_path / "nsd", media=False, sessions=(3, 2), trials=20, shared=12, own=36, targets=3)
    return tmp_path / "nsd"


def mgh(path):
    """An MGH file read by its layout: (place, frame)."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".mgz" else content
    width, height, depth, frames, kind = np.frombuffer(content, ">i4", 5, 4)
    assert (height, depth) == (1, 1)
    values = np.frombuffer(content, {1: ">i4", 3: ">f4"}[kind], width * frames, 284)
    return values.reshape(frames, width).T


@contextmanager
def refused(told):
    """A FileError, which the check of returned types may have come upon first."""
    with pytest.raises((FileError, TypeCheckError)) as found:
        yield
    error = found.value if isinstance(found.value, FileError) else found.value.__cause__
    assert isinstance(error, FileError) and re.search(told, str(error))


def mean_of(block):
    return Preparation()({"": block})[""]


def seen_by(folder, subject, trials):
    """The picture of each trial, from 0, read from the design by itself."""
    design = loadmat(folder / "nsddata/experiments/nsd/nsd_expdesign.mat")
    lists, order = design["subjectim"], design["masterordering"][0]
    return lists[subject - 1][order[:trials].astype(int) - 1].astype(int) - 1


@pytest.mark.parametrize("subject", [1, 2])
def test_volumes_are_what_the_files_say(twin, subject):
    block = Nsd(twin).responses()[f"subj0{subject}"]
    assert stays_on_disk(block)
    name, count = f"subj0{subject}", (6, 5)[subject - 1]
    place = twin / f"nsddata_betas/ppdata/{name}/func1pt8mm" / BETAS
    if subject == 1:
        files = [h5py.File(place / f"betas_session{k + 1:02d}.hdf5") for k in range(count)]
        found = [f["betas"][()].transpose(3, 2, 1, 0) for f in files]
    else:
        files = [place / f"betas_session{k + 1:02d}.nii.gz" for k in range(count)]
        found = [np.asarray(nibabel.load(f).dataobj) for f in files]
    assert found[0].shape == (14, 16, 12, TRIALS) and found[0].dtype == np.int16
    roi = twin / f"nsddata/ppdata/{name}/func1pt8mm/roi"
    mask = np.asarray(nibabel.load(roi / "nsdgeneral.nii.gz").dataobj) > 0
    areas = np.asarray(nibabel.load(roi / "prf-visualrois.nii.gz").dataobj)
    affine = nibabel.load(roi / "nsdgeneral.nii.gz").affine
    ijk = np.argwhere(mask)
    assert list(block.target.values) == [f"v{i:03d}_{j:03d}_{k:03d}" for i, j, k in ijk]
    np.testing.assert_array_equal(block["roi:V1v"].values, areas[mask] == 1)
    assert block["roi:V1v"].values.sum() == 24 and not block["roi:V2d"].values.any()
    millimetres = ijk @ affine[:3, :3].T + affine[:3, 3]
    xyz = np.stack([block[c].values for c in "xyz"], axis=1)
    np.testing.assert_allclose(xyz, millimetres, atol=1e-4)
    left = block.hemisphere.values == "lh"
    assert left.sum() == 36 and xyz[left, 0].max() <= xyz[~left, 0].min()
    z = np.concatenate([zscore(f[mask].T.astype(float), axis=0) for f in found])
    shown = seen_by(twin, subject, TRIALS * count)
    values = block.values
    assert values.shape == (len(set(shown)), 72, 3)
    for row, name in list(enumerate(block.row.values))[::37]:
        trials = np.flatnonzero(shown == int(name[3:]))
        np.testing.assert_allclose(values[row, :, : len(trials)], z[trials].T, atol=2e-6)
        assert np.isnan(values[row, :, len(trials) :]).all()


def test_surfaces_are_what_the_files_say(twin):
    block = Nsd(twin, space="fsaverage", zscore="none").responses()["subj02"]
    place = twin / "nsddata_betas/ppdata/subj02/fsaverage" / BETAS
    shown = seen_by(twin, 2, 5 * TRIALS)
    values = block.values
    column = 0
    for side in ("lh", "rh"):
        files = [place / f"{side}.betas_session{k + 1:02d}.mgh" for k in range(5)]
        found = [mgh(f) for f in files]
        assert found[0].shape == (642, TRIALS) and found[0].dtype == np.dtype(">f4")
        raw = np.concatenate([f.T for f in found])
        label = twin / "nsddata/freesurfer/fsaverage/label" / f"{side}.nsdgeneral.mgz"
        for vertex in np.flatnonzero(mgh(label)[:, 0]):
            assert block.target.values[column] == f"{side}.{vertex:06d}"
            assert block.hemisphere.values[column] == side
            for row in (0, 101, len(values) - 1):
                own = raw[shown == int(block.row.values[row][3:]), vertex]
                np.testing.assert_array_equal(values[row, column, : len(own)], own)
            column += 1
    assert column == values.shape[1] == 72
    assert roi_of(block, "FFA-1").sum() == roi_of(block, "ventral").sum() == 24


def roi_of(block, name):
    return block[f"roi:{name}"].values


def test_percent_signal_change_of_volumes(twin):
    raw = Nsd(twin, zscore="none").responses()["subj01"]
    place = twin / f"nsddata_betas/ppdata/subj01/func1pt8mm/{BETAS}/betas_session01.hdf5"
    i, j, k = (int(n) for n in raw.target.values[5][1:].split("_"))
    with h5py.File(place) as file:
        counts = file["betas"][:, k, j, i]
    shown = seen_by(twin, 1, TRIALS)
    row = list(raw.row.values).index(f"nsd{shown[0]:05d}")
    assert raw.values[row, 5, 0] == pytest.approx(counts[0] / 300, abs=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_a_ridge_finds_what_was_planted(twin, space):
    """On the shared pictures, from features by label; from shuffled labels nothing."""
    ours = Nsd(twin, space=space)
    stimuli, truth = ours.stimuli(), pd.read_csv(twin / "truth.csv")
    ids = pd.read_csv(twin / "ids.csv")["id"]
    place = pd.Series(np.arange(len(ids)), index=ids)
    both = np.concatenate([np.load(twin / f"features_{n}.npy") for n in ("early", "late")], axis=1)
    part, rng, chance = stimuli.table["part"], np.random.default_rng(0), []
    for subject, block in ours.responses().items():
        mean = mean_of(block)
        held = (part[mean.stimulus.values] == "test").to_numpy()
        assert held.sum() >= 300
        x, y = both[place[mean.stimulus.values]], mean.values
        folds = folds_of([str(k) for k in range((~held).sum())], 5, 0)
        fit = ridge_cv(x[~held], y[~held], np.logspace(-2, 4, 7), folds)
        r = pearson(y[held], (x[held] @ fit.coef + fit.intercept).astype(np.float32))
        for roi, score, ceiling in truth.loc[
            truth.subject == subject, ["roi", "score", "ceiling"]
        ].itertuples(index=False):
            mine = roi_of(mean, roi)
            assert mean.ceiling.values[mine] == pytest.approx(ceiling, abs=1e-5)
            assert r[mine].mean() == pytest.approx(score, abs=0.02)
        none = mean.ceiling.values == 0
        assert none.sum() == 24 and abs(r[none].mean()) < 0.05
        for _ in range(12):
            x = both[rng.permutation(len(both))[: len(y)]]
            fit = ridge_cv(x[~held], y[~held], np.array([10.0]), folds)
            guess = (x[held] @ fit.coef + fit.intercept).astype(np.float32)
            chance.append(pearson(y[held], guess).mean())
    assert abs(np.mean(chance)) < 0.02


def test_ceilings_are_those_of_the_test_pictures(twin):
    ours = Nsd(twin)
    shared = loadmat(twin / "nsddata/experiments/nsd/nsd_expdesign.mat")["sharedix"][0] - 1
    for subject, count in (("subj01", 6), ("subj02", 5)):
        shown = seen_by(twin, int(subject[-1]), TRIALS * count)
        times = pd.Series(shown).value_counts()
        for test, kept in (("shared", times[times.index.isin(shared)]), ("none", times)):
            counts = [int((kept == k).sum()) for k in (1, 2, 3)]
            block = replace(ours, test=test).responses()[subject]
            ratio = {"subj01": 1.6, "subj02": 1.3}[subject]
            want = nsd_noise_ceiling(np.array([ratio]), counts)[0]
            assert block.ceiling.values[roi_of(block, "V1v")] == pytest.approx(want, abs=1e-6)
        trials = replace(ours, rows="trials").responses()[subject]
        want = ratio**2 / (ratio**2 + 1)
        assert trials.ceiling.values[roi_of(trials, "V1v")] == pytest.approx(want, abs=1e-6)


def test_stimuli_are_the_pictures_that_features_were_made_of(twin):
    ours = Nsd(twin)
    table = ours.stimuli().table
    shown = set(seen_by(twin, 1, 6 * TRIALS)) | set(seen_by(twin, 2, 5 * TRIALS))
    assert list(table.index) == [f"nsd{p:05d}" for p in sorted(shown)]
    late = []
    for file in table["file"].iloc[::9]:
        grey = np.asarray(open_image(file).convert("L"), dtype=float) / 255
        late.append(made_up.late(grey))
    want = np.load(twin / "features_late.npy")[[int(i[3:]) for i in table.index[::9]]]
    late = np.array(late)
    for column in range(9):
        assert np.corrcoef(late[:, column], want[:, column])[0, 1] > 0.9999
    shared = loadmat(twin / "nsddata/experiments/nsd/nsd_expdesign.mat")["sharedix"][0] - 1
    parts = {f"nsd{int(p):05d}": "test" for p in shared}
    assert [parts.get(i, "train") for i in table.index] == table["part"].tolist()
    assert set(replace(ours, test="none").stimuli().table["part"]) == {"train"}
    alone = replace(ours, subjects=("subj02",), sessions=(2,)).stimuli()
    assert set(alone.ids) == {f"nsd{p:05d}" for p in set(seen_by(twin, 2, 2 * TRIALS)[TRIALS:])}


def test_captions_are_joined_by_coco(twin):
    files = tuple(str(twin / f"captions/captions_{n}2017.json") for n in ("train", "val"))
    text = Nsd(twin, captions=files).stimuli().table["text"]
    late = np.load(twin / "features_late.npy")
    for i in text.index[::11]:
        k = int(i[3:])
        light = "bright" if late[k].mean() > 0 else "dark"
        corner = "bright" if late[k, 0] > 0 else "dark"
        assert text[i] == f"{light} leaves. A {corner} leaf at the left."
    turned = Nsd(twin, captions=files[::-1]).stimuli().table["text"]
    assert turned.equals(text)
    one = Nsd(twin, captions=files[:1]).stimuli().table["text"]
    assert 0 < (one == "").sum() < len(one) / 2


def test_trials_as_rows(twin):
    images = Nsd(twin).responses()["subj01"]
    trials = Nsd(twin, rows="trials", zscore="none").responses()["subj01"]
    assert trials.shape == (6 * TRIALS, 72) and stays_on_disk(trials)
    rows = row_table(trials)
    shown = seen_by(twin, 1, 6 * TRIALS)
    assert [f"nsd{shown[t - 1]:05d}" for t in rows["trial"]] == rows["stimulus"].tolist()
    assert ((rows["trial"] - 1) // TRIALS + 1).equals(rows["session"])
    assert list(rows.index[rows["stimulus"] == "nsd00003"]) in (
        [f"nsd00003#{k + 1}" for k in range(n)] for n in range(4)
    )
    # Scored within sessions, single trials are the repeats of the images.
    prepared = Preparation(zscore="session")({"": trials})[""]
    lined = prepared.sel(row=[f"{i}#1" for i in images.row.values])
    np.testing.assert_allclose(lined.values, images.values[:, :, 0], atol=1e-5)


def test_only_sessions_that_are_asked_for_are_opened(small):
    ours = Nsd(small)
    whole = {s: b.values for s, b in Nsd(small).responses().items()}
    blocks = ours.responses()
    shown = seen_by(small, 1, 60)
    for name in ("betas_session02.hdf5", "betas_session03.hdf5"):
        (small / "nsddata_betas/ppdata/subj01/func1pt8mm" / BETAS / name).write_bytes(b"gone")
    block = blocks["subj01"]
    first = [i for i in block.row.values if (np.flatnonzero(shown == int(i[3:])) < 20).all()]
    at = pd.Index(block.row.values).get_indexer(first)
    assert 3 < len(at) < len(block)
    np.testing.assert_array_equal(block[at].values, whole["subj01"][at])
    with pytest.raises(FileError, match=r"betas_session0[23]\.hdf5"):
        block[:].values  # noqa: B018
    again = block[at, 2:5].values
    np.testing.assert_array_equal(again, whole["subj01"][at][:, 2:5])


def test_containers_and_order_change_nothing(small):
    """The same numbers as .nii.gz or .hdf5, and from lists in another order."""
    before = {s: b.load() for s, b in Nsd(small).responses().items()}
    place = small / "nsddata_betas/ppdata/subj01/func1pt8mm" / BETAS
    for file in sorted(place.glob("*.hdf5")):
        with h5py.File(file) as opened:
            values = opened["betas"][()].transpose(3, 2, 1, 0)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file.with_suffix(".nii.gz"))
        file.unlink()
    place = small / "nsddata_betas/ppdata/subj02/func1pt8mm" / BETAS
    for chunks in (None, (5, 3, 4, 2)):
        for k in (1, 2):
            file = place / f"betas_session{k:02d}.nii.gz"
            values = np.asarray(nibabel.load(file).dataobj)
            with h5py.File(place / f"betas_session{k:02d}.hdf5", "w") as opened:
                opened.create_dataset("betas", data=values.transpose(3, 2, 1, 0), chunks=chunks)
        after = Nsd(small).responses()
        for subject, block in before.items():
            assert block.identical(after[subject].load())
    file = small / "nsddata/experiments/nsd/nsd_expdesign.mat"
    design = loadmat(file)
    turn = np.random.default_rng(0).permutation(design["subjectim"].shape[1])
    design["subjectim"] = design["subjectim"][:, turn]
    design["masterordering"] = np.argsort(turn)[design["masterordering"].astype(int) - 1] + 1
    design["sharedix"] = design["sharedix"][:, ::-1]
    savemat(file, {n: v for n, v in design.items() if not n.startswith("_")})
    for subject, block in Nsd(small).responses().items():
        assert block.identical(before[subject])


def test_targets_outside_of_masks_and_regions_by_name(small):
    whole = Nsd(small, mask="", rois=("streams",)).responses()["subj01"]
    assert whole.shape[1] == 14 * 16 * 12 and "hemisphere" not in whole.coords
    some = Nsd(small, rois=("streams",)).responses()["subj01"]
    assert "roi:V1v" not in some.coords
    at = pd.Index(whole.target.values).get_indexer(some.target.values)
    np.testing.assert_array_equal(whole[:, at].values, some.values)
    assert set(target_table(whole).columns) == set(target_table(some).columns) - {"hemisphere"}
    inner = Nsd(small, mask="prf-visualrois").responses()["subj01"]
    assert inner.shape[1] == roi_of(inner, "V1v").sum() == 6
    region = root_region(small, "subj01", "func1pt8mm")
    with pytest.raises(DataError, match=r"nsdgeneral\.nii\.gz is of shape .*same space"):
        places_of(region, (14, 16, 13), "nsdgeneral")


def test_without_tables_of_names_labels_are_numbers(small):
    for file in (small / "nsddata/freesurfer").rglob("*.ctab"):
        file.unlink()
    block = Nsd(small).responses()["subj01"]
    assert roi_of(block, "prf-visualrois-1").sum() == roi_of(block, "streams-1").sum() == 6


def test_the_score_is_the_explained_share(twin):
    ours = Nsd(twin)
    truth = {s: mean_of(b) for s, b in ours.responses().items()}
    rng = np.random.default_rng(3)
    guess = {s: b + rng.normal(0, 1, b.shape) for s, b in truth.items()}
    guess["subj01"] = guess["subj01"] * np.where(np.arange(72) % 5, 1, -1)
    told = ours.official_score(truth, {s: b[::-1, ::-1] for s, b in guess.items()})["corrected"]
    values, regions, zeros = [], {}, 0
    for subject, block in truth.items():
        for t in range(72):
            ceiling = float(block.ceiling.values[t])
            if ceiling == 0:
                zeros += 1
                continue
            r = np.corrcoef(block.values[:, t], guess[subject].values[:, t])[0, 1]
            values.append(np.clip(100 * r * abs(r) / ceiling, -100, 100))
            for roi in ("V1v", "FFA-1", "early"):
                if roi_of(block, roi)[t]:
                    regions.setdefault(roi, []).append(values[-1])
    assert told["value"] == pytest.approx(np.mean(values), abs=1e-4)
    assert zeros == told["zero_ceilings"] == 48 and told["unit"] == "percent"
    for roi, own in regions.items():
        assert told["by_roi"][roi] == pytest.approx(np.mean(own), abs=1e-4)
    assert "V2d" not in told["by_roi"]
    one = ours.official_score(truth, {"subj02": guess["subj02"]})["corrected"]
    assert one["value"] == pytest.approx(told["by_subject"]["subj02"])
    holed = guess["subj02"].copy()
    holed[3, 4] = np.nan
    with pytest.raises(DataError, match="lacks 1 predictions of 'subj02'"):
        ours.official_score(truth, {"subj02": holed})
    assert explained({"a": label_responses(np.zeros((4, 2)), list("wxyz"), subject="a")}, {}) == {}


def test_the_published_example_of_the_metric():
    columns = np.array([[0, 1, 2, 3], [1, 0, 2, 1], [2, 1, 0, 3.0]]).T
    answers = np.array([[0, 2, 1, 3], [0, 1, 2, 3], [1, 0, 2, 1.0]]).T
    labels = {"ceiling": [0.5, 0.4, 0.0]}
    truth = label_responses(answers, list("wxyz"), subject="a", target_labels=labels)
    told = explained({"a": truth}, {"a": label_responses(columns, list("wxyz"), subject="a")})
    assert told["corrected"]["value"] == pytest.approx(62.5, abs=1e-4)


def test_contract(small):
    for ours in (Nsd(small), Nsd(small, space="fsaverage", rows="trials", zscore="none")):
        check_dataset(ours)
        assert all(has_truth(b).all() for b in ours.responses().values())


def test_what_is_missing_is_told(small, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"nsddata_betas.*naturalscenesdataset\.org"):
        Nsd(tmp_path / "empty").stimuli()
    with pytest.raises(FileError, match=r"fsaverage/betas.*func1pt8mm/betas.*dataset\.space"):
        Nsd(small, space="func1mm").stimuli()
    with pytest.raises(DataError, match="unknown subject 'subj03'"):
        Nsd(small, subjects=("subj03",)).responses()
    with pytest.raises(FileError, match=r"lacks betas_session09 .*dataset\.sessions"):
        Nsd(small, sessions=(1, 9)).stimuli()
    with refused(r"floc-words\.nii\.gz, which dataset\.rois names"):
        Nsd(small, rois=("floc-words",)).responses()["subj01"]
    with refused(r"nowhere\.nii\.gz, the mask"):
        Nsd(small, mask="nowhere").responses()["subj01"]
    place = small / "nsddata_betas/ppdata/subj01/fsaverage" / BETAS
    (place / "rh.betas_session02.mgh").unlink()
    with refused(r"lacks rh\.betas_session02"):
        Nsd(small, space="fsaverage").responses()["subj01"]
    for side in ("lh", "rh"):
        (place / f"{side}.ncsnr.mgh").unlink()
    only = Nsd(small, space="fsaverage", sessions=(1, 3)).responses()["subj01"]
    assert "ceiling" not in only.coords and not np.isnan(only.values[:, :, 0]).any()
    shutil.rmtree(small / "nsddata/experiments")
    with pytest.raises(FileError, match=r"nsd_expdesign\.mat.*dataset\.design"):
        Nsd(small).stimuli()


def test_a_full_size_takes_no_place(tmp_path):
    """The true shapes of one session; nothing is there but what was planted."""
    full = SIZES["full"]
    assert sum(full.sessions) == 284 and full.trials == 750 and full.vertices == 163842
    assert full.shared + 8 * full.own == 73000 and full.pixels * full.enlarged == 425
    known = write(
        tmp_path / "nsd", "full", media=False, sessions=(2,), shared=100, own=500, targets=10
    )
    blocks = sum(f.stat().st_blocks * 512 for f in (tmp_path / "nsd").rglob("*") if f.is_file())
    assert blocks < 60 << 20
    for space in SPACES:
        block = Nsd(tmp_path / "nsd", space=space).responses()["subj01"]
        assert block.shape == (600, 60, 3)
        assert block.ceiling.values[roi_of(block, "V1v")] == pytest.approx(
            known.ceiling[0], abs=1e-5
        )
        assert np.nanstd(block[:40].values) == pytest.approx(1, abs=0.1)


def test_a_twin_is_written_into_nothing_else(small):
    with pytest.raises(FileError, match="not empty"):
        Nsd.twin(small)
    with pytest.raises(StriateError, match="trials cannot show"):
        write(Path(small) / "new", sessions=(1,), trials=5)
