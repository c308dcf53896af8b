"""Kernel ridge over labelled rows: the solver's answers, units kept together, mistakes named."""

import numpy as np
import pytest
from tests.encoders.test_ridge import ROWS, Problem

from striate.data import ArraySpace, Features
from striate.encoders.kernel import KernelRidge
from striate.encoders.ridge import Ridge
from striate.errors import RecipeError
from striate.solvers.kernel_ridge import kernel, kernel_ridge_cv
from striate.splits import folds_of

ALPHAS = (0.01, 0.1, 1.0, 10.0)


@pytest.mark.parametrize("name", ["rbf", "correlation", "polynomial"])
def test_predictions_are_those_of_the_solver(name):
    p = Problem()
    fitted = KernelRidge(name, 2, 0.05, 0.5, ALPHAS, folds=4, seed=1).fit(p.seen, [[p.train]])
    x, options = p.x[:ROWS], {"degree": 2, "gamma": 0.05, "coef0": 0.5}
    folds = folds_of(p.ids[:ROWS], 4, 1)
    expected = kernel_ridge_cv(kernel(x, x, name, **options), p.y[:ROWS], ALPHAS, folds)
    found = fitted.predict(p.features, p.test).values
    np.testing.assert_allclose(
        found, expected.predict(kernel(p.x[ROWS:], x, name, **options)), rtol=1e-9
    )
    assert fitted.note_["features"] == 8
    np.testing.assert_array_equal(fitted.parts_[0]["alpha"], expected.alpha)


@pytest.mark.parametrize("folds", [5, "loo"])
@pytest.mark.parametrize("penalty", ["target", "group"])
def test_linear_is_ridge_and_gaps_leave_rows_to_each(folds, penalty):
    p = Problem()
    train = p.train.copy(deep=True)
    train.values[:20, 1] = np.nan
    alphas = (1.0, 10.0, 100.0)
    fits = [
        KernelRidge("linear", alphas=alphas, folds=folds, penalty=penalty),
        Ridge(alphas, folds=folds, penalty=penalty),
    ]
    found, expected = (f.fit(p.seen, [[train]]).predict(p.features, p.test).values for f in fits)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_precision_follows_the_features_and_units_are_kept_together():
    p = Problem()
    features = Features({"x": ArraySpace(p.ids, p.x.astype(np.float32))}, p.ids)
    fitted = KernelRidge(alphas=ALPHAS).fit(features.rows(p.ids[:ROWS]), [[p.train]])
    wide = KernelRidge(alphas=ALPHAS).fit(p.seen, [[p.train]])
    found = fitted.predict(features, p.test)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wide.predict(p.features, p.test), rtol=1e-3, atol=1e-3)
    units = np.array([f"u{k // 3}" for k in range(ROWS)], dtype=object)
    train = p.train.assign_coords(unit=("row", units))
    with pytest.raises(RecipeError, match="independent units"):
        KernelRidge(folds="gcv").fit(p.seen, [[train]])


def test_mistakes_are_named():
    with pytest.raises(RecipeError, match="must be above 0"):
        KernelRidge(alphas=(0.0, 1.0))
    with pytest.raises(RecipeError, match=r"gamma -1\.0 0 or more"):
        KernelRidge(gamma=-1.0)
    p = Problem()
    with pytest.raises(RecipeError, match="cannot start from another fit"):
        KernelRidge().fit(p.seen, [[p.train]], start=Ridge())


def test_the_width_of_rbf_follows_the_scale_of_features():
    p = Problem()
    found = []
    for scale in (1.0, 1000.0):
        features = Features({"x": ArraySpace(p.ids, scale * p.x)}, p.ids)
        fitted = KernelRidge(alphas=ALPHAS).fit(features.rows(p.ids[:ROWS]), [[p.train]])
        found.append(fitted.predict(features, p.test).values)
    np.testing.assert_allclose(*found, rtol=1e-9)
    assert (found[0].std(axis=0) > 0.01 * p.y.std(axis=0)).all()
