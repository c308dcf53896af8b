"""The main job on recordings that nobody here made: V4 neurons, and the RDMs of Algonauts 2019."""

import json
from pathlib import Path

import numpy as np
import pytest

from striate.machine import Machine, keep_freed_memory
from striate.recipe import load_recipe
from striate.run import run_recipe


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    keep_freed_memory()
    return Machine(store=tmp_path_factory.mktemp("store"), quiet=True, threads=1)


def weights(real_data: Path) -> str:
    return f"features.net.weights={real_data}/weights/squeezenet1_0.safetensors"


def v4(real_data: Path, session: str) -> list[str]:
    return [f"dataset.path={real_data}/v4/{session}", "dataset.axes=target,stimulus"]


def test_folder_ridge_predicts_v4(real_data, machine, tmp_path):
    recipe = load_recipe("folder/ridge", [*v4(real_data, "201025"), weights(real_data)])
    report = run_recipe(recipe, tmp_path, machine, "folder/ridge")
    found = json.loads((report.folder / "summary.json").read_text())["scores"]["pearson"]
    # By hand with scikit-learn: median .610, mean .589.
    assert 0.605 <= found["median"] <= 0.620
    assert 0.580 <= found["mean"] <= 0.600
    assert found["significant"] == found["targets"] == 89
    low, high = found["resampled"]["interval"]
    assert 0.57 < low < found["median"] < high < 0.65


@pytest.mark.slow
def test_almost_dead_columns_are_dropped(real_data, machine, tmp_path):
    """SqueezeNet's last layers hold units silent but for a few images, which wreck a ridge."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    given = [*v4(real_data, "190923"), weights(real_data), "features.net.nodes=features.12"]
    given += ["features.net.size=112"]
    recipe = load_recipe("folder/ridge", given)
    report = run_recipe(recipe, tmp_path, machine)
    found = report.summary["scores"]["pearson"]["median"]
    dropped = [fit["steps"][0]["columns dropped"] for fit in report.fits]
    assert all(800 < n < 1000 for n in dropped)

    from striate.machine import using
    from striate.run import Plan

    with using(machine):
        plan = Plan(recipe)
        ids = plan.stimuli.ids
        x = plan.spaces["net.features.12"].read(ids).reshape(len(ids), -1)
    y = np.load(real_data / "v4/190923/responses.npy").T
    pooled = np.empty_like(y, dtype=float)
    for train, test in KFold(5, shuffle=True, random_state=0).split(x):
        alive = (x[train] > 0).mean(axis=0) >= 0.01
        mean, spread = x[train][:, alive].mean(0), x[train][:, alive].std(0)
        z = (x[:, alive] - mean) / spread
        ridge = RidgeCV(np.logspace(1, 7, 13), alpha_per_target=True).fit(z[train], y[train])
        pooled[test] = ridge.predict(z[test])
    by_hand = np.median([np.corrcoef(y[:, t], pooled[:, t])[0, 1] for t in range(y.shape[1])])
    assert abs(found - by_hand) <= 0.02

    kept = recipe.member[0].model_copy(update={"steps": ({"use": "zscore", "active": 0.0},)})
    wrecked = run_recipe(recipe.model_copy(update={"member": (kept,)}), tmp_path, machine)
    assert wrecked.summary["scores"]["pearson"]["median"] < 0.3


def test_leaky_pairs_are_found_and_measured(real_data, machine, tmp_path):
    given = [
        f"dataset.path={real_data}/v4/201016",
        "dataset.axes=target,stimulus,repeat",
        "dataset.response_file=responses_raw.npy",
        weights(real_data),
    ]
    with pytest.warns(UserWarning, match="nearly identical"):
        loose = run_recipe(load_recipe("folder/ridge", given), tmp_path, machine)
    pairs = loose.summary["duplicates"]
    assert pairs["near"] >= 240
    assert pairs["leakage"]["leakage"] > 0
    # Two images beyond the pairs look alike too: 93 % of the pairs are found, and one other.
    grouped = [*given, "dataset.group=pairs:300", "near_duplicates=ignore"]
    tight = run_recipe(load_recipe("folder/ridge", grouped), tmp_path, machine)
    median = {
        k: r.summary["scores"]["pearson"]["median"]
        for k, r in {"loose": loose, "tight": tight}.items()
    }
    assert median["tight"] < median["loose"]
    assert abs(median["tight"] - pairs["leakage"]["grouped"]) < 0.02
    ceiling = tight.summary["scores"]["pearson"]["ceiling"]["median"]
    assert 0.65 < ceiling < 0.80


def test_one_layer_scores_as_by_hand_on_2019(real_data, machine, tmp_path):
    given = [f"dataset.path={real_data}/algonauts2019", "dataset.test=92", weights(real_data)]
    report = run_recipe(load_recipe("algonauts2019/layer_rdm", given), tmp_path, machine)
    percent = report.summary["scores"]["official"]["by_roi"]
    assert percent["EVC"] == pytest.approx(24.89, abs=0.05)
    assert percent["IT"] == pytest.approx(15.19, abs=0.05)
    assert all(line["within"] for line in report.summary["expect"].values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("session", "least", "most"), [("201025", 0.648, 0.69), ("190923", 0.631, 0.66)]
)
@pytest.mark.timeout(3600)
def test_folder_best_beats_one_ridge(real_data, machine, tmp_path, session, least, most):
    recipe = load_recipe("folder/best", [*v4(real_data, session), weights(real_data)])
    report = run_recipe(recipe, tmp_path, machine, "folder/best")
    assert least <= report.summary["scores"]["pearson"]["median"] <= most
    assert report.summary["comparisons"]["ridge"]["interval"][0] > 0
