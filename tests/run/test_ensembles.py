"""Ensembles through the loop: nested scores, phases of members over members, what is told."""

import numpy as np
import pandas as pd
import pytest

from .worlds import Bench

ROIS = {"V1": [True] * 5 + [False] * 3, "V2": [False] * 4 + [True] * 4}
PER = ["subject", "roi"]
BLENDS = {
    "mixed": {"use": "ensemble"},
    "own": {"use": "ensemble", "each": "target"},
    "stack": {"use": "stack"},
    "best": {"use": "best", "each": "group"},
}
FEW = {"split": {"use": "kfold", "folds": 2}, "inner": {"folds": 2}}


def world(root, seed):
    """Targets that mix two spaces by region; a third repeats the first, a fourth is noise."""
    bench = Bench(root, stimuli=180, width=4, seed=seed)
    rng = bench.rng
    other = rng.standard_normal((180, 4))
    again, noise = bench.x + rng.standard_normal((180, 4)), rng.standard_normal((180, 4))
    bench.write_features(b=other, c=again, d=noise)
    bench.subject("s1", targets=[f"t{k}" for k in range(8)], rois=ROIS, noise=2.0)
    share = np.repeat([0.5, 1.0], 4)
    bench.blocks["s1"].values[:] += share * (other @ rng.standard_normal((4, 8)))
    singles = [
        {"name": f"ridge_{s}", "features": [f"x.{s}"], "encoder": bench.linear(alpha=10.0)}
        for s in "abcd"
    ]
    return bench, singles


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=[pytest.mark.slow]) for k in (1, 2))])
def test_nested_blends_are_near_the_best_member_in_hindsight(tmp_path, seed):
    bench, singles = world(tmp_path, seed)
    names = [m["name"] for m in singles]
    blends = [
        {"name": n, "features": names, "per": PER, "encoder": line} for n, line in BLENDS.items()
    ]
    report = bench.run([*singles, *blends], **FEW)
    held = {m: e["pearson"]["mean"] for m, e in report.summary["members"].items()}
    hindsight = max(held[n] for n in names)
    for name in BLENDS:
        assert held[name] > hindsight - 0.01, (name, held)
    # two spaces together explain what none does alone
    assert 0.02 < held["mixed"] - hindsight < 0.5
    told = {
        f["member"]: f["encoder"]["mean correlation on the rows of the weights"]
        for f in report.fits
        if f["member"] in BLENDS
    }
    assert set(told) == set(BLENDS) and all(0.1 < r < 1 for r in told.values())
    assert told["own"] >= told["mixed"] - 1e-9


def test_phases_and_fixed_weights_are_members_over_members(tmp_path):
    bench, singles = world(tmp_path, 3)
    phases = [
        {"name": "first", "features": ["ridge_a", "ridge_c"], "encoder": "ensemble"},
        {"name": "second", "features": ["ridge_b", "ridge_d"], "encoder": "ensemble"},
        {"name": "fixed", "features": ["ridge_*"], "encoder": {
            "use": "weighted", "weights": {"ridge_[ac]": 0.5, "ridge_b": 0.5, "ridge_d": 0.0}}},
        {"name": "middle", "features": ["ridge_*"], "encoder": "median"},
        {"name": "both", "features": ["first", "second"], "encoder": "ensemble"},
    ]  # fmt: skip
    report = bench.run([*singles, *({**p, "per": PER} for p in phases)], **FEW)
    held = {m: e["pearson"]["mean"] for m, e in report.summary["members"].items()}
    assert held["both"] > max(held["first"], held["second"]) > held["ridge_d"] + 0.1
    table = pd.read_csv(report.folder / "weights.csv")
    assert set(table["member"]) == {"first", "second", "fixed", "both"}
    assert set(table["roi"]) == {"V1", "V2"} and set(table["call"]) == {"fold0", "fold1"}
    sums = table.groupby(["call", "member", "subject", "roi"])["weight"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    means = table.groupby(["member", "of"])["weight"].mean()
    assert means["second", "ridge_b"] > 0.8 and means["both", "second"] > 0.2
    assert means["fixed", "ridge_a"] == pytest.approx(0.25)
