"""A resolved recipe holds every default, and paths that hold from anywhere."""

from __future__ import annotations

import numpy as np

from striate.machine import Machine, using
from striate.recipe import load_recipe
from striate.run import Plan
from striate.run.resolve import resolved

RECIPE = """
dataset = { use = "folder", path = "data", response_file = "r.npy" }
responses = { zscore = "train" }
[features]
x = { use = "array", path = "x.npz" }
y = { like = "x", ids = "ids" }
[[member]]
name = "m"
features = ["x.*"]
steps = ["zscore"]
encoder = { use = "./mine.py:Own" }
sweep = { "encoder.shift" = [1.0, 2.0] }
[[member]]
name = "n"
features = ["x.*"]
encoder = { use = "sklearn.linear_model:Ridge", alpha = 2.0 }
"""
OWN = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Own:
    shift: float
    width: int = 3
"""


def test_defaults_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "r.npy", np.zeros((6, 2)))
    np.save(tmp_path / "r.npy", np.ones((9, 2)))  # not what the data set means
    (tmp_path / "data" / "stimuli.csv").write_text("id\na\nb\nc\nd\ne\nf\n")
    ids = np.array(list("abcdef"))
    np.savez(tmp_path / "x.npz", ids=ids, a=np.eye(6))
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "r.toml").write_text(RECIPE)
    with using(Machine(store=tmp_path / "store")):
        plan = Plan(load_recipe(tmp_path / "r.toml"))
    found = resolved(plan)
    assert found.dataset["path"] == str(tmp_path / "data")
    assert found.dataset["response_file"] == "r.npy"
    assert found.dataset["missing"] == "error"
    assert found.features["y"] == {"use": "array", "path": str(tmp_path / "x.npz"), "ids": "ids"}
    assert found.split == {"use": "kfold", "folds": 5, "seed": 0, "shuffle": True, "group": "group"}
    assert found.responses["repeats"] == "mean"
    first, second = found.member
    assert first.encoder == {"use": f"{tmp_path}/mine.py:Own", "width": 3}
    assert first.steps[0]["active"] == 0.01
    assert second.encoder == {"use": "sklearn.linear_model:Ridge", "alpha": 2.0}
