"""The recipe of NSD runs on a made-up copy, from pictures in one file to what they explain."""

import pandas as pd
import pytest

from striate.datasets.nsd.twin import write
from striate.machine import Machine
from striate.recipe import load_recipe, parse
from striate.run import run_recipe


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    place = tmp_path_factory.mktemp("nsd") / "twin"
    return place, write(place)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(store=tmp_path_factory.mktemp("store"), quiet=True, threads=1)


def means(report):
    table = report.scores[report.scores["score"] == "pearson"]
    table = table.assign(roi=table["roi"].str.split(";")).explode("roi")
    return table.groupby(["subject", "roi"])["value"].mean()


def test_the_recipe_runs(machine, tmp_path):
    place = tmp_path / "twin"
    known = write(place, sessions=(3, 2), trials=50, shared=40, own=40, targets=4)
    small = ["features.net.weights=none", "features.net.size=64", "inner.folds=2"]
    recipe = load_recipe("nsd/ridge", [f"dataset.path={place}", *small])
    report = run_recipe(recipe, tmp_path, machine)
    scores = report.summary["scores"]
    assert scores["pearson"]["left_out"] == 0 and "official" not in scores
    assert -20 < scores["corrected"]["value"] < 100
    assert means(report).max() < known.score.max()
    again = load_recipe(report.folder / "recipe.toml")
    assert run_recipe(again, tmp_path, machine).scores.equals(report.scores)


@pytest.mark.parametrize("space", ["func1pt8mm", "fsaverage"])
def test_the_loop_finds_what_was_planted(twin, machine, tmp_path, space):
    place, known = twin
    table = {
        "dataset": {"use": "nsd", "path": str(place), "space": space},
        "near_duplicates": "ignore",
        "features": {
            n: {"use": "array", "path": f"{place}/features_{n}.npy", "ids": f"{place}/ids.csv"}
            for n in ("early", "late")
        },
        "member": [
            {
                "name": "known",
                "features": ["early", "late"],
                "encoder": {"use": "ridge", "alphas": [0.1, 1.0, 10.0, 100.0, 1e4]},
            }
        ],
    }
    report = run_recipe(parse(table), tmp_path, machine)
    found = means(report)
    for line in known.itertuples():
        assert found[line.subject, line.roi] == pytest.approx(line.score, abs=0.02)
    told = report.summary["scores"]["corrected"]
    assert 93 < told["value"] < 100 and told["zero_ceilings"] == 48
    assert pd.Series(told["by_roi"])[["V1v", "FFA-1"]].between(93, 100).all()


def test_pictures_are_seen_through_the_file(twin, machine, tmp_path):
    """Contrast energy of the pictures themselves explains the one region and not the other."""
    place, known = twin
    table = {
        "dataset": {"use": "nsd", "path": str(place)},
        "responses": {"keep": {"ceiling": 0.1}},
        "near_duplicates": "ignore",
        "features": {"gabor": {"use": "gabor", "size": 48, "frequencies": [8.0]}},
        "member": [
            {
                "name": "contrast",
                "features": ["gabor.*"],
                "steps": ["zscore"],
                "encoder": {"use": "ridge", "alphas": [1.0, 10.0, 100.0, 1000.0]},
            }
        ],
    }
    found = means(run_recipe(parse(table), tmp_path, machine))
    for line in known[known.roi == "V1v"].itertuples():
        assert line.score - 0.2 < found[line.subject, "V1v"] < line.score + 0.02
        assert found[line.subject, "FFA-1"] < 0.2
