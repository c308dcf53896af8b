"""A run's own recipe gives the run again; the order of files, rows and targets changes nothing."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from striate.machine import Machine
from striate.recipe import load_recipe, parse
from striate.run import run_recipe
from striate.run.leakage import LeakageWarning

from .parts import noted
from .worlds import Bench, folds


def members(bench):
    one = {"name": "one", "steps": ["zscore", {"use": "pca", "components": 3}], "encoder": "ridge"}
    two = {"name": "two", "encoder": bench.linear("two"), "sweep": {"encoder.alpha": [1.0, 9.0]}}
    last = {"name": "last", "features": ["one", "two"], "encoder": "stack", "per": ["subject"]}
    return [one, two, last]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    for name in ("s1", "s2"):
        made.subject(name, rois={"V1": [True, True, False, False]})
    return made


def files(folder):
    kept = [folder / "scores.csv", *sorted((folder / "predictions").rglob("*"))]
    return {str(f.relative_to(folder)): f.read_bytes() for f in kept if f.is_file()}


def test_the_recipe_of_a_run_gives_the_run_again(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = bench.recipe(members(bench), inner={"folds": 2})
    table = recipe.model_dump(exclude={"base"})
    table["dataset"]["path"] = "world"  # from the current folder
    table["features"]["x"]["path"] = "x.npz"
    table["split"] = None
    table["dataset"]["folds"] = 4  # the data set's own split
    first = run_recipe(parse(table), tmp_path / "runs", bench.machine())
    assert first.summary["split"]["calls"][3]["name"] == "fold3"
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    own = load_recipe(first.folder / "recipe.toml")
    again = run_recipe(own, tmp_path / "runs", bench.machine())
    assert files(first.folder) == files(again.folder)
    assert (first.folder / "recipe.toml").read_text() == (again.folder / "recipe.toml").read_text()
    count = len(noted(bench.log))
    fresh = Machine(store=tmp_path / "fresh", threads=1, quiet=True)
    anew = run_recipe(own, tmp_path / "runs", fresh)
    assert len(noted(bench.log)) > count
    assert files(first.folder) == files(anew.folder)


def test_a_field_that_only_a_sweep_sets_runs_again(bench):
    sweep = {"encoder.use": ["ridge", "sklearn.linear_model:Lasso"]}
    recipe = bench.recipe([{"name": "m", "encoder": {"use": "ridge"}, "sweep": sweep}])
    first = bench.run(recipe)
    again = bench.run(load_recipe(first.folder / "recipe.toml"))
    assert files(first.folder) == files(again.folder)
    bare = {"use": "sklearn"}
    sweep = {"encoder.estimator": [f"sklearn.linear_model:{n}" for n in ("Ridge", "Lasso")]}
    first = bench.run([{"name": "m", "encoder": bare, "sweep": sweep}])
    again = bench.run(load_recipe(first.folder / "recipe.toml"))
    assert files(first.folder) == files(again.folder)


def test_order_of_files_rows_targets_and_subjects_changes_no_score(bench):
    found = bench.run(members(bench), inner={"folds": 2})
    bench.store = bench.root / "another"
    rng = np.random.default_rng(3)
    order = rng.permutation(24)
    shuffled = [bench.ids[k] for k in order]
    np.savez(bench.root / "x.npz", ids=np.array(shuffled), a=bench.x[order])
    bench.table = bench.table.loc[shuffled[::-1]]
    for name in ("s2", "s1"):
        block = bench.blocks.pop(name)
        block = block.isel(row=rng.permutation(24), target=rng.permutation(4))
        bench.blocks[name] = block
    again = bench.run(members(bench), inner={"folds": 2})
    for name in ("s1", "s2"):
        a, b = found.predicted[name], again.predicted[name]
        wanted = b.sel(row=a.row.values).isel(
            target=[list(b.target.values).index(t) for t in a.target.values]
        )
        np.testing.assert_array_equal(a.values, wanted.values)
    assert found.scores.equals(again.scores)


@pytest.mark.parametrize("action", [pytest.param("group", marks=[pytest.mark.slow]), "measure"])
def test_tasks_on_dask_give_the_same_numbers(bench, monkeypatch, action):
    distributed = pytest.importorskip("distributed")
    bench.table["digest"] = [f"d{k}" for k in range(24)]
    bench.table["part"] = ["train"] * 20 + ["test"] * 4
    fold = folds(bench.ids[:20], 3)
    apart = next(i for i, f in zip(bench.ids[:20], fold, strict=True) if f != fold[0])
    copies = [("im0", apart, 0.9)]
    monkeypatch.setattr("striate.run.leakage.near_duplicates", lambda stimuli: copies)
    more = {"near_duplicates": action, "final": "mean of folds", "inner": {"folds": 2}}
    recipe = bench.recipe(members(bench), **more)
    told = pytest.warns(LeakageWarning) if action == "measure" else nullcontext()
    with told:
        here = bench.run(recipe)
    options = {"n_workers": 1, "threads_per_worker": 3, "processes": False}
    with distributed.LocalCluster(**options, dashboard_address=":0") as cluster, told:
        machine = Machine(
            store=bench.root / "other",
            threads=1,
            quiet=True,
            scheduler=cluster.scheduler_address,
        )
        there = run_recipe(recipe, bench.root / "runs", machine)
    assert files(here.folder) == files(there.folder)
    assert here.summary == there.summary
    assert (here.summary["duplicates"]["leakage"] is None) == (action == "group")
    assert all(f["seconds"] > 0 for f in there.fits)
