"""Features from a Python function of your own: pictures in, arrays out, named by its file.

python examples/own_function.py [FOLDER]

The function gets frames as an array and knows nothing of files, batches or the store; the digest of
its file is in the key, so its features are made again when you edit it. Films work the same way:
the function sees their frames, which are then averaged, or kept with `time = "keep"`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from striate import Machine, Recipe, run_recipe
from striate.datasets.folder import Folder


def cells(pictures: np.ndarray, grid: int) -> dict[str, np.ndarray]:
    """Mean and standard deviation of the grey levels in each cell of a grid.

    `pictures` are bytes (frame, height, width, 3); what comes back begins with the frames too.
    """
    grey = pictures.mean(axis=3) / 255
    count, side = len(grey), grey.shape[1] // grid
    parts = grey.reshape(count, grid, side, grid, side)
    return {"layout": parts.mean(axis=(2, 4)), "contrast": parts.std(axis=(2, 4))}


def main(folder: Path) -> None:
    """Compare what the two spaces of the function predict of a made-up brain."""
    known = Folder.twin(folder / "twin")
    ridge = {"steps": ["zscore"], "encoder": {"use": "ridge", "alphas": [1, 10, 100, 1000]}}
    recipe = Recipe(
        title="Light and contrast in the cells of a grid",
        dataset={"use": "folder", "path": str(folder / "twin")},
        features={
            "mine": {
                "use": "function",
                "call": "./own_function.py:cells",
                "returns": ["layout", "contrast"],
                "size": 48,
                "options": {"grid": 3},
            }
        },
        member=[
            {"name": "contrast", "features": ["mine.contrast"], **ridge},
            {"name": "layout", "features": ["mine.layout"], **ridge},
            {"name": "both", "features": ["mine.*"], **ridge},
        ],
        base=Path(__file__).parent,
    )
    report = run_recipe(recipe, folder / "runs", Machine(store=folder / "store"))
    for name, scores in report.summary["members"].items():
        regions = scores["pearson"]["by_roi"]
        print(f"{name:12s}", {roi: round(r["median"], 3) for roi, r in regions.items()})
    print("known       ", known.groupby("roi")["score"].mean().round(3).to_dict())
    print(f"report: {report.folder}/report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
