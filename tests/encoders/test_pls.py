"""PLS over labels is the solver's, of each group apart."""

import numpy as np
import pytest

from striate.encoders.pls import PLS
from striate.errors import RecipeError, StriateError
from striate.machine import Machine, using
from striate.solvers.pls import pls_cv
from striate.splits import folds_of
from striate.testing import stimuli_case


@pytest.mark.parametrize("choice", ["target", "group"])
def test_predictions_are_the_solvers(choice):
    case = stimuli_case()
    view = case.features.rows(case.seen)
    fitted = PLS(6, choice, folds=3, seed=1).fit(view, case.groups)
    found = fitted.predict(case.features, case.rows)
    x = np.concatenate([view.matrix(n) for n in view.names], axis=1)
    new = case.features.rows(tuple(case.rows.row.values))
    new = np.concatenate([new.matrix(n) for n in new.names], axis=1)
    folds = folds_of(list(case.seen), 3, 1)
    chosen = []
    for group in case.groups:
        (block,) = group
        one = "global" if choice == "group" else "target"
        fit = pls_cv(x, block.values, 6, folds, choice=one)
        chosen += fit.components.tolist()
        at = [list(found.target.values).index(t) for t in block.target.values]
        np.testing.assert_allclose(found.values[:, at], fit.predict(new), rtol=1e-3, atol=1e-4)
    assert fitted.note_["median number of components"] == np.median(chosen)
    largest = fitted.note_["targets with the largest number of components"]
    assert largest == sum(c == 6 for c in chosen)


def test_what_it_cannot_do_is_named():
    case = stimuli_case()
    with pytest.raises(RecipeError, match="components 0 must be 1 or more"):
        PLS(0)
    with pytest.raises(RecipeError, match="PLS cannot start from another fit"):
        PLS().fit(case.features, case.groups, start=PLS())
    with (
        using(Machine(memory=10_000, threads=1, quiet=True)),
        pytest.raises(StriateError, match="PLS of 24 features on 54 rows needs at least"),
    ):
        PLS(3).fit(case.features.rows(case.seen), case.groups)
