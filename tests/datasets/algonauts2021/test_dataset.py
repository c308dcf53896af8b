"""The 2021 challenge: labels, the store's form, location by series, scores, on a made-up tree."""

import json
import shutil
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from striate.data import Responses, has_truth, roi_names, target_table
from striate.datasets.algonauts2021 import Algonauts2021, files
from striate.datasets.algonauts2021.tree import FILMS, PEOPLE, ROIS, SUBJECTS, Tree
from striate.datasets.algonauts2021.twin import PLANTED
from striate.datasets.made_films import KINDS
from striate.errors import DataError, FileError, RecipeError
from striate.files import read_pickle, write_pickle
from striate.machine import Machine, using
from striate.scores import pearson
from striate.testing import check_dataset

CLIPS = (300, 12)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with using(Machine(store=tmp_path_factory.mktemp("store"), quiet=True, threads=1)) as machine:
        yield machine


@pytest.fixture(scope="module")
def twin(tmp_path_factory, store):
    place = tmp_path_factory.mktemp("2021") / "twin"
    known = Algonauts2021.twin(place, media=False, clips=CLIPS)
    return place, known


def means(block: Responses) -> Responses:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # hidden rows have no mean
        return block.mean("repeat", keep_attrs=True) if "repeat" in block.dims else block


def planted(place):
    """Planted features by kind, indexed by clip."""
    ids = pd.read_csv(place / "ids.csv", dtype=str)["id"]
    return {k: pd.DataFrame(np.load(place / f"features_{k}.npy"), index=ids) for k in KINDS}


def fitted(X, y, train, test):
    """Least squares with an intercept."""
    weights = np.linalg.lstsq(np.c_[X[train], np.ones(train.sum())], y[train])[0]
    return np.c_[X[test], np.ones(test.sum())] @ weights


def out_of_fold(X, y, folds=5):
    """Correlation of each target with what is predicted from the other folds."""
    fold = np.random.default_rng(1).permutation(len(X)) % folds
    predicted = np.empty_like(y)
    for k in range(folds):
        predicted[fold == k] = fitted(X, y, fold != k, fold == k)
    return pearson(y, predicted)


def held_out(X, y):
    """Correlation of each target in the second half with what the first half predicts.

    Folds that are pooled would lean below zero where there is nothing to find.
    """
    train = np.arange(len(X)) < len(X) // 2
    return pearson(y[~train], fitted(X, y, train, ~train))


def predictions(dataset, place, rng=None):
    """Out-of-fold predictions of every region from what it was planted with."""
    features, scores = planted(place), []
    for subject, block in dataset.responses().items():
        values = means(block)
        values = values.isel(row=np.flatnonzero(has_truth(values))).load()
        regions = {roi: values[f"roi:{roi}"].values.astype(bool) for roi in roi_names(values)}
        # The shared voxels are of V3.
        if subject == "sub02" and {"LOC", "V3"} <= set(regions):
            regions["LOC"] = regions["LOC"] & ~regions["V3"]
        if dataset.track == "full":
            regions["rest"] = ~np.any(list(regions.values()), axis=0)
        for roi, mine in regions.items():
            X = features[PLANTED[roi][0]].loc[values.stimulus.values].to_numpy(np.float64)
            X = X[rng.permutation(len(X))] if rng is not None else X
            y = values.values[:, mine].astype(np.float64)
            r = held_out(X, y) if rng is not None else out_of_fold(X, y)
            scores.append((subject, roi, float(r.mean())))
    return pd.DataFrame(scores, columns=["subject", "roi", "found"])


def test_contract(tmp_path, store):
    Algonauts2021.twin(tmp_path / "twin", media=False, clips=(30, 3))
    for track in ROIS:
        check_dataset(Algonauts2021(tmp_path / "twin", track=track))


def test_labels(twin):
    place, _ = twin
    dataset = Algonauts2021(place)
    stimuli = dataset.stimuli()
    assert stimuli.ids[0] == "0001"
    assert stimuli.ids[-1] == "0312"
    assert (stimuli.table["part"] == "test").sum() == 12
    assert stimuli.table["file"].iloc[4].rsplit("/", 1)[1].startswith("0005_")
    blocks = dataset.responses()
    assert list(blocks) == list(SUBJECTS)
    block = blocks["sub03"]
    assert block.dims == ("row", "target", "repeat")
    assert block.shape[2] == 3
    assert roi_names(block) == ROIS["mini"]
    hidden = ~has_truth(block)
    assert hidden.sum() == 12
    assert hidden[-12:].all()
    for roi in ROIS["mini"]:
        raw = read_pickle(place / PEOPLE / "mini_track" / "sub03" / f"{roi}.pkl")["train"]
        mine = block.isel(target=np.flatnonzero(block[f"roi:{roi}"].values))
        columns = dataset.columns("sub03")
        order = columns[columns["roi"] == roi].sort_values("column")["target"]
        ours = mine.sel(target=order.tolist()).values[:300]
        np.testing.assert_array_equal(ours.transpose(0, 2, 1), raw)
    assert dataset.split().calls(stimuli)[0].test[0] == "0271"


def test_mini_voxels_lie_where_the_whole_brain_has_them(twin):
    place, _ = twin
    mini = Algonauts2021(place).responses()["sub02"]
    full = Algonauts2021(place, track="full").responses()["sub02"]
    raw = read_pickle(place / PEOPLE / "full_track" / "sub02" / "WB.pkl")
    voxels = np.argwhere(raw["voxel_mask"])
    assert full.target.values.tolist() == ["v{:03d}_{:03d}_{:03d}".format(*v) for v in voxels]
    np.testing.assert_array_equal(full.values[:300].transpose(0, 2, 1), raw["train"])
    assert set(mini.target.values) < set(full.target.values)
    same = full.sel(target=mini.target.values)
    np.testing.assert_array_equal(same.values[:300], mini.values[:300])
    for roi in ROIS["mini"]:
        np.testing.assert_array_equal(same[f"roi:{roi}"].values, mini[f"roi:{roi}"].values)
    # Two voxels of V3 are in the file of LOC too: each stands once, in both regions.
    both = mini["roi:LOC"].values & mini["roi:V3"].values
    assert both.sum() == 2
    x = voxels[:, 0] * 2.5 - 96.5
    np.testing.assert_allclose(full.x.values, x)
    np.testing.assert_allclose(full.z.values, voxels[:, 2] * 2.75 - 78.5)


def test_ceilings_are_those_planted(twin):
    place, known = twin
    for subject in ("sub01", "sub05"):
        table = target_table(Algonauts2021(place, track="full").responses()[subject])
        for line in known[(known["subject"] == subject) & (known["roi"] != "rest")].itertuples():
            found = table.loc[table[f"roi:{line.roi}"], "ceiling"]
            assert abs(found.mean() - line.ceiling) < 0.03, line


def test_the_second_opening_does_not_touch_the_pickles(twin, monkeypatch):
    place, _ = twin
    dataset = Algonauts2021(place)
    first = dataset.responses()["sub04"].load()

    def never(path):
        raise AssertionError(path)

    monkeypatch.setattr(files, "read_pickle", never)
    start = time.process_time()
    block = dataset.responses()["sub04"]
    assert time.process_time() - start < 1
    assert block.identical(first)


def test_without_the_whole_brain_voxels_have_region_and_number(twin, tmp_path, store):
    shutil.copytree(twin[0] / PEOPLE / "mini_track", tmp_path / "mini_track")
    dataset = Algonauts2021(tmp_path)
    block = dataset.responses()["sub02"]
    assert {t.split(".")[0] for t in block.target.values} <= set(ROIS["mini"])
    assert block.target.values[0] == "LOC.0001"
    assert "x" not in block.coords
    assert (block["roi:LOC"].values & block["roi:V3"].values).sum() == 2
    assert len(dataset.stimuli()) == 300
    assert block.shape[0] == 300
    whole = Algonauts2021(twin[0]).responses()["sub02"]
    assert block.shape[1] == whole.shape[1]


def test_missing_regions_and_subjects_are_tolerated(twin, tmp_path, store):
    shutil.copytree(twin[0] / PEOPLE / "mini_track", tmp_path / PEOPLE / "mini_track")
    folder = tmp_path / PEOPLE / "mini_track"
    (folder / "sub01" / "LOC.pkl").unlink()
    shutil.rmtree(folder / "sub07")
    dataset = Algonauts2021(tmp_path)
    assert "roi:LOC" not in dataset.responses()["sub01"].coords
    assert list(dataset.responses()) == [s for s in SUBJECTS if s != "sub07"]
    assert roi_names(Algonauts2021(tmp_path, rois=("V1",)).responses()["sub02"]) == ("V1",)
    with pytest.raises(RecipeError, match="sub07"):
        Algonauts2021(tmp_path, subjects=("sub07",)).responses()
    with pytest.raises(FileError, match="no folders sub01"):
        Algonauts2021(tmp_path, track="full").stimuli()
    with pytest.raises(FileError, match="get them from http"):
        Algonauts2021(tmp_path / "nothing").stimuli()
    for field in ({"rois": ("V9",)}, {"quirks": ("inflate",)}):
        with pytest.raises(RecipeError, match="Valid: "):
            Algonauts2021(tmp_path, **field)


def test_the_right_model_reaches_the_known_scores(twin):
    place, known = twin
    found = predictions(Algonauts2021(place, track="full"), place)
    both = found.merge(known, on=["subject", "roi"])
    assert len(both) == 100
    by_roi = both.groupby("roi")[["found", "score"]].mean()
    assert (by_roi["found"] - by_roi["score"]).abs().max() < 0.02
    assert (both["found"] - both["score"]).abs().max() < 0.05


def test_shuffled_clips_find_nothing(twin):
    place, _ = twin
    dataset = Algonauts2021(place, subjects=("sub01", "sub02", "sub03", "sub04"))
    rng = np.random.default_rng(0)
    found = pd.concat([predictions(dataset, place, rng) for _ in range(6)])
    assert abs(found["found"].mean()) < 0.02


def test_order_on_disk_changes_nothing(twin, tmp_path, store):
    """Columns of a region's file and names behind the number of a clip say nothing."""
    shutil.copytree(twin[0], tmp_path / "other")
    place = tmp_path / "other"
    rng = np.random.default_rng(0)
    for subject in ("sub01", "sub02"):
        for roi in ("LOC", "V1"):
            file = place / PEOPLE / "mini_track" / subject / f"{roi}.pkl"
            values = read_pickle(file)["train"]
            write_pickle(file, {"train": values[:, :, rng.permutation(values.shape[2])]})
    for file in (place / FILMS).iterdir():
        file.rename(file.with_name(f"{file.name[:4]}_{rng.integers(1000)}.mp4"))
    subjects = ("sub01", "sub02")
    one, other = (Algonauts2021(p, subjects=subjects) for p in (twin[0], place))
    assert one.stimuli().ids == other.stimuli().ids
    for subject in subjects:
        ours, theirs = one.responses()[subject], other.responses()[subject]
        order = theirs.sel(target=ours.target.values)
        assert ours.identical(order)


def test_given_ceilings_replace_those_of_repeats(twin, tmp_path, store):
    place, _ = twin
    subjects = ("sub01",)
    block = Algonauts2021(place, subjects=subjects).responses()["sub01"]
    table = pd.DataFrame({"subject": "sub01", "target": block.target.values, "ceiling": 0.25})
    table.to_csv(tmp_path / "given.csv", index=False)
    given = Algonauts2021(place, subjects=subjects, noise_ceilings=tmp_path / "given.csv")
    assert (given.responses()["sub01"].ceiling.values == 0.25).all()
    table["ceiling"] = 25.0
    table.to_csv(tmp_path / "percent.csv", index=False)
    table[1:].assign(ceiling=0.5).to_csv(tmp_path / "less.csv", index=False)
    for name, told in (("percent", "fractions of variance"), ("less", "no ceiling for 1 voxels")):
        given = Algonauts2021(place, subjects=subjects, noise_ceilings=tmp_path / f"{name}.csv")
        with pytest.raises(DataError, match=told):
            given.responses()["sub01"]


def test_voxel_totals_of_the_challenge(real_data, tmp_path, store):
    meta = real_data / "algonauts2021_meta"
    counts, mask = meta / "voxel_counts.json", meta / "reliable_voxel_mask.nii"
    place = tmp_path / "real"
    Algonauts2021.twin(place, counts=counts, mask=mask, media=False, clips=(4, 2))
    mini, full = Algonauts2021(place), Algonauts2021(place, track="full")
    found = pd.concat({s: mini.columns(s) for s in SUBJECTS}, names=["subject"])
    assert len(found) == 29_623
    by_roi = found.groupby(["roi", "subject"]).size().unstack()[list(SUBJECTS)]
    listed = json.loads(counts.read_text())
    assert {r: by_roi.loc[r].tolist() for r in listed} == listed
    assert by_roi.sum(axis=1)["LOC"] == 13_244
    blocks = full.responses()
    assert sum(blocks[s].shape[1] for s in SUBJECTS) == 161_326
    assert Tree(place).file("full", "sub10", "WB").is_file()
