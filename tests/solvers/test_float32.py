"""Float32 features and targets far from zero, or far from one, are fitted as float64 ones are."""

import numpy as np
import pytest

from striate.errors import DataError
from striate.solvers.banded import banded_ridge_cv
from striate.solvers.fractional import fractional_ridge_cv
from striate.solvers.pls import pls_cv
from striate.solvers.ridge import ridge, ridge_cv
from striate.solvers.sparse import elastic_net_cv, lasso_cv, multitask_elastic_net_cv

FOLDS = np.arange(120) // 30
SOLVERS = {
    "ridge": lambda x, y: ridge(x, y, 10.0),
    "ridge_cv": lambda x, y: ridge_cv(x, y, [1.0, 10.0], FOLDS),
    "fractional": lambda x, y: fractional_ridge_cv(x, y, [0.5, 0.9], FOLDS),
    "pls": lambda x, y: pls_cv(x, y, 3, FOLDS),
    "lasso": lambda x, y: lasso_cv(x, y, FOLDS, n_alphas=20),
    "elastic net": lambda x, y: elastic_net_cv(x, y, FOLDS, n_alphas=20),
    "multi-task": lambda x, y: multitask_elastic_net_cv(x, y, FOLDS, n_alphas=20),
}


def problem(mean=0.0, features=20):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, features))
    y = x @ rng.standard_normal((features, 5)) + rng.standard_normal((120, 5))
    return (x + mean * rng.uniform(0.5, 1.5, features)).astype(np.float32), y.astype(np.float32)


def wide(*arrays):
    return [a.astype(np.float64) for a in arrays]


def banded(x, y, **more):
    return banded_ridge_cv([x[:, :10], x[:, 10:]], y, draws=4, folds=FOLDS, **more)


@pytest.mark.parametrize("solver", SOLVERS)
def test_features_with_large_means_keep_their_predictions(solver):
    x, y = problem(1e5)
    fit, expected = SOLVERS[solver](x, y), SOLVERS[solver](*wide(x, y))
    found = fit.predict(x)
    assert found.dtype == fit.center.dtype == fit.level.dtype == np.float32
    np.testing.assert_allclose(found, expected.predict(*wide(x)), atol=1e-5 * y.std())
    about = wide(fit.center)[0] @ wide(fit.coef)[0]
    np.testing.assert_allclose(fit.intercept, wide(fit.level)[0] - about, rtol=1e-6)


def test_bands_with_large_means_keep_their_predictions():
    x, y = problem(1e5)
    fit, expected = (banded(*data, alphas=[1.0, 10.0]) for data in ((x, y), wide(x, y)))
    spaces, (z,) = [x[:, :10], x[:, 10:]], wide(x)
    found = fit.predict(spaces)
    np.testing.assert_allclose(found, expected.predict([z[:, :10], z[:, 10:]]), atol=3e-5)


def absent(n=600, p=60):
    """Features that only rows of one fold have: nothing is known of them outside."""
    rng = np.random.default_rng(0)
    x, folds = rng.standard_normal((n, p)), np.arange(n) * 5 // n
    x[:, :5] *= folds[:, None] == np.arange(5)
    y = x @ rng.standard_normal((p, 20)) + 0.3 * rng.standard_normal((n, 20))
    return x.astype(np.float32), y.astype(np.float32), folds


def short(n=300, p=280):
    """Training sets with fewer rows than features, of more rows in all."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, p))
    y = x @ rng.standard_normal((p, 20))
    return x.astype(np.float32), y.astype(np.float32), np.arange(n) * 5 // n


@pytest.mark.parametrize("make", [absent, short])
@pytest.mark.parametrize("fewest", [2, 40])  # held-out rows as they are, and as products
def test_directions_that_a_training_set_lacks_add_no_noise(make, fewest):
    x, y, folds = make()
    folds = folds if fewest > 2 else np.where(np.arange(len(x)) % 60 < 2, folds, 9)
    top = np.linalg.norm(x - x.mean(axis=0), 2) ** 2
    alphas = top * np.array([1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
    fit, expected = ridge_cv(x, y, alphas, folds), ridge_cv(*wide(x, y), alphas, folds)
    np.testing.assert_allclose(fit.loss, expected.loss, rtol=2e-4)
    place = np.searchsorted(alphas, fit.alpha * (1 - 1e-9))
    chosen = np.take_along_axis(expected.loss, place[None], axis=0)[0]
    np.testing.assert_allclose(chosen, expected.loss.min(axis=0), rtol=1e-4)


@pytest.mark.parametrize("features", [20, 150])
@pytest.mark.parametrize("size", [1e-40, 1e-25, 1e18])
def test_targets_of_any_size_have_the_penalty_of_others(features, size):
    x, y = problem(features=features)
    alphas = np.array([1e-2, 1.0, 1e2, 1e4])
    y[:, 1:] = (y[:, 1:].astype(np.float64) * size).astype(np.float32)
    for penalty in ("target", "global"):
        data = alphas, FOLDS
        fit = ridge_cv(x, y, *data, penalty=penalty)
        expected = ridge_cv(*wide(x, y), *data, penalty=penalty)
        np.testing.assert_array_equal(fit.alpha, expected.alpha)
        np.testing.assert_allclose(fit.loss, expected.loss, rtol=1e-4)
        assert fit.coef.dtype == fit.level.dtype == np.float32
        least = 1e-4 * np.abs(expected.coef).max(axis=0) + 1e-44
        assert (np.abs(fit.coef - expected.coef) <= least).all()
    single = banded(x, y, alphas=alphas)
    double = banded(*wide(x, y), alphas=alphas)
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-3)
    np.testing.assert_allclose(single.level, double.level, rtol=1e-4, atol=1e-44)


@pytest.mark.parametrize("size", [1e-20, 1e15])
def test_features_whose_squares_float32_cannot_hold_are_refused(size):
    x, y = problem()
    far = (x * size).astype(np.float32)
    with pytest.raises(DataError, match="between 1e-12 and 1e12"):
        ridge(far, y, 1.0)
    with pytest.raises(DataError, match="between 1e-12 and 1e12"):
        ridge_cv(far, y, [1.0], FOLDS)
    flat = ridge(np.zeros_like(x), y, 1.0)
    assert not flat.coef.any() and np.isfinite(flat.level).all()


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
@pytest.mark.parametrize("size", [2.0**-70, 2.0**-40, 2.0**30])
def test_bands_of_any_size(search, size):
    x, y = problem()
    alphas = np.array([1.0, 10.0, 100.0])
    expected = banded(x, y, alphas=alphas, search=search)
    fit = banded((x * size).astype(np.float32), y, alphas=alphas * size**2, search=search)
    np.testing.assert_allclose(fit.loss, expected.loss, rtol=1e-4)
    np.testing.assert_allclose(fit.alpha, expected.alpha * size**2, rtol=1e-3)
    np.testing.assert_allclose(fit.centers[0], expected.centers[0] * size, rtol=1e-6)
    for one, other in zip(fit.coefs, expected.coefs, strict=True):
        np.testing.assert_allclose(one * size, other, atol=1e-4)


@pytest.mark.parametrize("solver", [lasso_cv, elastic_net_cv, multitask_elastic_net_cv])
@pytest.mark.parametrize(("of_x", "of_y"), [(1e-20, 1e-20), (1e-20, 1.0), (1.0, 1e-25)])
def test_sparse_fits_of_any_size(solver, of_x, of_y):
    if solver is not lasso_cv and of_x != of_y:
        return  # their penalty is not that of features in other units
    x, y = wide(*problem())
    expected = solver(x, y, FOLDS, n_alphas=20)
    fit = solver(x * of_x, y * of_y, FOLDS, n_alphas=20)
    assert expected.coef.any(axis=0).all()
    np.testing.assert_allclose(fit.coef * (of_x / of_y), expected.coef, atol=1e-6)
    np.testing.assert_allclose(fit.alphas, expected.alphas * of_x * of_y, rtol=1e-9)
