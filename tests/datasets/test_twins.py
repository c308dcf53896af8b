import numpy as np
import pandas as pd
import pytest

from striate.data import label_responses, slots
from striate.datasets.algonauts2019 import Algonauts2019
from striate.datasets.check import summary
from striate.datasets.folder import Folder
from striate.errors import FileError
from striate.scores import pearson, split_half


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin") / "folder"
    return place, Folder.twin(place)


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin") / "challenge"
    return place, Algonauts2019.twin(place)


def features(place, kind):
    ids = pd.read_csv(place / "ids.csv")["id"].tolist()
    return pd.DataFrame(np.load(place / f"features_{kind}.npy"), index=ids)


def predictions(X, Y, fold):
    """Least squares with an intercept, out of fold."""
    X, P = np.column_stack([X, np.ones(len(X))]), np.empty(Y.shape)
    for k in np.unique(fold):
        weights = np.linalg.lstsq(X[fold != k], Y[fold != k], rcond=None)[0]
        P[fold == k] = X[fold == k] @ weights
    return P


def score(X, Y, fold):
    return float(np.mean(pearson(Y, predictions(X, Y, fold))))


def test_least_squares_finds_the_known_scores_and_nothing_else(twin):
    place, truth = twin
    blocks = Folder(place).responses()
    X = {kind: features(place, kind) for kind in ("early", "late")}
    rng = np.random.default_rng(0)
    shuffled = []
    for line in truth.itertuples():
        block = blocks[line.subject]
        Y = block.values[:, block[f"roi:{line.roi}"].values].astype(float)
        fold = rng.permutation(len(Y)) % 10
        own = X[line.roi].loc[block.stimulus.values].to_numpy()
        other = X["late" if line.roi == "early" else "early"].loc[block.stimulus.values].to_numpy()
        assert score(own, Y, fold) == pytest.approx(line.score, abs=0.02)
        assert abs(score(other, Y, fold)) < 0.25
        np.testing.assert_allclose(block.ceiling.values[block[f"roi:{line.roi}"]], line.ceiling)
        for _ in range(25):
            half = np.arange(len(Y)) < len(Y) // 2
            mixed = own[rng.permutation(len(Y))]
            weights = np.linalg.lstsq(mixed[half], Y[half], rcond=None)[0]
            shuffled.append(np.mean(pearson(Y[~half], mixed[~half] @ weights)))
    assert len(blocks) == 2 and abs(np.mean(shuffled)) < 0.02


def test_subjects_saw_different_images_in_different_orders(twin):
    place, _ = twin
    blocks = Folder(place).responses()
    seen = [set(b.stimulus.values) for b in blocks.values()]
    assert 0 < len(seen[0] & seen[1]) < min(map(len, seen))
    assert min(map(len, seen)) >= 300
    assert blocks["sub01"].sizes["target"] != blocks["sub02"].sizes["target"]
    suffixes = {f.rsplit(".", 1)[1] for f in Folder(place).stimuli().table["file"]}
    assert suffixes == {"jpg", "png"}


def test_repeats_show_the_same_ceilings(twin):
    place, truth = twin
    ours = Folder(place, response_file="repeats", axes=("stimulus", "target", "repeat"))
    blocks = ours.responses()
    for line in truth.itertuples():
        block = blocks[line.subject]
        values = block.values[:, block[f"roi:{line.roi}"].values]
        assert values.shape[2] == 3
        assert np.mean(split_half(values, splits=20)) == pytest.approx(line.ceiling, abs=0.03)


def test_a_twin_is_the_same_for_the_same_seed_and_overwrites_nothing(twin, tmp_path):
    place, _ = twin
    with pytest.raises(FileError, match="not empty"):
        Folder.twin(place)
    Folder.twin(tmp_path / "again", seed=0)
    for name in ("responses/sub02.npy", "features_late.npy", "images/leaves9.png"):
        assert (tmp_path / "again" / name).read_bytes() == (place / name).read_bytes()
    assert sum(f.stat().st_size for f in place.rglob("*")) < 10e6


def test_the_right_model_scores_as_planted(challenge):
    place, truth = challenge
    known = truth.set_index(["set", "roi"])
    for modality, regions in (("fmri", ("EVC", "IT")), ("meg", ("early", "late"))):
        ours = Algonauts2019(place, modality=modality)
        blocks = ours.responses()
        block = blocks["set78.sub01"]
        i, j = np.triu_indices(78, 1)
        model = [np.load(place / "Test_Data" / f"model_{r}.npy")[i, j] for r in regions]
        predicted = {"": label_responses(np.stack(model, axis=1), slots(block), list(regions))}
        both = ours.official_score(blocks, predicted)
        found, corrected = both["official"], both["corrected"]
        mixed = np.random.default_rng(0).permutation(np.stack(model, axis=1))
        wrong = {"": label_responses(mixed, slots(block), list(regions))}
        chance = ours.official_score(blocks, wrong)["official"]
        for region in regions:
            line = known.loc[("78", region)]
            assert found["raw"][region] == pytest.approx(line["r2"], abs=0.01)
            assert corrected["signed"][region] == pytest.approx(found["raw"][region])
            assert chance["raw"][region] < 0.005
        table = ours.ceilings().set_index(["set", "roi"])
        for key, line in table.iterrows():
            assert line["r2"] == pytest.approx(known.loc[key, "ceiling"], abs=0.01)


def test_both_containers_and_namings(challenge):
    place, _ = challenge
    head = (place / "Training_Data/92_Image_Set/target_fmri.mat").read_bytes()[:10]
    assert head == b"MATLAB 7.3"
    assert (place / "Test_Data/target_meg.mat").read_bytes()[:10] == b"MATLAB 5.0"
    assert (place / "Training_Data/118_Image_Set/118images/image_001.jpg").is_file()
    ours = Algonauts2019(place)
    assert ours.stimuli().ids[92] == "set118.image_001"
    assert (ours.stimuli().table["file"] != "").all()
    assert Algonauts2019(place, modality="meg").responses()["set92.sub15"].shape == (4186, 40)


def test_summaries(twin, challenge, tmp_path):
    lines = summary(Folder(twin[0], response_file="repeats", axes=("stimulus", "target", "repeat")))
    told = "\n".join(lines)
    assert "480 stimuli: 480 images, 0 without a file, 0 unreadable" in told
    assert "64 × 64 (480)" in told and "exact duplicates: 0" in told
    assert "subject sub01: 320 rows × 88 targets; early 48, late 40" in told
    assert "repeats: 3; 0 responses without any" in told
    assert "ceiling (given): median 0.885" in told and "fold4: 384 stimuli" in told
    told = "\n".join(summary(Algonauts2019(challenge[0])))
    assert "288 stimuli: 288 images" in told and "a row is a pair" in told
    assert "subjects set92.sub01, set92.sub02, set92.sub03, … (15 in all): 4186 rows" in told
    assert "official" in told and "test: 210 stimuli to learn from, 78 to predict" in told


def test_a_summary_tells_what_is_wrong(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    (tmp_path / "images" / "b.png").write_bytes(b"no image")
    np.save(tmp_path / "responses.npy", np.array([[1.0, np.nan], [1.0, 2.0]]))
    told = "\n".join(summary(Folder(tmp_path, axes=("stimulus", "target"), missing="keep")))
    assert "2 unreadable" in told and "missing: 1 of 4" in told and "2 targets never vary" in told
    assert "split: 5 folds need" in told
