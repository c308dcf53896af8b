"""Recipes on twins whose right answers are known, within two-sided bounds that chance misses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from striate.machine import Machine, using
from striate.recipe import load_recipe, parse, shipped
from striate.registry import find
from striate.run import Plan, run_recipe
from striate.run.resolve import resolved
from striate.run.work import Work


@pytest.fixture(scope="module")
def folder_twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    place = tmp_path_factory.mktemp("folder") / "twin"
    return place, find("dataset", "folder").twin(place)


@pytest.fixture(scope="module")
def rdm_twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    place = tmp_path_factory.mktemp("rdm") / "twin"
    return place, find("dataset", "algonauts2019").twin(place)


@pytest.fixture(scope="module")
def machine(shared_store: Path) -> Machine:
    return Machine(store=shared_store, quiet=True, threads=1)


def medians(report, member=None):
    table = report.scores
    chosen = (table["score"] == "pearson") & (
        table["member"] == (member or table["member"].iloc[-1])
    )
    return table[chosen].groupby(["subject", "roi"])["value"].median()


def arrays(place: Path, stem: str = "features") -> dict:
    """One ridge on the planted features of both regions."""
    return {
        "dataset": {"use": "folder", "path": str(place)},
        "split": {"use": "kfold"},
        "near_duplicates": "ignore",
        "features": {
            n: {"use": "array", "path": f"{place}/{stem}_{n}.npy", "ids": f"{place}/ids.csv"}
            for n in ("early", "late")
        },
        "member": [
            {
                "name": "known",
                "features": ["early", "late"],
                "steps": ["zscore"],
                "encoder": {"use": "ridge", "alphas": [0.1, 1.0, 10.0, 100.0, 1e4, 1e6]},
            }
        ],
    }


def test_planted_features_reach_the_known_score(folder_twin, machine, tmp_path):
    place, known = folder_twin
    report = run_recipe(parse(arrays(place)), tmp_path, machine)
    found = medians(report)
    assert len(known) == 4
    for line in known.itertuples():
        assert abs(found[line.subject, line.roi] - line.score) <= 0.02, line
    normalised = report.summary["scores"]["pearson"]["normalised"]["median"]
    assert 0.97 < normalised < 1.01


def test_shuffled_features_find_nothing(folder_twin, machine, tmp_path):
    place, _ = folder_twin
    ids = f"{place}/ids.csv"
    table = arrays(place)
    known, features = table["member"][0], {}
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(pd.read_csv(ids)))
        for name in ("early", "late"):
            values = np.load(place / f"features_{name}.npy")
            np.save(tmp_path / f"{name}{seed}.npy", values[order])
            line = {"use": "array", "path": str(tmp_path / f"{name}{seed}.npy"), "ids": ids}
            features[f"{name}{seed}"] = line
    members = [
        known | {"name": f"shuffled{seed}", "features": [f"early{seed}", f"late{seed}"]}
        for seed in range(12)
    ]
    # Folds pooled are a little below zero by chance: each fold's training mean leans away from
    # the mean of the part that was left out. One half against the other has no such bias.
    table |= {"split": {"use": "last", "fraction": 0.5}, "features": features, "member": members}
    report = run_recipe(parse(table), tmp_path, machine)
    means = [report.summary["members"][m["name"]]["pearson"]["mean"] for m in members]
    assert len(set(means)) == 12
    assert abs(np.mean(means)) < 0.02
    assert max(np.abs(means)) < 0.15


def test_the_demo_tells_the_regions_apart(folder_twin, machine, tmp_path):
    place, known = folder_twin
    report = run_recipe(load_recipe("demo", [f"dataset.path={place}"]), tmp_path, machine, "demo")
    stack, contrast, layout = (medians(report, m) for m in ("stack", "contrast", "layout"))
    for line in known.itertuples():
        at = (line.subject, line.roi)
        right, wrong = (contrast, layout) if line.roi == "early" else (layout, contrast)
        assert line.score - 0.15 < stack[at] <= line.score + 0.02
        assert stack[at] >= right[at] - 0.02
        assert wrong[at] < 0.2 < right[at]


@pytest.mark.parametrize("modality", ["fmri", pytest.param("meg", marks=[pytest.mark.slow])])
def test_the_right_rdm_reaches_the_known_score(rdm_twin, machine, tmp_path, modality):
    place, known = rdm_twin
    regions = {"fmri": ("EVC", "IT"), "meg": ("early", "late")}[modality]
    table = {
        "dataset": {
            "use": "algonauts2019",
            "path": str(place),
            "modality": modality,
            "test": "92",
            "train": ["78"],
        },
        "split": "parts",
        "scores": ["spearman"],
        "features": {
            n: {"use": "array", "path": f"{place}/features_{n}.npy", "ids": f"{place}/ids.csv"}
            for n in ("early", "late")
        },
        "member": [
            {
                "name": n,
                "features": [n],
                "per": ["roi"],
                "encoder": {"use": "rdm", "distance": "euclidean"},
            }
            for n in ("early", "late")
        ]
        + [
            {
                "name": "chosen",
                "features": ["early*", "late*"],
                "per": ["roi"],
                "encoder": {"use": "rdm_best", "distance": "euclidean"},
            }
        ],
    }
    table["member"][0]["name"], table["member"][1]["name"] = "first", "second"
    report = run_recipe(parse(table), tmp_path, machine)
    raw = report.summary["scores"]["official"]["raw"]
    expected = known[known["set"].astype(str) == "92"].set_index("roi")
    for region in regions:
        assert abs(raw[region] - expected.loc[region, "r2"]) <= 0.02
    members = report.summary["members"]
    first, second = regions
    assert members["first"]["official"]["raw"][first] > 0.5 * raw[first]
    assert members["first"]["official"]["raw"][second] < 0.5 * raw[second]


@pytest.fixture(scope="module")
def scene_twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    place = tmp_path_factory.mktemp("scenes") / "twin"
    more = {"natural": False, "subjects": ("subj06",)}
    return place, find("dataset", "algonauts2023").twin(place, **more)


ELSEWHERE = {
    "demo": "test_recipes.py",
    "folder/films": "test_films.py",
    "algonauts2021/": "datasets/algonauts2021/test_recipes.py",
    "algonauts2025/": "datasets/algonauts2025/test_twin.py",
    "bold_moments/": "datasets/bold_moments/test_shown.py",
    "nsd/": "datasets/nsd/test_recipes.py",
}
"""Where recipes run that are not run here, by how their names begin."""
HERE = [n for n in shipped() if not n.startswith(tuple(ELSEWHERE))]


def test_recipes_that_are_run_elsewhere_are():
    for name in sorted(set(shipped()) - set(HERE)):
        file = next(f for start, f in ELSEWHERE.items() if name.startswith(start))
        text = (Path(__file__).parent / file).read_text()
        folder, _, stem = name.rpartition("/")
        whole = f'shipped() if n.startswith("{folder}/")' in text
        assert whole or name in text or f'"{stem}"' in text, (name, file)


LONG = ("algonauts2019/kit", "algonauts2019/weighted_layers", "folder/regressions")
"""Recipes of several networks, of whose kind a shorter one runs in every suite."""
ONCE_MORE = {n.partition("/")[0]: n for n in HERE if n not in LONG}.values()
"""Recipes whose written form runs whole again, one of each folder; of others the tasks agree."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in HERE]
)
def test_every_recipe_runs_on_its_twin(name, folder_twin, rdm_twin, scene_twin, machine, tmp_path):
    """With an untrained network: complete predictions, finite scores, no score above the known."""
    twins = {"algonauts2019": rdm_twin, "algonauts2023": scene_twin, "folder": folder_twin}
    place, known = twins[name.partition("/")[0]]
    small = ["features.net.weights=none", "features.net.size=64", "inner.folds=2"]
    if name == "folder/best":
        small += ["split.folds=2", "features.small.size=32", "features.net.pool=mean:3"]
        small += ['member.place.sweep={ "steps.window.x" = [0.0, 0.5] }']
    if name == "algonauts2019/kit":
        more = [f"features.{n}" for n in ("vgg19", "resnet50")]
        small += [f"{n}.{v}" for n in more for v in ("weights=none", "size=64")]
        small += ["dataset.train=92"]
    if name == "folder/layers":
        small += ["split.folds=2", "features.net.pool=mean:3"]
        small += ['member.layer.sweep={ features = [["gabor"], ["edges"], ["net.features.3"]] }']
    report = run_recipe(load_recipe(name, [f"dataset.path={place}", *small]), tmp_path, machine)
    headline = report.summary["scores"][report.summary["headline"]]
    assert headline["left_out"] == 0
    assert -0.2 < headline["median"] < known.get("score", pd.Series([1.0])).max()
    again = load_recipe(report.folder / "recipe.toml")
    if name in ONCE_MORE:
        assert run_recipe(again, tmp_path, machine).scores.equals(report.scores)
        return
    with using(machine):
        plan = Plan(again)
        work = Work(plan)
        tasks = plan.wanted()
        assert tasks
        assert all(map(work.has, tasks)), "the recipe that a run wrote asks for other tasks"
        assert resolved(plan).toml() == report.recipe
