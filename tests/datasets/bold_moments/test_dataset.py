import pickle
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import assemble, row_table, stays_on_disk, target_table
from striate.datasets.bold_moments import BoldMoments, files, targets
from striate.datasets.bold_moments import twin as twins
from striate.datasets.converted import converted
from striate.errors import DataError, FileError, StriateError
from striate.files import Opaque, read_pickle, write_pickle
from striate.machine import Machine, using
from striate.scores import pearson
from striate.testing import check_dataset

B = "derivatives/versionB/MNI152/prepared_allvoxel_pkl"
A = "derivatives/versionA/MNI152/prepared_data/prepared_allvoxel_pkl/TRavg56789"


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory):
    with using(Machine(store=tmp_path_factory.mktemp("store"), quiet=True)):
        yield


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin") / "bmd"
    return place, twins.write(place, media=False)


@pytest.fixture(params=["A", "B"])
def dataset(request, twin):
    return BoldMoments(twin[0], version=request.param)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A corpus small enough to be written anew for every test."""
    plan = {"train": 12, "test": 6, "pixels": 32, "voxels": 2, "A": 3, "B": 3}
    monkeypatch.setitem(twins.SIZES, "tiny", plan)
    monkeypatch.setattr(twins, "REGIONS", ("V1v", "V1d", "FFA", "LOC", "MT"))
    monkeypatch.setitem(twins.LACKS, "sub-06", ("V1d",))
    twins.write(tmp_path / "bmd", media=False)
    return tmp_path / "bmd"


def features(place):
    ids = pd.read_csv(place / "ids.csv")["id"].tolist()
    kinds = {f.stem.removeprefix("features_"): np.load(f) for f in place.glob("features_*.npy")}
    return {k: pd.DataFrame(v, index=ids) for k, v in kinds.items()}


def mean(block):
    """Mean over the repeats there are, of films by row."""
    return np.nanmean(block.values.astype(float), axis=2)


def out_of_fold(X, Y, rng):
    X, P, fold = np.column_stack([X, np.ones(len(X))]), np.empty(Y.shape), rng.permutation(len(Y))
    for k in range(10):
        held = fold % 10 == k
        x = X[~held]
        P[held] = X[held] @ np.linalg.solve(x.T @ x, x.T @ Y[~held])
    return P


def kind_of(roi):
    own = files.CHALLENGE.get(roi, (roi,))[0]
    return next((k for k, of in twins.KINDS.items() if own in of), "late")


def test_least_squares_finds_the_known_scores_and_nothing_else(twin, dataset):
    place, truth = twin
    X, rng, shuffled = features(place), np.random.default_rng(0), []
    seen = 0
    for subject, block in dataset.responses().items():
        train = block.isel(row=np.flatnonzero(block.stimulus.values <= "vid1000"))
        Y = mean(train)
        known = truth[truth["subject"] == subject].set_index("roi")
        assert len(Y) >= 300
        for kind, table in X.items():
            x = table.loc[train.stimulus.values].to_numpy(float)
            P = pearson(Y, out_of_fold(x, Y, rng))
            mixed = x[rng.permutation(len(x))]
            half = np.arange(len(x)) < len(x) // 2
            weights = np.linalg.solve(mixed[half].T @ mixed[half], mixed[half].T @ Y[half])
            shuffled.append(pearson(Y[~half], mixed[~half] @ weights).mean())
            for roi, line in known.iterrows():
                if f"roi:{roi}" in block.coords and kind_of(roi) == kind:
                    here = block[f"roi:{roi}"].values
                    assert P[here].mean() == pytest.approx(line["score_train"], abs=0.02), roi
                    seen += 1
                elif f"roi:{roi}" in block.coords:
                    assert abs(P[block[f"roi:{roi}"].values].mean()) < 0.25
    assert seen == {"A": 50, "B": 52}[dataset.version] and abs(np.mean(shuffled)) < 0.02


def test_the_right_model_reaches_the_known_score_on_the_test(twin, dataset):
    place, truth = twin
    X = features(place)
    blocks, predicted = dataset.responses(), {}
    for subject, block in blocks.items():
        test = block.stimulus.values > "vid1000"
        Y, P = mean(block), np.full(block.shape[:2], np.nan)
        for roi in truth["roi"].unique():
            if f"roi:{roi}" in block.coords:
                here = block[f"roi:{roi}"].values
                x = X[kind_of(roi)].loc[block.stimulus.values].to_numpy(float)
                weights = np.linalg.lstsq(x[~test], Y[~test][:, here], rcond=None)[0]
                P[:, here] = x @ weights
        P = np.nan_to_num(P)
        predicted[subject] = assemble(P[test], row_table(block)[test], target_table(block))
        own = pearson(Y[test], P[test])
        known = truth[truth["subject"] == subject].set_index("roi")
        for roi in ("V1", "V2", "V3"):
            here = block[f"roi:{roi}"].values
            assert own[here].mean() == pytest.approx(known.loc[roi, "score"], abs=0.03)
    told = dataset.official_score(blocks, predicted)
    for name in ("official", "corrected"):
        assert told[name]["value"] == pytest.approx(1, abs=0.03)
        assert told[name]["unit"] == "r" and told[name]["name"] == "algonauts2021"
        assert set(files.CHALLENGE) < set(told[name]["by_roi"])


def test_labels(dataset):
    stimuli, blocks = dataset.stimuli(), dataset.responses()
    assert list(blocks) == ["sub-01", "sub-06"]
    assert stimuli.ids[0] == "vid0001" and stimuli.ids[-1] == "vid1040" and len(stimuli) == 360
    assert stimuli.table["part"].value_counts().to_dict() == {"train": 320, "test": 40}
    assert stimuli.table["text"].str.contains("times on the").all()
    (call,) = dataset.split().calls(stimuli)
    assert (len(call.train), len(call.test)) == (320, 40)
    first, second = blocks["sub-01"], blocks["sub-06"]
    assert first.dims == ("row", "target", "repeat") and first.sizes["repeat"] == 10
    np.testing.assert_array_equal(first.row.values, stimuli.ids)
    known = (~np.isnan(first.values)).sum(axis=2)
    assert (known[:320] == 3).all() and (known[320:] == 10).all()
    assert "roi:TOS" in first.coords and "roi:TOS" not in second.coords
    assert ("roi:MT" in first.coords) == (dataset.version == "B")
    one = first["roi:V1"].values
    np.testing.assert_array_equal(one, first["roi:V1v"].values | first["roi:V1d"].values)
    both = first["roi:FFA"].values & first["roi:LOC"].values
    assert both.sum() == 2  # written into the files of both regions
    assert not (first["roi:V1"].values & first["roi:V2"].values).any()
    sides = set(first.hemisphere.values) if "hemisphere" in first.coords else set()
    assert sides == ({"lh", "rh"} if dataset.version == "B" else set())
    named = first.target.values[0]
    assert named.startswith("v0") if dataset.version == "B" else named == "V1v_0"
    assert second.target.values[0] == {"A": "V1v_0", "B": "lV1v_0"}[dataset.version]


def test_values_are_those_of_the_files(twin):
    place, _ = twin
    block = BoldMoments(place, version="A", rois=("V1d",)).responses()["sub-06"]
    with (place / A / "sub-06" / "V1d_TRavg-56789_allvoxel.pkl").open("rb") as stream:
        raw = pickle.load(stream)
    assert set(raw) == {"train_data_allvoxel", "test_data_allvoxel"}
    np.testing.assert_allclose(
        block.values[:320, :, :3], raw["train_data_allvoxel"].transpose(0, 2, 1), rtol=1e-6
    )
    np.testing.assert_allclose(
        block.values[320:], raw["test_data_allvoxel"].transpose(0, 2, 1), rtol=1e-6
    )


def test_the_contract(dataset):
    check_dataset(dataset)


def test_opening_reads_no_pickle_again_and_no_values(twin, dataset, monkeypatch):
    dict(dataset.responses())

    def refuse(path):
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(files, "read_pickle", refuse)
    block = dataset.responses()["sub-01"]
    assert stays_on_disk(block) and stays_on_disk(block.isel(target=slice(5)))
    assert np.isfinite(block.isel(row=0, target=0, repeat=0).item())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_part_of_a_block_is_that_part_of_the_whole(twin, data):
    block = BoldMoments(twin[0], version="A", rois=("LOC", "FFA")).responses()["sub-01"]
    whole = block.values
    rows = data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6))
    columns = data.draw(st.lists(st.integers(0, whole.shape[1] - 1), min_size=1, max_size=6))
    np.testing.assert_array_equal(
        block.isel(row=rows, target=columns).values, whole[np.ix_(rows, columns)]
    )


def test_ceilings(twin):
    place, truth = twin
    known = truth[truth["subject"] == "sub-01"].set_index("roi")["ceiling"]
    for ceiling, close in (("carried", 1e-6), ("repeats", 0.03)):
        block = BoldMoments(place, ceiling=ceiling).responses()["sub-01"]
        for roi in ("V1", "LOC", "MT"):
            found = block.ceiling.values[block[f"roi:{roi}"].values].mean()
            assert found == pytest.approx(known[roi], abs=close)
    path = place / B / "sub-01" / "sub-01_roi-lV1v_betas_normalized.pkl"
    carried = read_pickle(path)["test_noiseceiling_allvoxel"]
    assert carried.max() > 1  # percent


@pytest.mark.parametrize(("repeats", "percent"), [(1, 50), (3, 75), (10, 90.909)])
def test_the_noise_ceiling_of_an_ncsnr_of_one(repeats, percent):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4000, 200, repeats + (repeats == 1)))
    values = rng.standard_normal((4000, 200, 1)) + noise
    if repeats > 1:
        found = files.noise_ceiling(values.transpose(0, 2, 1).astype("f4"))
        assert 100 * found.mean() == pytest.approx(percent, abs=0.3)
    from striate.scores import nsd_noise_ceiling

    exact = nsd_noise_ceiling(np.ones(1), [0] * (repeats - 1) + [1])
    assert 100 * exact[0] == pytest.approx(percent, abs=1e-3)


def test_the_noise_ceiling_is_the_published_formula():
    betas = np.random.default_rng(1).standard_normal((30, 10, 6)).astype("f4")
    betas += np.linspace(0, 2, 6, dtype="f4") * betas[:, :1]
    for k, found in enumerate(files.noise_ceiling(betas)):
        one = betas[:, :, k].astype(float)
        noise = np.mean([np.var(row, ddof=1) for row in one])
        ratio = np.sqrt(max(np.var(one) - noise, 0)) / np.sqrt(noise)
        assert found == pytest.approx(ratio**2 / (ratio**2 + 1 / 10), abs=1e-6)
    assert files.noise_ceiling(np.ones((4, 10, 1), dtype="f4"))[0] == 0


def test_normalisation_by_session():
    rng = np.random.default_rng(2)
    betas, session = rng.standard_normal((40, 3)) * 5 + 2, ["s1"] * 25 + ["s2"] * 15
    train = rng.random(40) < 0.6
    found = files.session_normalised(betas, session, train)
    for name in ("s1", "s2"):
        mine = np.array(session) == name
        for k in range(3):
            known = betas[mine & train, k]
            expected = (betas[mine, k] - np.mean(known)) / np.std(known, ddof=1)
            np.testing.assert_allclose(found[mine, k], expected)
    with pytest.raises(DataError, match="'s2' has 0 training"):
        files.session_normalised(betas, session, np.array(session) == "s1")


def official(truth, repeats, guess, regions):
    """The 2021 score, slowly."""
    values = {}
    for name, mine in regions.items():
        people = []
        for subject, here in mine.items():
            scores = []
            for k in np.flatnonzero(here):
                r = np.corrcoef(truth[subject][:, k], guess[subject][:, k])[0, 1]
                found = []
                for half in combinations(range(10), 5):
                    rest = [j for j in range(10) if j not in half]
                    one = repeats[subject][:, k, list(half)].mean(axis=1)
                    other = repeats[subject][:, k, rest].mean(axis=1)
                    rho = np.corrcoef(one, other)[0, 1]
                    found.append(2 * rho / (1 + rho))
                scores.append(r / np.sqrt(np.mean(found)))
            people.append(np.mean(scores))
        values[name] = np.mean(people)
    return np.mean(list(values.values())), values


def test_the_official_score_is_that_of_a_slow_loop(twin):
    ours = BoldMoments(twin[0], version="A", rois=("V4", "FFA"))
    blocks = ours.responses()
    rng = np.random.default_rng(3)
    truth, repeats, guess, predicted, prepared = {}, {}, {}, {}, {}
    for subject, block in blocks.items():
        test = block.stimulus.values > "vid1000"
        repeats[subject] = block.values[test].astype(float)
        truth[subject] = repeats[subject].mean(axis=2)
        guess[subject] = truth[subject] + rng.standard_normal(truth[subject].shape)
        rows, own = row_table(block)[test], target_table(block)
        order = rng.permutation(test.sum())
        predicted[subject] = assemble(guess[subject][order], rows.iloc[order], own)
        prepared[subject] = assemble(truth[subject], rows, own)
    regions = {n: {s: b[f"roi:{n}"].values for s, b in blocks.items()} for n in ("V4", "FFA")}
    value, by_roi = official(truth, repeats, guess, regions)
    for measured in (blocks, prepared):
        told = ours.official_score(measured, predicted)
        assert told["official"]["value"] == pytest.approx(value, abs=1e-6)
        for name, one in by_roi.items():
            assert told["official"]["by_roi"][name] == pytest.approx(one, abs=1e-6)
        assert told["corrected"]["value"] == pytest.approx(value, abs=0.02)
    against = {s: b.copy(data=-b.values) for s, b in predicted.items()}
    for name, one in ours.official_score(prepared, against).items():
        assert one["value"] == pytest.approx(-told[name]["value"])
    learned = {s: b.isel(row=slice(0, 320)) for s, b in blocks.items()}
    assert ours.official_score(learned, predicted) == {}
    predicted["sub-06"] = predicted["sub-06"].isel(row=slice(1, None))
    with pytest.raises(DataError, match=r"20 of 800 responses to films of the test of sub-06"):
        ours.official_score(prepared, predicted)
    first = prepared["sub-01"].sizes["target"]
    del predicted["sub-06"]
    found = ours.official_score(prepared, predicted)
    assert set(found) == {"partial", "corrected"}
    alone = ours.official_score({"sub-01": prepared["sub-01"]}, predicted)
    for name, same in (("partial", "official"), ("corrected", "corrected")):
        assert found[name]["value"] == pytest.approx(alone[same]["value"])
        assert (found[name]["not_predicted"], found[name]["of"]) == (20, 20 + first)


def test_there_is_no_submission(twin, tmp_path):
    with pytest.raises(StriateError, match="BoldMoments has no submission format"):
        BoldMoments(twin[0]).write_submission({}, tmp_path)


def test_the_whole_brain_is_labelled_by_its_responses(twin, dataset):
    blocks = replace(dataset, rois=("WB",)).responses()
    regions = dataset.responses()
    for subject, block in blocks.items():
        apart = regions[subject]
        inside = target_table(block).filter(like="roi:").any(axis=1).to_numpy()
        assert (~inside).sum() == 20 and inside.sum() == apart.sizes["target"]
        for roi in ("V1", "FFA", "LOC"):
            one = mean(block.isel(target=np.flatnonzero(block[f"roi:{roi}"].values)))
            other = mean(apart.isel(target=np.flatnonzero(apart[f"roi:{roi}"].values)))
            np.testing.assert_allclose(np.sort(one[0]), np.sort(other[0]))
    themselves = {s: b.mean("repeat") for s, b in blocks.items()}
    told = replace(dataset, rois=("WB",)).official_score(blocks, themselves)
    assert told["official"]["value"] > 1 and "V1" in told["official"]["by_roi"]


def test_regions_asked_for(twin):
    place, _ = twin
    assert list(BoldMoments(place, rois=("TOS",)).responses()) == ["sub-01"]
    block = BoldMoments(place, rois=("V1", "BMDgeneral")).responses()["sub-06"]
    assert "roi:LOC" in block.coords and block["roi:V1"].values.sum() > 0
    assert list(BoldMoments(place, subjects=("sub-06",)).responses()) == ["sub-06"]
    for fields, told in (
        ({"rois": ("V1a",)}, "did you mean 'V1"),
        ({"subjects": ("sub-02",)}, "sub-01, sub-06"),
        ({"space": "fsaverage"}, "no subjects"),
        ({"version": "A", "space": "fsLR32k"}, "version A has no space"),
        ({"kind": "reliable"}, "dataset.version=A"),
        ({"kind": "reliable", "version": "A"}, "no subjects"),
        ({"rois": ("V1",), "space": "fsLR32k"}, "has no regions"),
        ({"subjects": ("sub-06",), "rois": ("TOS",)}, "no subject in"),
    ):
        with pytest.raises(StriateError, match=told):
            BoldMoments(place, **fields).responses()
    with pytest.raises(FileError, match=r"openneuro\.org"):
        BoldMoments(place / "mp4_h264").responses()
    assert list(BoldMoments(place / "derivatives").responses()) == ["sub-01", "sub-06"]


def test_voxels_in_another_order_change_no_score(small):
    ours = BoldMoments(small, subjects=("sub-01",))
    rng = np.random.default_rng(4)

    def score():
        blocks = ours.responses()
        mean_of = {s: b.mean("repeat") for s, b in blocks.items()}
        told = ours.official_score(blocks, {"sub-01": fixed(mean_of["sub-01"])})
        return told["official"]

    def fixed(block):
        """A prediction that depends on the labels of row and target alone."""
        seeds = [[abs(hash((r, t))) % 997 for t in block.target.values] for r in block.row.values]
        return block.copy(data=np.array(seeds, dtype=float))

    before = score()
    for path in sorted((small / B / "sub-01").glob("*.pkl")):
        name = path.name.split("_roi-")[1].split("_")[0]
        index = small / f"derivatives/versionB/MNI152/GLM/sub-01/ROIs/ROI-{name}_indices.pkl"
        found, (voxels, places, mask) = read_pickle(path), read_pickle(index)
        order = rng.permutation(len(voxels))
        write_pickle(path, {k: v[..., order] for k, v in reversed(found.items())})
        write_pickle(index, (voxels[order], places[order], mask))
    after = score()
    assert after["value"] == pytest.approx(before["value"], abs=1e-9)
    assert after["by_roi"] == pytest.approx(before["by_roi"], abs=1e-9)


def test_surfaces_are_read_by_the_names_of_films(tmp_path, monkeypatch):
    place = tmp_path / "bmd"
    monkeypatch.setitem(twins.SIZES["tiny"], "train", 300)
    for module in (files, targets, twins):
        monkeypatch.setitem(module.SURFACES, "fsaverage", 150)
        monkeypatch.setitem(module.SURFACES, "fsLR32k", 220)
    monkeypatch.setattr(targets, "CORTEX", (90, 180))
    twins.write(place, media=False, versions=(), surfaces=("fsaverage", "fsLR32k"))
    X = features(place)["late"]
    for space, names in (("fsaverage", "lh.000000"), ("fsLR32k", "grayordinate.00000")):
        ours = BoldMoments(place, space=space)
        block = ours.responses()["sub-01"]
        assert block.target.values[0] == names and block.sizes["target"] == {
            "fsaverage": 300, "fsLR32k": 220}[space]  # fmt: skip
        sides = pd.Series(block.hemisphere.values).value_counts().to_dict()
        assert sides == (
            {"lh": 150, "rh": 150} if space == "fsaverage" else {"lh": 90, "rh": 90, "": 40}
        )
        np.testing.assert_array_equal(block.row.values, ours.stimuli().ids)
        train = block.stimulus.values <= "vid1000"
        Y = mean(block)[train]
        x = X.loc[block.stimulus.values[train]].to_numpy(float)
        P = pearson(Y, out_of_fold(x, Y, np.random.default_rng(0)))
        width = {"fsaverage": 150, "fsLR32k": 220}[space]
        planted = np.arange(len(P)) % width % 50 == 0
        assert P[planted].mean() == pytest.approx(np.sqrt(0.75), abs=0.02)
        assert abs(P[~planted].mean()) < 0.1
        assert block.ceiling.values[planted].mean() == pytest.approx(1 / 1.1, abs=0.03)
        assert np.isfinite(
            ours.official_score({"sub-01": block}, {"sub-01": block.mean("repeat")})["official"][
                "value"
            ]
        )
        assert not [f for f in ours.inspect() if f.kind == "wrong"]
    path = files.Layout(place / "derivatives", "B", "fsLR32k", "allvoxel").betas_file(
        "sub-01", "test", ""
    )
    path.unlink()
    hidden = ours.responses()["sub-01"]
    assert np.isnan(hidden.values[300:]).all() and hidden.shape == (402, 220, 3)
    assert "its test is hidden" in "\n".join(map(str, ours.inspect()))


def test_the_mask_in_an_index_file_tells_millimetres(small):
    nib = pytest.importorskip("nibabel")
    affine = np.array([[-2.5, 0, 0, 78], [0, 2.5, 0, -112], [0, 0, 2.5, -70], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(np.zeros(twins.GRID, dtype="u1"), affine)
    path = small / "derivatives/versionB/MNI152/GLM/sub-01/ROIs/ROI-lV1v_indices.pkl"
    voxels, places, _ = read_pickle(path)
    path.write_bytes(pickle.dumps((voxels, places, image), protocol=4))
    block = BoldMoments(small, rois=("V1v",)).responses()["sub-01"]
    table = target_table(block)
    expected = voxels @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(table.loc[table["hemisphere"] == "lh", ["x", "y", "z"]], expected)
    assert table.loc[table["hemisphere"] == "rh", "x"].isna().all()


def test_the_affine_of_an_image_that_stays_shut():
    nib = pytest.importorskip("nibabel")
    affine = np.array([[2.5, 0, 0, -78], [0, 2.5, 0, -112], [0, 0, 2, -70], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(np.zeros((3, 4, 5), dtype="u1"), affine)
    shut = Opaque("nibabel.nifti1.Nifti1Image")
    for state, known in (
        ({"_affine": affine}, True),
        (image.to_bytes(), True),
        (image.to_bytes()[:300], False),
        ({"_affine": affine[:3]}, False),
        ({"_affine": np.full((4, 4), np.inf)}, False),
        ({}, False),
        (None, False),
    ):
        shut.state = state
        found = files.affine_of(shut)
        assert found.shape == (4, 4)
        np.testing.assert_allclose(found, affine if known else np.full((4, 4), np.nan))


def test_index_files_that_do_not_fit_can_be_done_without(small):
    path = small / "derivatives/versionB/MNI152/GLM/sub-01/ROIs/ROI-lV1v_indices.pkl"
    voxels, places, _ = read_pickle(path)
    ours = BoldMoments(small, subjects=("sub-06", "sub-01"))
    for content in ((voxels[1:], places, None), {"voxels": voxels}, (voxels.astype(float),)):
        write_pickle(path, content)
        with pytest.raises(FileError, match=r"ROI-lV1v_indices\.pkl .*dataset\.names=columns"):
            ours.responses()["sub-01"]
    block = replace(ours, names="columns").responses()["sub-01"]
    assert block.target.values[0] == "lV1v_0"


@pytest.mark.parametrize("form", ["rows", "columns", "tuple", "volume"])
def test_indices_in_every_form(form, tmp_path):
    voxels = np.array([[0, 2, 1], [1, 0, 3], [2, 2, 2], [2, 3, 0], [4, 4, 4]])
    volume = np.zeros((5, 5, 5))
    volume[tuple(voxels.T)] = 1
    forms = {"rows": voxels, "columns": voxels.T, "tuple": tuple(voxels.T), "volume": volume}
    write_pickle(tmp_path / "i.pkl", (forms[form], np.arange(5), None))
    found = files.read_voxels(tmp_path / "i.pkl")
    np.testing.assert_array_equal(found["voxels"], voxels)
    assert np.isnan(found["affine"]).all()


class Canary:
    def __reduce__(self):
        return (open, ("/tmp/striate_canary_bmd", "w"))


def test_hostile_pickles_run_nothing(small, tmp_path):
    from pathlib import Path

    path = small / B / "sub-06" / "sub-06_roi-lV1v_betas_normalized.pkl"
    path.write_bytes(pickle.dumps({"train_data_allvoxel": Canary()}))
    with pytest.raises(FileError, match="lV1v"):
        BoldMoments(small).responses()["sub-06"]
    assert not Path("/tmp/striate_canary_bmd").exists()
    told = [str(f) for f in BoldMoments(small).inspect() if f.kind == "wrong"]
    assert len(told) == 1 and "lV1v" in told[0]


def test_files_of_unequal_length_are_refused(small):
    path = small / A / "sub-06" / "LOC_TRavg-56789_allvoxel.pkl"
    found = read_pickle(path)
    found["train_data_allvoxel"] = found["train_data_allvoxel"][:-1]
    write_pickle(path, found)
    with pytest.raises(DataError, match=r"has 11 films of train, but .* 12"):
        BoldMoments(small, version="A").responses()["sub-06"]


def test_reliable_voxels_by_any_name(small):
    whole = small / A
    reliable = small / "derivatives/versionA/MNI152/prepared_data/prepared_reliable_pkl/TRavg56789"
    (reliable / "sub-01").mkdir(parents=True)
    found = read_pickle(whole / "sub-01" / "LOC_TRavg-56789_allvoxel.pkl")
    short = {k.removesuffix("_allvoxel"): v[..., ::2] for k, v in found.items()}
    write_pickle(reliable / "sub-01" / "LOC_TRavg-56789_testing.pkl", short)
    block = BoldMoments(small, version="A", kind="reliable").responses()["sub-01"]
    np.testing.assert_allclose(block.values[0, :, 0], short["train_data"][0, 0], rtol=1e-6)


def test_a_file_without_ceilings_has_none(small):
    path = small / B / "sub-06" / "sub-06_roi-lV1v_betas_normalized.pkl"
    found = converted(path, lambda: files.read_region(path), targets.FORM)
    assert found["train"].dtype == np.float32 and "ceiling" not in found


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_mutated_region_file_is_refused_or_keeps_its_shape(tmp_path_factory, data):
    rng = np.random.default_rng(5)
    right = {
        "train_data_allvoxel": rng.standard_normal((4, 3, 2)).astype("f4"),
        "test_data_allvoxel": rng.standard_normal((3, 10, 2)),
        "test_noiseceiling_allvoxel": np.array([10.0, 20.0]),
    }
    path = tmp_path_factory.mktemp("mutated") / "V1v.pkl"
    write_pickle(path, right)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        found = files.read_region(path)
    except StriateError as error:
        assert str(path) in str(error)
        return
    assert found["train"].shape == (4, 3, 2) and found["test"].shape == (3, 10, 2)
    assert found["train"].dtype == found["test"].dtype == np.float32
    assert (
        found["repeats"].shape == (2,) and ((found["repeats"] >= 0) & (found["repeats"] <= 1)).all()
    )
