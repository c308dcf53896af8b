"""New images through the model of a run: fitted on all its training stimuli, once."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from striate.errors import DataError
from striate.run import run_recipe
from striate.run.fresh import predict_images

from .parts import noted, solve
from .worlds import PARTS, Bench, folds


def colours(folder, names, seed=0):
    """Images on disk, and what the extractor makes of them."""
    folder.mkdir()
    rng, rows = np.random.default_rng(seed), []
    for name in names:
        pixels = rng.integers(0, 255, (2, 2, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
        rows.append(pixels.ravel() / 255)
    return np.stack(rows)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.x = colours(tmp_path / "old", made.ids)
    made.weights = made.rng.standard_normal((12, 4))
    made.table["file"] = [str(tmp_path / "old" / f"{i}.png") for i in made.ids]
    return made


def recipe(bench, **more):
    one = {"name": "one", "features": ["x"], "encoder": bench.linear("one")}
    two = {"name": "two", "features": ["x"], "encoder": bench.linear("two", alpha=5.0)}
    last = {"name": "last", "features": ["one", "two"], "encoder": "mean"}
    features = {"x": {"use": f"{PARTS}:Means"}}
    return bench.recipe([one, two, last], features=features, **more)


@pytest.mark.parametrize("final", ["refit", "mean of folds"])
def test_new_images_equal_a_fit_by_hand(bench, tmp_path, final):
    y = bench.subject()
    new = colours(tmp_path / "new", ["n0", "n1", "im3"], seed=1)
    Image.open(tmp_path / "old" / "im5.png").save(tmp_path / "new" / "copy.png")
    new = np.concatenate([new, bench.x[5:6]])
    files = [str(tmp_path / "new" / f"{n}.png") for n in ("n0", "n1", "im3", "copy")]
    found = predict_images(recipe(bench, final=final), files, bench.machine())["s1"]
    fold = folds(bench.ids, 3)
    sides = [np.ones(24, bool)] if final == "refit" else [fold != k for k in range(3)]
    fits = [solve(bench.x[a], y[a], alpha) for a in sides for alpha in (1.0, 5.0)]
    wanted = np.mean([new @ w + b for w, b in fits], axis=0)
    rows = [f"new/{n}" for n in ("n0", "n1", "im3", "copy")]
    np.testing.assert_allclose(found.sel(row=rows).values, wanted, atol=1e-5)
    assert set(found.row.values) == set(rows)


def test_fits_of_the_run_are_used_again(bench, tmp_path):
    bench.table["part"] = ["train"] * 18 + ["test"] * 6
    bench.subject(hidden=bench.ids[18:])
    colours(tmp_path / "new", ["n0"], seed=1)
    for action in ("ignore", "group"):
        own = recipe(bench, near_duplicates=action)
        run_recipe(own, tmp_path / "runs", bench.machine())
        before = sum("fit" in line for line in noted(bench.log))
        predict_images(own, [str(tmp_path / "new" / "n0.png")], bench.machine())
        assert sum("fit" in line for line in noted(bench.log)) == before


def test_no_images_is_a_mistake(bench):
    bench.subject()
    with pytest.raises(DataError, match="no images"):
        predict_images(recipe(bench), [], bench.machine())
