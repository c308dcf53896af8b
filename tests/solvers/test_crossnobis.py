"""Cross-validated distances are those of all pairs of runs, unbiased, and free of noise."""

import tracemalloc
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import DataError, StriateError
from striate.solvers import crossnobis
from striate.solvers.crossnobis import (
    crossnobis_distances,
    crossnobis_need,
    crossnobis_of_rows,
)
from striate.solvers.distances import squared_euclidean_distances

KINDS = ["none", "features", "matrix", "runs"]


def patterns(runs=4, stimuli=6, features=5, seed=0):
    return np.random.default_rng(seed).standard_normal((runs, stimuli, features)) + 2


def precision_for(kind, runs=4, features=5):
    rng = np.random.default_rng(9)
    if kind == "none":
        return None
    if kind == "features":
        return rng.uniform(0.5, 2, features)
    q = rng.standard_normal((runs, features, 2 * features))
    p = q @ q.transpose(0, 2, 1)
    return p[0] if kind == "matrix" else p


def slow(x, held, precision):
    """The mean over ordered pairs of different runs that hold both stimuli."""
    runs, n, p = x.shape
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            parts = []
            for a, b in permutations(range(runs), 2):
                if not (held[a, i] and held[a, j] and held[b, i] and held[b, j]):
                    continue
                if precision is None:
                    m = np.eye(p)
                elif precision.ndim == 1:
                    m = np.diag(precision)
                elif precision.ndim == 2:
                    m = precision
                else:
                    m = np.linalg.inv(
                        (np.linalg.inv(precision[a]) + np.linalg.inv(precision[b])) / 2
                    )
                parts.append((x[a, i] - x[a, j]) @ m @ (x[b, i] - x[b, j]))
            d[i, j] = np.mean(parts)
    return d


@settings(max_examples=8, deadline=None)
@given(runs=st.integers(2, 5), stimuli=st.integers(2, 6), features=st.integers(1, 6))
@pytest.mark.parametrize("kind", KINDS)
def test_same_as_all_pairs_of_runs(kind, runs, stimuli, features):
    x, p = patterns(runs, stimuli, features), precision_for(kind, runs, features)
    before = x.copy()
    found = crossnobis_distances(x, p)
    expected = slow(x, np.ones((runs, stimuli), bool), p)
    np.testing.assert_allclose(found, expected, atol=1e-10 * max(1, abs(expected).max()))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(x, before)
    assert not np.diag(found).any()


def labelled(x, held, repeats, seed=0):
    """Shuffled rows of the cells that are held, some more than once."""
    rng = np.random.default_rng(seed)
    rows, names, runs, means = [], [], [], np.zeros_like(x)
    for r, s in np.argwhere(held):
        own = x[r, s] + rng.standard_normal((repeats[r, s], x.shape[2]))
        means[r, s] = own.mean(axis=0)
        rows += list(own)
        names += [f"im{s}"] * len(own)
        runs += [f"run{r}"] * len(own)
    order = rng.permutation(len(rows))
    pick = [np.array(v)[order] for v in (rows, names, runs)]
    return pick[0], pick[1].tolist(), pick[2].tolist(), means


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("balanced", [True, False])
def test_labelled_rows_in_any_order(kind, balanced):
    rng = np.random.default_rng(1)
    x, held = patterns(), np.ones((4, 6), bool)
    if not balanced:
        held[0, 1] = held[1, 2] = held[3, 4] = False
    rows, names, runs, means = labelled(x, held, rng.integers(1, 4, (4, 6)))
    labels, found = crossnobis_of_rows(rows, names, runs, precision_for(kind))
    assert labels == [f"im{s}" for s in range(6)]
    np.testing.assert_allclose(found, slow(means, held, precision_for(kind)), atol=1e-9)
    np.testing.assert_array_equal(found, found.T)


def test_what_a_run_adds_to_all_its_patterns_cancels():
    held = np.ones((4, 6), bool)
    held[2, 3] = False
    x = patterns()
    shift = 1e3 * np.arange(4)[:, None, None]
    for h in (held, np.ones_like(held)):
        pair = [labelled(v, h, h.astype(int)) for v in (x, x + shift)]
        found = [crossnobis_of_rows(*p[:3])[1] for p in pair]
        np.testing.assert_allclose(*found, atol=1e-7)


def test_unbiased_and_negative_where_nothing_differs():
    rng = np.random.default_rng(0)
    truth = np.zeros((4, 30))
    truth[3] = 0.5
    draws = [crossnobis_distances(truth + rng.standard_normal((6, 4, 30))) for _ in range(400)]
    mean, error = np.mean(draws, axis=0), np.std(draws, axis=0) / 20
    assert np.min(draws) < -1
    assert abs(mean[0, 1]) < 4 * error[0, 1]
    assert abs(mean[0, 3] - 7.5) < 4 * error[0, 3]
    assert squared_euclidean_distances(truth + rng.standard_normal((4, 30)))[0, 1] > 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pretend_gpu", [False, True])
def test_tensors_and_types(kind, pretend_gpu, monkeypatch):
    if pretend_gpu:
        monkeypatch.setattr(crossnobis, "on_cpu", lambda *x: (x, lambda y: y))
    x, p = patterns().astype(np.float32), precision_for(kind)
    expected = crossnobis_distances(x, p)
    assert expected.dtype == np.float32
    np.testing.assert_allclose(crossnobis_distances(x, p, double=False), expected, rtol=2e-4,
                               atol=2e-4 * abs(expected).max())  # fmt: skip
    tensors = torch.tensor(x), None if p is None else torch.tensor(p)
    np.testing.assert_allclose(crossnobis_distances(*tensors).numpy(), expected, rtol=1e-5,
                               atol=1e-5)  # fmt: skip
    held = np.ones((4, 6), bool)
    held[0, 0] = False
    rows, names, runs, _ = labelled(x, held, held.astype(int))
    rows = rows.astype(np.float32)
    expected = crossnobis_of_rows(rows, names, runs, p)[1]
    found = crossnobis_of_rows(torch.tensor(rows), names, runs, tensors[1])[1]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_huge_means_in_float32_keep_their_digits():
    x = patterns(4, 6, 50)
    far = (x + 1000).astype(np.float32)
    np.testing.assert_allclose(
        crossnobis_distances(far), crossnobis_distances(far.astype(float)), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(crossnobis_distances(far), crossnobis_distances(x), atol=0.05)


def test_mistakes_are_named():
    x = patterns()
    with pytest.raises(DataError, match="two runs or more, and there is 1"):
        crossnobis_distances(x[:1])
    with pytest.raises(DataError, match="does not belong to 5 features"):
        crossnobis_distances(x, np.eye(4))
    with pytest.raises(DataError, match="not positive definite"):
        crossnobis_distances(x, np.ones((5, 5)))
    with pytest.raises(DataError, match="must be positive"):
        crossnobis_distances(x, np.zeros(5))
    with pytest.raises(StriateError, match="6 stimuli and 5 features in 4 runs needs at least"):
        crossnobis_distances(x, memory=1000)
    rows, names, runs = (
        x[:3].reshape(-1, 5),
        [f"im{s}" for s in range(6)] * 3,
        np.repeat([1, 2, 3], 6),
    )
    with pytest.raises(DataError, match="label every row"):
        crossnobis_of_rows(rows, names, runs.tolist()[:-1])
    keep = [k for k in range(18) if not (names[k] == "im2" and runs[k] > 1)]
    with pytest.raises(DataError, match="stimuli im0 and im2 share 1 runs"):
        crossnobis_of_rows(rows[keep], [names[k] for k in keep], runs[keep].tolist())
    x[2, 1, 3] = np.nan
    with pytest.raises(DataError, match=r"run 2 of the patterns has 1 .* row 1, feature 3"):
        crossnobis_distances(x)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_stays_within_what_is_stated(kind):
    x, p = patterns(6, 50, 300), precision_for(kind, 6, 300)
    need = crossnobis_need(6, 50, 300, per_run=kind == "runs").fixed
    crossnobis_distances(x, p)
    tracemalloc.start()
    crossnobis_distances(x, p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.02 * need < peak < need


@pytest.mark.parametrize("far", [0.0, 1e5])
@pytest.mark.parametrize("double", [False, True])
def test_patterns_far_from_zero_keep_their_digits_and_their_values(far, double):
    x = np.random.default_rng(0).normal(size=(3, 6, 40))
    moved = x + far * np.arange(1, 4)[:, None, None]
    before = moved.copy()
    got = crossnobis_distances(moved, double=double)
    np.testing.assert_array_equal(moved, before)
    np.testing.assert_allclose(got, crossnobis_distances(x, np.ones(40)), atol=1e-8)
