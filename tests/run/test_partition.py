"""A sweep over feature spaces ends in parts of variance, and planted ones come back."""

import numpy as np
import pandas as pd
import pytest

from .worlds import Bench

SWEEP = {"features": [["x.a"], ["x.b"], ["x.a", "x.b"]]}
PLANTED = {"x.a alone": 0.25, "x.b alone": 0.1, "x.a and x.b": 0.25}


@pytest.fixture
def bench(tmp_path):
    """Spaces a and b with three columns in common, and targets of known variance."""
    made = Bench(tmp_path, stimuli=900, width=1)
    rng = np.random.default_rng(3)
    shared, own_a, own_b = (rng.standard_normal((900, 3)) for _ in range(3))
    made.x = np.hstack([shared, own_a])
    made.write_features(b=np.hstack([shared, own_b]))

    def signal(x, variance):
        w = rng.standard_normal((3, 12))
        return x @ (w * np.sqrt(variance / (w * w).sum(axis=0)))

    y = signal(shared, 0.25) + signal(own_a, 0.25) + signal(own_b, 0.1)
    y += np.sqrt(0.4) * rng.standard_normal(y.shape)
    names = [f"t{k}" for k in range(12)]
    early = [k < 6 for k in range(12)]
    made.weights = np.zeros((6, 12))
    made.subject("s1", targets=names, rois={"early": early, "late": [not e for e in early]})
    made.blocks["s1"].values[:] = y
    return made


def test_a_sweep_over_spaces_is_taken_apart(bench):
    ridge = {"use": "ridge", "alphas": [1.0, 10.0]}
    report = bench.run([{"name": "ridge", "encoder": ridge, "sweep": SWEEP, "features": []}])
    table = pd.read_csv(report.folder / "partition.csv")
    assert set(table["member"]) == {"ridge@x.a+x.b"}
    assert set(table["score"]) == {"r2"}
    assert set(table["roi"]) == {"early", "late"}
    means = table.groupby("part")["value"].mean()
    for part, variance in PLANTED.items():
        assert means[part] == pytest.approx(variance, abs=0.04)
    wide = table.pivot_table(index="target", columns="part", values="value")
    np.testing.assert_allclose(wide[list(PLANTED)].sum(axis=1), wide["whole"], atol=1e-5)
    union = report.scores.query("member == 'ridge@x.a+x.b' and score == 'r2'")
    np.testing.assert_allclose(
        wide["whole"].to_numpy(), union.set_index("target")["value"][wide.index], atol=1e-5
    )


def test_a_run_without_a_family_has_none(bench):
    ridge = {"use": "ridge", "alphas": [1.0]}
    report = bench.run([{"name": "ridge", "encoder": ridge}])
    assert not (report.folder / "partition.csv").exists()
