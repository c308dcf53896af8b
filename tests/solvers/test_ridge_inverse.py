"""Held-out rows predicted from inverses of one kernel are those of training sets refitted."""

import numpy as np
import pytest
import torch
from tests.solvers.test_ridge import by_svd, problem, slow_loss

from striate.solvers import _ridge_blocks
from striate.solvers._arrays import workers
from striate.solvers._inverses import inverse, mirrored, times
from striate.solvers._penalty_grid import skeleton
from striate.solvers._ridge_inverse import Inverses
from striate.solvers._upper import times_upper, upper_product
from striate.solvers.ridge import ridge_cv

ALPHAS = np.logspace(-2, 5, 12)


def watch(monkeypatch):
    """Return the routes that ridges take from now on."""
    seen, usual = [], _ridge_blocks.without_training_sets

    def told(*arguments):
        seen.append(usual(*arguments))
        return seen[-1]

    monkeypatch.setattr(_ridge_blocks, "without_training_sets", told)
    return seen


# well conditioned and not, repeated rows, as many features as rows, one row held out
@pytest.mark.parametrize("kind", ["plain", "steep", "repeated", "square", "one row"])
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_losses_and_solutions_are_those_of_refits(kind, pretend_gpu, monkeypatch):
    n, p = 80, 80 if kind == "square" else 300
    x, y = problem(n, p, targets=30, dtype=np.float32)
    if kind == "steep":
        x = x @ np.diag(np.geomspace(1, 1e-4, p)).astype(np.float32)
    if kind == "repeated":
        x[10:20] = x[:10]
    folds = np.random.default_rng(0).integers(0, 4, n)
    if kind == "one row":
        folds = np.r_[0, np.ones(n - 1, dtype=int)]
    seen = watch(monkeypatch)
    if pretend_gpu:
        monkeypatch.setattr("striate.solvers.ridge.on_cpu", lambda *a: (a, lambda b: b))
        fit = ridge_cv(torch.tensor(x), torch.tensor(y), ALPHAS, folds)
    else:
        fit = ridge_cv(x, y, ALPHAS, folds)
    loss, alpha, coef = (np.asarray(a) for a in (fit.loss, fit.alpha, fit.coef))
    assert isinstance(seen[0], Inverses)
    assert seen[0].single == (kind in ("plain", "one row"))
    assert 3 <= len(seen[0].kept) <= ALPHAS.size
    expected = slow_loss(x, y, ALPHAS, folds, by_svd)
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    lost = expected[np.searchsorted(ALPHAS, alpha), range(30)] / expected.min(axis=0) - 1
    assert lost.max() < 1e-5 and len(set(alpha)) > 2
    for target in range(0, 30, 7):
        solved = by_svd(x, y[:, target : target + 1], alpha[target], np.eye(p) + x.mean(axis=0))
        solved = solved[:, 0] - y[:, target].mean(dtype=np.float64)
        off = np.linalg.norm(coef[:, target] - solved) / np.linalg.norm(solved)
        assert off < 1e-4


def test_a_route_that_memory_or_digits_forbid_is_not_taken(monkeypatch):
    x, y = problem(60, 200, dtype=np.float32)
    folds, seen = np.arange(60) % 3, watch(monkeypatch)
    from striate.solvers.ridge import ridge_need

    need = ridge_need(60, 200, 3)
    little = ridge_cv(x, y, ALPHAS, folds, memory=need.fixed + need.each, threads=1)
    assert not isinstance(seen.pop(), Inverses)
    enough = ridge_cv(x, y, ALPHAS, folds, threads=1)
    assert isinstance(seen.pop(), Inverses)
    np.testing.assert_allclose(little.loss, enough.loss, rtol=1e-4)
    ridge_cv(x.astype(float), y.astype(float), ALPHAS, folds)
    ridge_cv(x, y, [0.0, 1.0], folds)
    assert seen == []


def test_a_narrower_spectrum_needs_fewer_penalties():
    alphas = np.logspace(-3, 3, 13)
    wide, narrow = (skeleton(alphas, 10.0, 1e-6, least) for least in (0.0, 1.0))
    assert len(narrow[0]) < len(wide[0])
    values = np.linspace(1.0, 10.0, 50)[:, None]
    kept, mix = narrow
    rest = [a for a in range(13) if a not in kept]
    exact = values / (values + alphas[rest])
    np.testing.assert_allclose(values / (values + alphas[kept]) @ mix.T, exact, atol=3e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_products_with_triangles(kind):
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=(150, 150)), rng.normal(size=(150, 150)), rng.normal(size=(5, 150))
    square = a @ a.T + np.eye(150)
    lower = inverse(kind(square.copy()))
    known = np.linalg.inv(square)
    np.testing.assert_allclose(np.asarray(mirrored(lower)), known, atol=1e-9)
    np.testing.assert_allclose(np.asarray(times(lower, kind(y))), y @ known, atol=1e-8)
    upper = upper_product(kind(a), kind(b), kind(a).dtype)
    np.testing.assert_allclose(np.asarray(upper), np.triu(a.T @ b), atol=1e-10)
    made = times_upper(kind(y), upper)
    np.testing.assert_allclose(np.asarray(made), y @ np.triu(a.T @ b), atol=1e-9)


def test_libraries_are_looked_for_once(monkeypatch):
    from striate.solvers import _arrays

    with workers(1):
        pass
    monkeypatch.setattr(_arrays, "ThreadpoolController", None)
    with workers(2) as crew:
        assert crew.map(lambda i: i + 1, [1, 2]) == [2, 3]
