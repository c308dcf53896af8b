"""An encoder of your own: a dataclass with `fit` and `predict`, named by its file in a recipe.

python examples/own_encoder.py [FOLDER]

Nothing is registered and nothing else is edited. The encoder gets splits, out-of-fold stacking,
storage and reports like any other; here it is compared with a ridge, and stacked with it.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate import Features, Machine, Recipe, run_recipe
from striate.data import Responses, design
from striate.datasets.folder import Folder
from striate.encoders.targets import buckets, predicted
from striate.interfaces import Encoder, Group, with_learned


@dataclass(frozen=True)
class Neighbours(Encoder):
    """The mean response to the training stimuli whose features are nearest."""

    neighbours: int = 10

    def fit(self, features: Features, groups: Sequence[Group], start: Any = None) -> "Neighbours":
        """A copy that remembers features and responses of the training rows."""
        # A bucket holds the targets that were measured on the same rows, stacked.
        parts = [(design(features, b.rows), b.values, b.targets) for b in buckets(groups)]
        return with_learned(self, parts_=parts)

    def predict(self, features: Features, rows: Responses) -> Responses:
        """Predicted responses, row × target."""
        x = design(features, rows)
        values = []
        for known, answers, targets in self.parts_:
            distance = (x**2).sum(1)[:, None] - 2 * x @ known.T + (known**2).sum(1)
            nearest = np.argsort(distance, axis=1)[:, : self.neighbours]
            values.append((answers[nearest].mean(axis=1), targets))
        return predicted(rows, values)


def main(folder: Path) -> None:
    """Compare neighbours and ridge on a made-up brain."""
    Folder.twin(folder / "twin")
    recipe = Recipe(
        title="Neighbours against ridge",
        dataset={"use": "folder", "path": str(folder / "twin")},
        features={"pixels": {"use": "pixels", "size": 6, "colour": "grey"}},
        member=[
            {
                "name": "neighbours",
                "features": ["pixels"],
                "steps": ["zscore"],
                "encoder": {"use": "./own_encoder.py:Neighbours", "neighbours": 15},
            },
            {"name": "ridge", "features": ["pixels"], "steps": ["zscore"], "encoder": "ridge"},
            {"name": "both", "features": ["neighbours", "ridge"], "encoder": "stack"},
        ],
        base=Path(__file__).parent,
    )
    report = run_recipe(recipe, folder / "runs", Machine(store=folder / "store"))
    for name, scores in report.summary["members"].items():
        regions = scores["pearson"]["by_roi"]
        print(f"{name:12s}", {roi: round(r["median"], 3) for roi, r in regions.items()})
    print(f"report: {report.folder}/report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
