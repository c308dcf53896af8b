"""Three models of one brain side by side: which one is better, and by how much for certain.

python examples/compare.py [FOLDER]

The brain is made up: some of its voxels see brightness, others see more. The models are ridges on
pixels, 8, 4 and 2 to a side. All are compared on the same images and voxels, and the same thousand
draws of images tell how sure every difference is.
"""

import sys
import tempfile
from pathlib import Path

from striate import Machine, Recipe, compare, run_recipe
from striate.datasets.folder import Folder


def main(folder: Path) -> None:
    """Run three recipes and compare what came out."""
    Folder.twin(folder / "data")
    machine = Machine(store=folder / "store")
    runs = []
    for size in (8, 4, 2):
        recipe = Recipe(
            title=f"Ridge on {size} x {size} pixels",
            dataset={"use": "folder", "path": str(folder / "data")},
            scores=["pearson"],
            near_duplicates="ignore",
            features={"pixels": {"use": "pixels", "size": size, "colour": "gray"}},
            member=[
                {"name": "ridge", "features": "pixels", "steps": ["zscore"], "encoder": "ridge"}
            ],
        )
        report = run_recipe(recipe, folder / "runs", machine, name=f"{size} pixels")
        runs.append(report.folder)
    found = compare(runs, out=folder / "comparison", machine=machine)
    print(found.in_words())
    whole = found.differences.query("subject == '' and roi == ''")
    for line in whole.itertuples():
        sure = "is better than" if line.p <= 0.05 else "cannot be told from"
        print(f"{line.model} {sure} {line.other}: {line.low:.3f} to {line.high:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
