import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

from files.test_arrays import save_v73
from striate.data import has_truth, label_responses, slots
from striate.datasets.algonauts2019 import Algonauts2019
from striate.errors import DataError, FileError, StriateError
from striate.registry import build

KEYS = {"fmri": ("EVC_RDMs", "IT_RDMs"), "meg": ("MEG_RDMs_early", "MEG_RDMs_late")}


def rdms(people, images, samples=None, seed=0):
    shape = (people, images, images) if samples is None else (people, samples, images, images)
    values = np.random.default_rng(seed).random(shape)
    values = values + np.swapaxes(values, -1, -2)
    values[..., np.arange(images), np.arange(images)] = 0
    return values


def tree(root, people=3, modality="fmri", samples=None, hidden=False):
    """92 in a v7.3 file and 78 in a v5 file, with images for 78 alone."""
    first, second = KEYS[modality]
    train, test = root / "Training_Data" / "92_Image_Set", root / "Test_Data"
    train.mkdir(parents=True)
    (test / "78images").mkdir(parents=True)
    for k in range(78):
        (test / "78images" / f"image_{k + 1:03d}.jpg").write_bytes(b"")
    arrays = {first: rdms(people, 92, samples), second: rdms(people, 92, samples, 1)}
    save_v73(train / f"target_{modality}.mat", extra=np.zeros(3), **arrays)
    arrays = {first: rdms(people, 78, samples, 2), second: rdms(people, 78, samples, 3)}
    if not hidden:
        savemat(test / f"target_{modality}.mat", arrays | {"note": "extra"})
    return root


def mean_of(dataset, name="78"):
    blocks = [b for s, b in dataset.responses().items() if s.startswith(f"set{name}.")]
    mean = np.mean([b.values for b in blocks], axis=0)
    names = blocks[0].target.values
    regions = list(dict.fromkeys(names))
    mean = np.stack([mean[:, names == r].mean(axis=1) for r in regions], axis=1)
    return {"": label_responses(mean, slots(blocks[0]), regions)}


def test_both_containers_and_the_order_of_pairs(tmp_path):
    ours = Algonauts2019(tree(tmp_path), subjects=3)
    blocks = ours.responses()
    assert list(blocks) == [f"set{n}.sub0{k}" for n in (92, 78) for k in (1, 2, 3)]
    for name, count, seed in (("92", 92, 0), ("78", 78, 2)):
        block = blocks[f"set{name}.sub03"]
        assert block.shape == (count * (count - 1) // 2, 2)
        assert block.row.values[0] == f"set{name}.image_01|set{name}.image_02"
        assert list(block.stimulus_2.values[:2]) == [f"set{name}.image_02", f"set{name}.image_03"]
        for column, region in enumerate(("EVC", "IT")):
            want = squareform(rdms(3, count, seed=seed + column)[2], checks=False)
            np.testing.assert_allclose(block.values[:, column], want)
            assert block[f"roi:{region}"].values.tolist() == [column == 0, column == 1]
    stimuli = ours.stimuli()
    assert stimuli.table["part"].value_counts().to_dict() == {"train": 92, "test": 78}
    assert stimuli.table.loc["set92.image_01", "file"] == ""
    assert stimuli.table.loc["set78.image_10", "file"].endswith("image_010.jpg")
    call = ours.split().calls(stimuli)[0]
    assert (len(call.train), len(call.test)) == (92, 78)


def test_meg_has_time(tmp_path):
    tree(tmp_path, modality="meg", samples=5)
    ours = Algonauts2019(tmp_path, modality="meg", subjects=3)
    block = ours.responses()["set92.sub02"]
    assert block.shape == (4186, 10)
    assert list(block.target.values) == ["early"] * 5 + ["late"] * 5
    assert list(block.time.values) == [*range(5)] * 2
    want = squareform(rdms(3, 92, 5, 1)[1, 3], checks=False)
    np.testing.assert_allclose(block.values[:, 8], want)
    with pytest.raises(FileError, match=r"target_fmri.mat .*the fmri RDMs are missing|fmri"):
        Algonauts2019(tmp_path, test="92", subjects=3).responses()
    found = ours.official_score(ours.responses(), mean_of(ours))["official"]
    assert set(found["by_roi"]) == {"early", "late"} and found["value"] > 0
    table = ours.ceilings().set_index(["set", "roi"])
    assert found["raw"]["early"] == pytest.approx(table.loc[("78", "early"), "r2"])


def test_a_hidden_test_set_has_rows_without_truth(tmp_path):
    ours = Algonauts2019(tree(tmp_path, hidden=True), subjects=3)
    block = ours.responses()["set78.hidden"]
    assert block.shape == (3003, 2) and not has_truth(block).any()
    predicted = {
        "": label_responses(np.random.default_rng(0).random((3003, 2)), slots(block), ["EVC", "IT"])
    }
    assert ours.official_score(ours.responses(), predicted) == {}
    written = ours.write_submission(predicted, tmp_path / "out" / "deep")
    found = ours.check_submission(written)
    np.testing.assert_allclose(squareform(found["IT"]), predicted[""].values[:, 1])
    assert sorted(p.name for p in written.parent.iterdir()) == [
        "submit_fmri.mat",
        "submit_fmri.zip",
    ]
    assert zipfile.ZipFile(written).namelist() == ["submit_fmri.mat"]
    assert set(ours.check_submission(written.with_suffix(".mat"))) == {"EVC", "IT"}


def test_what_is_not_predicted_is_counted_and_nothing_is_written(tmp_path):
    ours = Algonauts2019(tree(tmp_path), subjects=3)
    predicted = mean_of(ours)
    predicted[""][5:7, 1] = np.nan
    with pytest.raises(DataError, match="2 of 3003 pairs of set 78 in IT"):
        ours.official_score(ours.responses(), predicted)
    with pytest.raises(DataError, match="2 of 3003"):
        ours.write_submission(predicted, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="3003 of 3003"):
        ours.write_submission({"": predicted[""].isel(target=[0])}, tmp_path / "out")


def test_a_region_without_predictions_makes_the_score_partial(tmp_path):
    ours = Algonauts2019(tree(tmp_path), subjects=3)
    predicted, truth = mean_of(ours), ours.responses()
    whole = ours.official_score(truth, predicted)
    assert set(whole) == {"official", "corrected"} and "of" not in whole["corrected"]
    found = ours.official_score(truth, {"": predicted[""].isel(target=[1])})
    assert set(found) == {"partial", "corrected"}
    for one in found.values():
        assert (one["not_predicted"], one["of"]) == (1, 2)
    own = whole["official"]["by_roi"]["IT"]
    assert found["partial"]["by_roi"] == {"IT": pytest.approx(own)}
    assert found["partial"]["value"] == pytest.approx(own)
    assert ours.official_score(truth, {}) == {}


def test_predictions_by_subject_are_averaged_like_the_submission(tmp_path):
    ours = Algonauts2019(tree(tmp_path), subjects=3)
    truth = ours.responses()
    several = {s: b for s, b in truth.items() if s.startswith("set78")}
    one = ours.official_score(truth, mean_of(ours))["official"]
    own = ours.official_score(several, several)["official"]
    assert own["raw"] == pytest.approx(one["raw"])
    written = ours.check_submission(ours.write_submission(several, tmp_path / "out"))
    np.testing.assert_allclose(squareform(written["EVC"]), mean_of(ours)[""].values[:, 0])


def test_the_score_is_the_slow_loop_and_a_flat_model_scores_nothing(tmp_path):
    ours = Algonauts2019(tree(tmp_path, modality="meg", samples=4), modality="meg", subjects=3)
    model = np.random.default_rng(9).random((3003, 2)) ** 3
    shown = slots(ours.responses()["set78.sub01"])
    found = ours.official_score(
        ours.responses(), {"": label_responses(model, shown, ["early", "late"])}
    )
    raw, signed = {}, {}
    for column, region in enumerate(("early", "late")):
        people = rdms(3, 78, 4, seed=2 + column)
        rho = [
            np.mean([spearmanr(model[:, column], squareform(m, checks=False))[0] for m in person])
            for person in people
        ]
        raw[region] = np.mean(np.square(rho))
        signed[region] = np.mean(np.sign(rho) * np.square(rho))
    official, corrected = found["official"], found["corrected"]
    assert official["raw"] == pytest.approx(raw, rel=1e-9)
    assert corrected["signed"] == pytest.approx(signed, rel=1e-9)
    assert official["value"] == pytest.approx(100 * sum(raw.values()) / (0.3562 + 0.4452))
    assert corrected["by_roi"]["late"] == pytest.approx(100 * signed["late"] / 0.4452)
    for entry in found.values():
        assert (entry["unit"], entry["name"]) == ("percent", "algonauts2019")
    flat = {"": label_responses(np.full((3003, 2), 0.3), shown, ["early", "late"])}
    found = ours.official_score(ours.responses(), flat)
    assert (found["official"]["value"], found["official"]["flat"]) == (0, 2)
    assert found["corrected"]["value"] == 0


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda r: r[:2], "holds 2 subjects, not 3: pass dataset.subjects=2"),
        (lambda r: r[:, :91, :91], r"shape \(3, 91, 91\)"),
        (lambda r: r[0], "shape"),
        (lambda r: r + np.eye(92), "diagonal is not zero"),
        (lambda r: r + np.triu(np.ones((92, 92)), 1), "3 of the matrices are not symmetric"),
        (lambda r: np.where(r > 1.9, np.nan, r), "NaN or infinite"),
    ],
)
@pytest.mark.parametrize("container", ["v5", "v7.3"])
def test_matrices_that_are_no_rdms(tmp_path, change, told, container):
    tree(tmp_path)
    path = tmp_path / "Training_Data" / "92_Image_Set" / "target_fmri.mat"
    arrays = {"EVC_RDMs": change(rdms(3, 92)), "IT_RDMs": rdms(3, 92)}
    save_v73(path, **arrays) if container == "v7.3" else savemat(path, arrays)
    with pytest.raises(DataError, match=told):
        Algonauts2019(tmp_path, subjects=3).responses()


def test_asymmetry_of_rounding_is_evened_out(tmp_path):
    tree(tmp_path)
    path = tmp_path / "Training_Data" / "92_Image_Set" / "target_fmri.mat"
    noise = 1e-9 * np.random.default_rng(0).random((3, 92, 92))
    save_v73(path, EVC_RDMs=rdms(3, 92) + noise, IT_RDMs=rdms(3, 92))
    block = Algonauts2019(tmp_path, subjects=3).responses()["set92.sub01"]
    np.testing.assert_allclose(
        block.values[:, 0], squareform(rdms(3, 92)[0], checks=False), atol=2e-9
    )


def test_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileError, match="no Training_Data, Test_Data"):
        Algonauts2019(tmp_path).stimuli()
    tree(tmp_path)
    ours = Algonauts2019(tmp_path, subjects=3)
    with pytest.raises(FileError, match="set 118 is to be learned from"):
        Algonauts2019(tmp_path, train=("118",)).stimuli()
    with pytest.raises(StriateError, match="unknown image set '93'"):
        Algonauts2019(tmp_path, train=("93",)).stimuli()
    with pytest.raises(DataError, match="both"):
        Algonauts2019(tmp_path, train=("78",)).stimuli()
    with pytest.raises(FileError, match="has neither"):
        Algonauts2019(tmp_path, test="118").stimuli()
    with pytest.raises(FileError, match="the meg RDMs are missing"):
        Algonauts2019(tmp_path, modality="meg").responses()
    file = tmp_path / "Test_Data" / "target_fmri.mat"
    savemat(file, {"EVC_RDM": rdms(3, 78)})
    with pytest.raises(DataError, match=r"unknown variable 'EVC_RDMs'.*did you mean 'EVC_RDM'"):
        ours.responses()
    for content in (b"", b"nothing of the kind" * 99):
        file.write_bytes(content)
        with pytest.raises(FileError, match=r"damaged|no MATLAB"):
            ours.responses()
    (tmp_path / "Test_Data" / "78images" / "image_99.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="image_99"):
        ours.stimuli()
    made = build("dataset", {"use": "algonauts2019", "path": str(tmp_path), "train": "92"})
    assert made.train == ("92",)


def test_bad_submissions(tmp_path):
    ours = Algonauts2019(tmp_path)
    good = rdms(1, 78)[0]
    for content, told in (
        ({"EVC_RDMs": good}, "unknown variable 'IT_RDMs'"),
        ({"EVC_RDMs": good, "IT_RDMs": good[:70, :70]}, r"shape \(70, 70\)"),
        ({"EVC_RDMs": good, "IT_RDMs": np.where(good > 1.9, np.nan, good)}, "NaN"),
        ({"EVC_RDMs": good, "IT_RDMs": np.triu(good)}, "not symmetric"),
    ):
        savemat(tmp_path / "submit_fmri.mat", content)
        with pytest.raises(DataError, match=told):
            ours.check_submission(tmp_path / "submit_fmri.mat")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("other.mat", b"")
    with pytest.raises(DataError, match=r"must hold submit_fmri.mat alone"):
        ours.check_submission(tmp_path / "x.zip")
    with pytest.raises(FileError, match="no submission"):
        ours.check_submission(tmp_path / "nowhere.zip")
    (tmp_path / "x.mat").write_bytes(b"junk")
    with pytest.raises(FileError, match="damaged"):
        ours.check_submission(tmp_path / "x.mat")


def test_the_challenge_itself(real_data, tmp_path):
    place = real_data / "algonauts2019"
    ours = Algonauts2019(place)
    assert len(ours.stimuli()) == 288
    table = ours.ceilings()
    assert len(table) == 6
    np.testing.assert_allclose(table["r2"], table["official"], atol=6e-5)
    np.testing.assert_array_less(table["lower"], table["upper"])
    with h5py.File(place / "Test_Data" / "target_fmri.mat") as file:
        assert file["EVC_RDMs"].shape == (78, 78, 15)
    small = Algonauts2019(place, train=("92",))
    truth = small.responses()
    predicted = mean_of(small)
    found = small.official_score(truth, predicted)
    assert found["official"]["value"] == pytest.approx(100, abs=0.1)
    assert found["official"]["p"]["EVC"] < 0.01
    assert found["corrected"]["by_roi"] == pytest.approx(found["official"]["by_roi"])
    opposite = {"": -predicted[""]}
    found = small.official_score(truth, opposite)
    assert found["official"]["value"] == pytest.approx(100, abs=0.1)
    assert found["corrected"]["value"] == pytest.approx(-100, abs=0.1)


def test_a_missing_meg_file_matters_only_when_asked_for(real_data):
    with pytest.raises(FileError, match="meg"):
        Algonauts2019(real_data / "algonauts2019", modality="meg").responses()


def test_trees_without_training_sets_can_be_scored(tmp_path):
    tree(tmp_path)
    shutil.rmtree(Path(tmp_path) / "Training_Data")
    ours = Algonauts2019(tmp_path, subjects=3)
    assert len(ours.stimuli()) == 78 and len(ours.responses()) == 3
