import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from striate.data import has_truth, row_table
from striate.datasets.algonauts2025 import Algonauts2025
from striate.datasets.algonauts2025 import twin as made
from striate.errors import DataError
from striate.scores import algonauts2025, pearson

SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-05")


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A tree without films, its truth."""
    place = tmp_path_factory.mktemp("twin") / "algonauts2025"
    return place, made.write(place, media=False)


def released(root):
    """The answers put beside the responses."""
    shutil.copytree(root / "answers", root / "fmri", dirs_exist_ok=True)
    return root


def planted(place, kind):
    ids = pd.read_csv(place / "ids.csv")["id"]
    return pd.DataFrame(np.load(place / f"features_{kind}.npy"), index=ids)


def noisy(blocks, scale=1.0, seed=0):
    """Predictions that are the truth with noise, labelled alike."""
    rng = np.random.default_rng(seed)
    return {
        s: b.copy(data=b.values + scale * rng.standard_normal(b.shape).astype(np.float32))
        for s, b in blocks.items()
    }


def followed(place, kind, table):
    """The planted features of the chunk three before each sample, and a column of ones."""
    at = zip(table["movie"], table["sample"], strict=True)
    x = planted(place, kind).loc[[f"{m}#{max(i - 3, 0):04d}" for m, i in at]].to_numpy(float)
    return np.column_stack([x, np.ones(len(x))])


def test_least_squares_finds_the_known_scores_and_nothing_else(twin):
    place, truth = twin
    rng, shuffled = np.random.default_rng(0), []
    for subject, block in Algonauts2025(place).responses().items():
        block = block.isel(row=np.flatnonzero(has_truth(block))).load()
        table, values = row_table(block), block.values.astype(float)
        fold = pd.factorize(table["movie"])[0] % 7
        half = fold < 4
        assert len(table) >= 300
        for line in truth[truth["subject"] == subject].itertuples():
            x = followed(place, made.NETWORKS[line.roi][0], table)
            y = values[:, block[f"roi:{line.roi}"].values]
            p = np.empty(y.shape)
            for k in np.unique(fold):
                rest = fold != k
                p[~rest] = x[~rest] @ (np.linalg.pinv(x[rest]) @ y[rest])
            assert pearson(y, p).mean() == pytest.approx(line.score, abs=0.02)
            assert line.ceiling == pytest.approx(line.score**2, abs=1e-5)
            for _ in range(12):
                z = rng.permutation(x)
                p = z[~half] @ (np.linalg.pinv(z[half]) @ y[half])
                shuffled.append(pearson(y[~half], p).mean())
    assert len(truth) == 28 and abs(np.mean(shuffled)) < 0.02


def test_the_answers_follow_the_same_signal(twin, tmp_path):
    """What is learned from films to learn from predicts the tests, in both directions."""
    place, truth = twin
    root = released(shutil.copytree(place, tmp_path / "tree"))
    for test in ("friends-s7", "ood"):
        block = Algonauts2025(root, subjects=(3,), test=test).responses()["sub-03"].load()
        table, values = row_table(block), block.values.astype(float)
        part = table["season"].str.startswith(test).to_numpy()
        for line in truth[truth["subject"] == "sub-03"].itertuples():
            if test == "ood" and line.roi == "Default":
                continue  # half of these films have no words
            x = followed(place, made.NETWORKS[line.roi][0], table)
            y = values[:, block[f"roi:{line.roi}"].values]
            weights = np.linalg.pinv(x[~part]) @ y[~part]
            assert pearson(y[part], x[part] @ weights).mean() == pytest.approx(line.score, abs=0.06)


def test_scores_as_published(twin, tmp_path):
    root = released(shutil.copytree(twin[0], tmp_path / "tree"))
    ours = Algonauts2025(root)
    blocks = {s: b.load() for s, b in ours.responses().items()}
    assert all(has_truth(b).all() for b in blocks.values())
    predicted = noisy(blocks, 2.0)
    test = {
        s: b.isel(row=np.flatnonzero(b.season.values == "friends-s7")) for s, b in blocks.items()
    }
    found = ours.official_score(test, predicted)
    people, by_function = [], []
    for subject, block in test.items():
        runs = dict.fromkeys(block.run.values)
        truth = [block.values[block.run.values == r] for r in runs]
        guess = [
            predicted[subject].sel(row=block.row.values[block.run.values == r]).values for r in runs
        ]
        cut = [np.concatenate([v[5:-5] for v in side]) for side in (truth, guess)]
        people.append(np.mean([pearsonr(cut[0][:, k], cut[1][:, k])[0] for k in range(1000)]))
        by_function.append(algonauts2025(truth, guess).mean())
    assert found["official"]["value"] == pytest.approx(np.mean(people), abs=1e-6)
    assert found["official"]["value"] == pytest.approx(np.mean(by_function), abs=1e-9)
    assert found["official"]["by_subject"] == pytest.approx(
        dict(zip(SUBJECTS, people, strict=True)), abs=1e-6
    )
    assert 0.2 < found["official"]["value"] < 0.6
    assert found["corrected"]["value"] == pytest.approx(found["official"]["value"])
    assert set(found["official"]["by_roi"]) == set(made.NETWORKS)
    assert found["official"]["unit"] == "r" and found["official"]["name"] == "algonauts2025"
    assert "by_movie" not in found["official"]
    json.dumps(found)
    opposite = {s: -b for s, b in predicted.items()}
    assert ours.official_score(test, opposite)["official"]["value"] == pytest.approx(
        -np.mean(people)
    )


def test_other_films_are_scored_one_by_one(twin, tmp_path):
    root = released(shutil.copytree(twin[0], tmp_path / "tree"))
    ours = Algonauts2025(root, test="ood", subjects=(1, 2))
    blocks = {s: b.load() for s, b in ours.responses().items()}
    predicted = noisy(blocks, 1.5)
    test = {
        s: b.isel(row=np.flatnonzero(b.season.str.startswith("ood").values))
        for s, b in blocks.items()
    }
    want = {}
    for subject, block in test.items():
        for film in ("chaplin", "wot"):
            sides = []
            for source in (block, predicted[subject].sel(row=block.row.values)):
                parts = [source.values[block.run.values == f"{film}{k}"][5:-5] for k in (1, 2)]
                sides.append(np.concatenate(parts))
            want[subject, film] = pearson(*sides).mean()
    found = ours.official_score(test, predicted)["official"]
    assert found["value"] == pytest.approx(np.mean(list(want.values())))
    for film in ("chaplin", "wot"):
        assert found["by_movie"][film] == pytest.approx(np.mean([want[s, film] for s in test]))
    assert found["by_subject"]["sub-02"] == pytest.approx(
        np.mean([want["sub-02", f] for f in ("chaplin", "wot")])
    )


def test_parcels_that_never_vary_count_nothing_in_one_score_and_not_in_the_other(twin):
    ours = Algonauts2025(twin[0], subjects=(1,))
    block = ours.responses()["sub-01"].load()
    block = block.isel(row=np.flatnonzero(has_truth(block)))
    predicted = noisy({"sub-01": block}, 1.0)
    whole = ours.official_score({"sub-01": block}, predicted)
    predicted["sub-01"][:, :250] = 0.5
    found = ours.official_score({"sub-01": block}, predicted)
    r = pearson(block.values, predicted["sub-01"].values)
    assert found["official"]["flat"] == 250
    assert found["official"]["value"] == pytest.approx(r[250:].sum() / 1000)
    assert found["corrected"]["value"] == pytest.approx(r[250:].mean())
    assert found["corrected"]["value"] == pytest.approx(whole["official"]["value"], abs=0.02)
    predicted["sub-01"][7, 3] = np.nan
    with pytest.raises(DataError, match=r"1 of \d+ samples of sub-01 are not predicted"):
        ours.official_score({"sub-01": block}, predicted)
    turned = {"sub-01": predicted["sub-01"].fillna(0.0)[::-1, ::-1]}
    assert ours.official_score({"sub-01": block}, turned)["official"]["value"] == pytest.approx(
        found["official"]["value"], abs=1e-4
    )
    hidden = {s: b.isel(row=np.flatnonzero(~has_truth(b))) for s, b in ours.responses().items()}
    assert ours.official_score(hidden, predicted) == {}


def test_what_was_not_predicted_at_all_makes_the_score_partial(twin, tmp_path):
    root = released(shutil.copytree(twin[0], tmp_path / "tree"))
    ours = Algonauts2025(root, subjects=(1, 2))
    test = {
        s: b.isel(row=np.flatnonzero(b.season.values == "friends-s7")).load()
        for s, b in ours.responses().items()
    }
    whole = noisy(test, 1.5)
    assert "not_predicted" not in ours.official_score(test, whole)["official"]
    block, guess = test["sub-01"], whole["sub-01"]
    counted = block.scored.values.astype(bool)
    r = pearson(block.values[counted], guess.values[counted])
    # A subject, parcels, and a run that nothing predicts.
    found = ours.official_score(test, {"sub-01": guess})
    assert set(found) == {"partial", "corrected"}
    for entry in found.values():
        assert (entry["not_predicted"], entry["of"]) == (1000, 2000)
        assert entry["value"] == pytest.approx(r.mean())
        assert set(entry["by_subject"]) == {"sub-01"} and "runs" in entry
    found = ours.official_score(test, {"sub-01": guess[:, 100:], "sub-02": whole["sub-02"]})
    entry = found["partial"]
    assert (entry["not_predicted"], entry["of"]) == (100, 2000) and "runs" not in entry
    assert entry["by_subject"]["sub-01"] == pytest.approx(r[100:].mean())
    left = np.flatnonzero(block.run.values != "friends_s07e01b")
    found = ours.official_score(test, {"sub-01": guess[left], "sub-02": whole["sub-02"]})
    for entry in (found["partial"], found["corrected"]):
        assert (entry["runs_not_predicted"], entry["runs"]) == (1, 6)
        assert (entry["not_predicted"], entry["of"]) == (0, 2000)
    kept = left[counted[left]]
    want = pearson(block.values[kept], guess.values[kept]).mean()
    assert found["partial"]["by_subject"]["sub-01"] == pytest.approx(want)
    json.dumps(found)
    # A parcel that lacks one run, or one sample of it.
    for rows in (block.run.values == "friends_s07e01b", np.arange(len(block)) == 20):
        broken = guess.copy(deep=True)
        broken[rows, 3] = np.nan
        with pytest.raises(DataError, match=r"samples of sub-01 are not predicted.*s07e01"):
            ours.official_score(test, {**whole, "sub-01": broken})
    assert ours.official_score(test, {"sub-01": guess[:0]}) == {}
