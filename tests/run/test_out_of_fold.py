"""Predictions of training rows that their fits had not seen, against folds written by hand."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from striate import out_of_fold
from striate.errors import RecipeError

from .parts import noted
from .worlds import Bench, folds


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def members(bench):
    one = {"name": "one", "encoder": bench.linear("one")}
    two = {"name": "two", "encoder": bench.linear("two", alpha=3.0)}
    return [one, two, {"name": "stack", "features": ["one", "two"], "encoder": "stack"}]


def test_equals_folds_inside_of_a_call_and_fits_nothing_again(bench):
    y = bench.subject()
    report = bench.run(members(bench), inner={"folds": 4, "seed": 7})
    before = len(noted(bench.log))
    outer = folds(bench.ids, 3)
    for call in range(3):
        found = out_of_fold(report.folder, "two", f"fold{call}", bench.machine())["s1"]
        at = np.flatnonzero(outer != call)
        ids = [bench.ids[k] for k in at]
        assert set(found.row.values) == set(ids)
        inner = folds(ids, 4, 7)
        calls = dict(zip(found.row.values, found.call.values, strict=True))
        assert [calls[i] for i in ids] == [f"part{k}" for k in inner]
        x = bench.x[at]
        wanted = np.full((len(at), 4), np.nan)
        for k in range(4):
            train = inner != k
            wanted[~train] = Ridge(3.0).fit(x[train], y[at][train]).predict(x[~train])
        np.testing.assert_allclose(found.sel(row=ids).values, wanted, atol=1e-5)
    assert not any("fit" in line for line in noted(bench.log)[before:])


def test_an_ensemble_is_out_of_fold_too_and_a_recipe_does(bench):
    bench.subject()
    recipe = bench.recipe(members(bench), inner={"folds": 3})
    found = out_of_fold(recipe, machine=bench.machine())["s1"]
    outer = folds(bench.ids, 3)
    assert set(found.row.values) == {i for i, k in zip(bench.ids, outer, strict=True) if k != 0}
    assert np.isfinite(found.values).all()
    fitted = [set(line["fit"]) for line in noted(bench.log) if "fit" in line]
    seen = {
        call: set(found.row.values[found.call.values == call]) for call in set(found.call.values)
    }
    assert len(seen) == 3
    # Every fit under the stack leaves out the rows of at least one part.
    assert fitted
    assert all(any(not (rows & own) for own in seen.values()) for rows in fitted)


def test_mistakes_are_told(bench):
    bench.subject()
    recipe = bench.recipe(members(bench))
    with pytest.raises(RecipeError, match="unknown member 'on': did you mean 'one'"):
        out_of_fold(recipe, "on", machine=bench.machine())
    with pytest.raises(RecipeError, match="unknown call 'fold9'"):
        out_of_fold(recipe, "one", "fold9", bench.machine())
