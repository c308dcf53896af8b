"""Small data sets with known features, and recipes over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from striate.data import Responses, label_responses, natural_key
from striate.machine import Machine
from striate.recipe import Recipe, parse
from striate.run import run_recipe

from .parts import write_world

PARTS = Path(__file__).with_name("parts.py")
RAW = {"use": f"{PARTS}:Linear"}


class Bench:
    """A data set in a folder, features in a file, a store and a folder of runs."""

    def __init__(self, root: Path, stimuli: int = 24, width: int = 5, seed: int = 0) -> None:
        self.root, self.rng = root, np.random.default_rng(seed)
        root.mkdir(parents=True, exist_ok=True)
        self.ids = [f"im{k}" for k in range(stimuli)]
        self.table = pd.DataFrame(index=self.ids)
        self.x = self.rng.standard_normal((stimuli, width))
        self.weights = self.rng.standard_normal((width, 100))
        self.blocks: dict[str, Responses] = {}
        self.log, self.store = root / "log", root / "store"
        self.write_features()

    def write_features(self, **more: np.ndarray) -> None:
        np.savez(self.root / "x.npz", ids=np.array(self.ids), a=self.x, **more)

    def subject(
        self,
        name: str = "s1",
        seen: Sequence[str] | None = None,
        targets: Sequence[str] = ("t0", "t1", "t2", "t3"),
        rois: Mapping[str, Sequence[bool]] | None = None,
        hidden: Sequence[str] = (),
        noise: float = 1.0,
        **labels: Any,
    ) -> np.ndarray:
        seen = list(seen or self.ids)
        at = [self.ids.index(i) for i in seen]
        y = self.x[at] @ self.weights[:, : len(targets)]
        y = y + noise * self.rng.standard_normal(y.shape)
        y[[i in set(hidden) for i in seen]] = np.nan
        self.blocks[name] = label_responses(
            y, seen, targets, subject=name, rois=rois, target_labels=labels or None
        )
        return y

    def recipe(self, members: Sequence[Mapping[str, Any]], **more: Any) -> Recipe:
        write_world(self.root / "world", self.table, self.blocks)
        table: dict[str, Any] = {
            "dataset": {"use": f"{PARTS}:World", "path": str(self.root / "world")},
            "split": {"use": "kfold", "folds": 3},
            "features": {"x": {"use": "array", "path": str(self.root / "x.npz")}},
            "scores": ["pearson", "r2"],
            "near_duplicates": "ignore",
            "member": [{"features": ["x.a"], **m} for m in members],
        }
        return parse(table | more)

    def machine(self, **more: Any) -> Machine:
        return Machine(**({"store": self.store, "threads": 1, "quiet": True} | more))

    def run(self, members: Sequence[Mapping[str, Any]] | Recipe, **more: Any) -> Any:
        recipe = members if isinstance(members, Recipe) else self.recipe(members, **more)
        return run_recipe(recipe, self.root / "runs", self.machine())

    def linear(self, tag: str = "", **fields: Any) -> dict[str, Any]:
        return RAW | {"tag": tag, "log": str(self.log)} | fields

    def centre(self) -> dict[str, Any]:
        return {"use": f"{PARTS}:Centre", "log": str(self.log)}


def folds(units: Sequence[str], count: int, seed: int = 0) -> np.ndarray:
    """The fold of each stimulus, from the definition: units in natural order, shuffled, cut."""
    unique = sorted(set(units), key=natural_key)
    order = np.arange(len(unique))
    np.random.RandomState(seed).shuffle(order)
    parts = np.array_split(order, count)
    fold = {unique[j]: k for k, part in enumerate(parts) for j in part}
    return np.array([fold[u] for u in units])


def values(report: Any, subject: str = "s1", ids: Sequence[str] | None = None) -> np.ndarray:
    """The answer's predictions of a subject, in the order of `ids`."""
    block = report.predicted[subject]
    return block.sel(row=list(ids)).values if ids is not None else block.values
