"""A first encoder: made-up images and brains in, scores, ceilings and a report out.

python examples/first_encoder.py [FOLDER]

The twin has the layout of your own data (`images/`, `responses/`, `stimuli.csv`, `targets.csv`), so
the same lines run on a folder of yours. Writes everything below FOLDER (default: a temporary one).
"""

import sys
import tempfile
from pathlib import Path

from striate import load_recipe, run_recipe
from striate.datasets.folder import Folder

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
known = Folder.twin(folder / "twin")  # the best score that noise allows, by subject and region
recipe = load_recipe("demo", [f"dataset.path={folder / 'twin'}"])
report = run_recipe(recipe, out=folder / "runs")
found = report.scores.query("member == 'stack' and score == 'pearson'")
found = found.groupby(["subject", "roi"])["value"].median()
print(known.set_index(["subject", "roi"]).assign(found=found).round(3))
print(report.in_words())
