"""RES against its formula, worked examples and slow loops over rows."""

import inspect
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from striate.errors import DataError, StriateError
from striate.solvers.res import Weighting, choose_weighting, res, res_need, unit_rows, weighted

X = np.array([[1.0, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 5]])
Y = np.array([[1.0, 0], [0, 1], [2, -1]])
NEW = np.array([[2.0, 1, 4, 3]])
RNG = np.random.default_rng(0)


def slow(x, y, new, similarity="pearson", normaliser="absolute", centre=True, power=1.0, k=None):
    out = []
    mean = y.mean(axis=0) if centre else 0.0
    for row in new:
        if similarity == "pearson":
            s = np.array([np.corrcoef(row, one)[0, 1] for one in x])
        elif similarity == "spearman":
            s = np.array([spearmanr(row, one).statistic for one in x])
        else:
            s = np.array([row @ one / np.linalg.norm(row) / np.linalg.norm(one) for one in x])
        s = np.sign(s) * np.abs(s) ** power
        if k is not None:
            s[np.abs(s) < np.sort(np.abs(s))[-k] - 1e-12] = 0
        total = np.abs(s).sum() if normaliser == "absolute" else 1.0
        out.append(s @ (y - mean) / total + mean)
    return np.array(out)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("centre", "expected"),
    [(False, (0.5888915, -0.5296305)), (True, (1.5296305, -0.5296305))],
)
def test_worked_example(centre, expected, dtype):
    similar = unit_rows(NEW) @ unit_rows(X).T
    np.testing.assert_allclose(similar, [[0.6, -0.6, 0.0755929]], atol=5e-8)
    found = res(X.astype(dtype), Y.astype(dtype), NEW.astype(dtype), centre=centre)
    np.testing.assert_allclose(found, [expected], atol=5e-8 if dtype == np.float64 else 1e-6)
    assert found.dtype == dtype


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "spearman"])
@pytest.mark.parametrize("normaliser", ["absolute", "none"])
@pytest.mark.parametrize(("centre", "power", "k"), [(True, 1.0, None), (False, 2.5, 4)])
def test_every_option_is_that_of_a_loop(similarity, normaliser, centre, power, k):
    x, y, new = RNG.random((12, 9)), RNG.standard_normal((12, 3)) + 5, RNG.random((6, 9))
    found = res(
        x,
        y,
        new,
        similarity=similarity,
        normaliser=normaliser,
        centre=centre,
        power=power,
        neighbours=k,
    )
    expected = slow(x, y, new, similarity, normaliser, centre, power, k)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(2, 12),
    p=st.integers(3, 9),
    targets=st.integers(1, 4),
    rows=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_any_shape(n, p, targets, rows, seed):
    rng = np.random.default_rng(seed)
    x, y, new = (rng.standard_normal(s) for s in ((n, p), (n, targets), (rows, p)))
    np.testing.assert_allclose(res(x, y, new), slow(x, y, new), rtol=1e-8, atol=1e-10)


def test_neighbours_that_are_equal_stay_together():
    x = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0.5, 1]])
    y = np.array([[4.0], [2.0], [9.0], [9.0]])
    found = res(x, y, x[:1], neighbours=1, centre=False)
    np.testing.assert_allclose(found, [[3.0]])
    np.testing.assert_allclose(res(x[::-1], y[::-1], x[:1], neighbours=1, centre=False), found)


def test_constant_rows_are_like_nothing():
    x, y = RNG.standard_normal((8, 5)), RNG.standard_normal((8, 2))
    held = np.vstack([x, np.full((1, 5), 3.7)])
    both = np.vstack([y, y.mean(axis=0, keepdims=True)])
    np.testing.assert_allclose(res(held, both, x), res(x, y, x), rtol=1e-12)
    flat = np.full((1, 5), 1e6 / 3)
    np.testing.assert_allclose(res(x, y, flat), [y.mean(axis=0)])
    np.testing.assert_array_equal(res(x, y, flat, centre=False), [[0, 0]])
    with pytest.raises(DataError, match="all 3 training rows are constant"):
        res(np.ones((3, 4)), np.ones((3, 1)), x[:, :4])


def test_orthogonal_rows_say_nothing():
    x = np.array([[1.0, -1, 0, 0], [-1, 1, 0, 0]])
    found = res(x, np.array([[1.0], [5.0]]), np.array([[0.1, 0.1, 0.3, -0.5]]))
    np.testing.assert_allclose(found, [[3.0]])


def test_large_means_in_single_precision():
    x, new = 1e4 + RNG.standard_normal((40, 30)), 1e4 + RNG.standard_normal((9, 30))
    y = 1e4 + RNG.standard_normal((40, 4))
    single = [a.astype(np.float32) for a in (x, y, new)]
    double = [a.astype(np.float64) for a in single]
    found = res(*single).astype(np.float64) - double[1].mean(axis=0)
    np.testing.assert_allclose(found, res(*double) - double[1].mean(axis=0), atol=1e-3)
    assert np.abs(found).max() > 0.05


def test_batches_change_rounding_only_and_stay_within_memory():
    n, p, targets, rows = 100, 200, 3000, 400
    x, y, new = (RNG.standard_normal(s) for s in ((n, p), (n, targets), (rows, p)))
    units, whole = unit_rows(x), res(x, y, new)
    memory = 1 << 20
    assert len(res_need(n, p).batches(rows, 3 * memory // 8)) > 5
    tracemalloc.start()
    parts = weighted(units, y, new, memory=memory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-12)
    assert peak < memory + parts.nbytes
    with pytest.raises(StriateError, match="RES of 200 features on 100 rows needs at least"):
        weighted(units, y, new, memory=1000)


@pytest.mark.parametrize("pretend_gpu", [False, True])
@pytest.mark.parametrize("similarity", ["pearson", "cosine", "spearman"])
def test_tensors_in_tensors_out(similarity, pretend_gpu, monkeypatch):
    if pretend_gpu:
        monkeypatch.setattr("striate.solvers.res.on_cpu", lambda *a: (a, lambda b: b))
    x, y, new = (RNG.random(s).astype(np.float32) for s in ((20, 9), (20, 4), (6, 9)))
    options = {"similarity": similarity, "neighbours": 7, "power": 2.0}
    found = res(torch.tensor(x), torch.tensor(y), torch.tensor(new), **options)
    assert isinstance(found, torch.Tensor) and found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), res(x, y, new, **options), rtol=1e-4, atol=1e-5)
    folds, tried = np.arange(20) % 4, [Weighting(), Weighting(neighbours=3)]
    units = unit_rows(torch.tensor(x), similarity)
    best, scores = choose_weighting(units, torch.tensor(y), tried, folds)
    expected = choose_weighting(unit_rows(x, similarity), y, tried, folds)
    assert best == expected[0]
    np.testing.assert_allclose(scores, expected[1], atol=1e-5)


def test_the_weighting_that_predicts_best_is_chosen():
    # correlations across three features are cosines of angles: all weights together know no more
    angle = RNG.uniform(0, 2 * np.pi, 120)
    x = np.stack([np.cos(angle + k * 2 * np.pi / 3) for k in range(3)], axis=1)
    y = np.stack([np.cos(3 * angle), np.sin(3 * angle)], axis=1)
    y = np.hstack([y, np.full((120, 1), 7.0)])  # a target that never varies has no say
    folds = np.arange(120) % 5
    tried = [Weighting(), Weighting(power=8.0), Weighting(neighbours=4)]
    best, scores = choose_weighting(unit_rows(x), y, tried, folds)
    for k, one in enumerate(tried):
        found, truth = np.zeros((120, 2)), np.zeros((120, 2))
        for f in range(5):
            train, test = folds != f, folds == f
            mean = y[train, :2].mean(axis=0)
            options = {"power": one.power, "neighbours": one.neighbours}
            found[test] = res(x[train], y[train, :2], x[test], **options) - mean
            truth[test] = y[test, :2] - mean
        cosine = (found * truth).sum(0) / np.sqrt((found**2).sum(0) * (truth**2).sum(0))
        assert scores[k] == pytest.approx(cosine.mean(), rel=1e-9)
    assert best == scores.argmax()
    assert scores[best] > scores[0] + 0.5
    with pytest.raises(DataError, match="no target varies"):
        choose_weighting(unit_rows(x), y[:, 2:], tried, folds)
    with pytest.raises(DataError, match="at least two folds"):
        choose_weighting(unit_rows(x), y, tried, folds * 0)


def test_mistakes_are_named():
    unchecked = inspect.unwrap(weighted)  # shapes are checked before it in tests alone
    holed = X.copy()
    holed[1, 2] = np.nan
    with pytest.raises(DataError, match="row 1, feature 2"):
        res(holed, Y, NEW)
    with pytest.raises(DataError, match=r"y has 2 values.*row 0, target 1"):
        res(X, np.where(Y == 1, np.nan, Y)[:, ::-1], NEW)
    with pytest.raises(DataError, match="3 rows of x for 2 of y"):
        unchecked(X, Y[:2], NEW)
    with pytest.raises(DataError, match="new rows have 3 features, training rows 4"):
        unchecked(X, Y, NEW[:, :3])
    with pytest.raises(DataError, match="float32"):
        res(X, Y, NEW.astype(np.float32))
    with pytest.raises(DataError, match="across 1 features is undefined"):
        res(X[:, :1], Y, NEW[:, :1])
    with pytest.raises(DataError, match=r"power 0.0"):
        res(X, Y, NEW, power=0.0)
    with pytest.raises(DataError, match="0 neighbours"):
        res(X, Y, NEW, neighbours=0)
