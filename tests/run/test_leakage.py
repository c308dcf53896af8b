"""Planted copies across folds are found, told and measured; grouped, they leak nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from striate.machine import using
from striate.run import Plan
from striate.run.leakage import LeakageWarning, find_leakage

from .worlds import PARTS, Bench

NEAR = [("im0", "im12"), ("im1", "im13"), ("im2", "im14"), ("im3", "im15")]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    for k, name in enumerate(made.ids):
        source = k - 12 if 12 <= k < 16 else k
        rng = np.random.default_rng(source)
        small = Image.fromarray(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8))
        image = np.asarray(small.resize((64, 64))).astype(float) + (10 if source != k else 0)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    made.table["file"] = [str(folder / f"{i}.png") for i in made.ids]
    made.subject(noise=0.1)
    return made


def recipe(bench, action, **more):
    return bench.recipe(
        [{"name": "m", "features": ["x"], "encoder": bench.linear(alpha=0.01)}],
        features={"x": {"use": f"{PARTS}:Means"}},
        near_duplicates=action,
        **more,
    )


def test_copies_are_told_and_their_worth_measured(bench):
    with pytest.warns(LeakageWarning, match=r"im\d+ and im\d+"):
        report = bench.run(recipe(bench, "measure"))
    told = report.summary["duplicates"]
    assert {tuple(p[:2]) for p in told["near_pairs"]} == set(NEAR)
    assert 0 < told["near_crossing"] <= 4
    worth = told["leakage"]
    # The same folds without the copies of their test stimuli: no other fold, no other row.
    with using(bench.machine()):
        calls = Plan(recipe(bench, "ignore")).calls()
    copies = dict(NEAR) | {b: a for a, b in NEAR}
    truth, predicted, fewer = [], [], 0
    for call in calls:
        train = [i for i in call.train if copies.get(i) not in call.test]
        fewer += len(call.train) - len(train)
        split = {"use": "fixed", "test": list(call.test), "train": train}
        alone = bench.run(recipe(bench, "ignore", split=split))
        predicted.append(alone.predicted["s1"].sel(row=list(call.test)).values)
        truth.append(bench.blocks["s1"].sel(row=list(call.test)).values)
    assert fewer >= told["near_crossing"]
    y, p = np.concatenate(truth), np.concatenate(predicted)
    middle = np.median([np.corrcoef(y[:, t], p[:, t])[0, 1] for t in range(y.shape[1])])
    assert worth["grouped"] == pytest.approx(middle, abs=1e-5)
    split = report.summary["scores"]["pearson"]["median"]
    assert worth["as split"] == pytest.approx(split, abs=1e-6)
    assert worth["leakage"] == pytest.approx(split - middle, abs=1e-5)


def test_grouped_copies_stay_together(bench):
    with using(bench.machine()), warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = Plan(recipe(bench, "group"))
        found = find_leakage(plan)
        assert not found.crossing
        assert len(found.pairs) == 4
        for call in plan.calls():
            for a, b in NEAR:
                assert (a in call.train) == (b in call.train)
        assert not find_leakage(Plan(recipe(bench, "ignore"))).looked


def test_a_split_that_cannot_group_is_told(bench):
    bench.table["part"] = ["train"] * 12 + ["test"] * 12
    for action in ("group", "measure"):
        with pytest.warns(LeakageWarning):
            report = bench.run(recipe(bench, action, split=parts(bench)))
        assert report.summary["duplicates"]["near_crossing"] == 4
        assert report.summary["duplicates"]["leakage"] is None


def parts(bench):
    """A split that keeps nothing together."""
    (bench.root / "own.py").write_text(
        "from dataclasses import dataclass\n"
        "from striate.splits import Call\n"
        "@dataclass(frozen=True)\n"
        "class Halves:\n"
        "    def calls(self, stimuli):\n"
        "        part = stimuli.table['part']\n"
        "        side = lambda p: tuple(i for i in stimuli.ids if part[i] == p)\n"
        "        return [Call('test', side('train'), side('test'))]\n"
    )
    return {"use": f"{bench.root}/own.py:Halves"}
