"""Fractional ridge over labelled rows: the solver's answers over folds that part no unit."""

import numpy as np
import pytest
from tests.encoders.test_ridge import ROWS, Problem

from striate.encoders.fractional import FractionalRidge
from striate.errors import RecipeError
from striate.solvers.fractional import fractional_ridge_cv
from striate.splits import folds_of

FRACTIONS = (0.1, 0.4, 0.7, 1.0)


def test_predictions_are_those_of_the_solver():
    p = Problem()
    names = [f"u{k // 3}" for k in range(ROWS)]
    train = p.train.assign_coords(unit=("row", np.array(names, dtype=object)))
    fitted = FractionalRidge(FRACTIONS, folds=4, seed=1).fit(p.seen, [[train]])
    expected = fractional_ridge_cv(p.x[:ROWS], p.y[:ROWS], FRACTIONS, folds_of(names, 4, 1))
    np.testing.assert_allclose(
        fitted.predict(p.features, p.test).values, expected.predict(p.x[ROWS:]), rtol=1e-9
    )
    chosen = fitted.parts_[0]["fraction"]
    np.testing.assert_array_equal(chosen, expected.fraction)
    assert len(set(chosen)) > 1
    assert fitted.note_["targets with the largest fraction"] == (chosen == 1.0).sum()
    assert fitted.note_["targets with the smallest fraction"] == (chosen == 0.1).sum()


def test_mistakes_are_named():
    with pytest.raises(RecipeError, match="must be numbers from 0 to 1"):
        FractionalRidge((0.5, 1.5))
    with pytest.raises(RecipeError, match="must be numbers"):
        FractionalRidge(())
    p = Problem()
    with pytest.raises(RecipeError, match="cannot start from another fit"):
        FractionalRidge().fit(p.seen, [[p.train]], start=FractionalRidge())
