"""Representational similarity on a twin of the 2019 challenge: 92 images, 15 people, two regions.

python examples/rsa_2019.py [FOLDER]

A row is a pair of images and a target is a region, so a model RDM is a prediction like any other
and is scored against every subject by label. Two model RDMs stand as they are; a third chooses
between them for each region on the 118 images of other people, and is judged on the 92.
"""

import sys
import tempfile
from pathlib import Path

from striate import Machine, Recipe, run_recipe
from striate.datasets.algonauts2019 import Algonauts2019

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
known = Algonauts2019.twin(folder / "twin")

spaces = {
    name: {
        "use": "array",
        "path": str(folder / "twin" / f"features_{name}.npy"),
        "ids": str(folder / "twin" / "ids.csv"),
    }
    for name in ("early", "late")
}
rdm = {"use": "rdm", "distance": "euclidean"}
recipe = Recipe(
    title="Two model RDMs and the better one of each region",
    dataset={
        "use": "algonauts2019",
        "path": str(folder / "twin"),
        "test": "92",
        "train": ["118"],
    },
    split="parts",
    scores=["spearman"],
    near_duplicates="ignore",
    features=spaces,
    member=[
        {"name": "contrast", "features": ["early"], "per": ["roi"], "encoder": rdm},
        {"name": "luminance", "features": ["late"], "per": ["roi"], "encoder": rdm},
        {
            "name": "better",
            "features": ["early", "late"],
            "per": ["roi"],
            "encoder": {"use": "rdm_best", "distance": "euclidean"},
        },
    ],
)
report = run_recipe(recipe, folder / "runs", Machine(store=folder / "store"))

print("Spearman correlation with a subject's RDM, mean over 15 subjects")
for name, scores in report.summary["members"].items():
    regions = scores["spearman"]["by_roi"]
    print(f"{name:12s}", {roi: round(r["mean"], 3) for roi, r in regions.items()})
right = known[known["set"] == "92"].set_index("roi")["score"].round(3)
print("known       ", right[["EVC", "IT"]].to_dict())
print(f"report: {report.folder}/report.html")
