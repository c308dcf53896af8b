"""Parts of explained variance are those of theory, add up, and name the model that is missing."""

from itertools import combinations

import numpy as np
import pytest

from striate.errors import StriateError
from striate.scores import r2
from striate.scores.partition import SHARED, partition, partitionable, subsets


def key(names):
    return frozenset(names)


def projected(spaces, y):
    """R2 of least squares on every subset of spaces, in sample: the slow definition."""
    found = {}
    for names in subsets(spaces):
        x = np.concatenate([spaces[n] for n in sorted(names)], axis=1)
        found[names] = r2(y, x @ np.linalg.lstsq(x, y, rcond=None)[0])
    return found


def test_three_spaces_are_those_of_the_venn_diagram():
    rng = np.random.default_rng(0)
    common = rng.standard_normal((400, 3))
    spaces = {n: 0.7 * common + rng.standard_normal((400, 3)) for n in "abc"}
    y = common + 0.5 * spaces["b"] + rng.standard_normal((400, 3))
    explained = projected(spaces, y)
    parts = partition(explained)
    assert len(parts) == 7
    e = {"".join(sorted(k)): v for k, v in explained.items()}
    expected = {
        "a": e["abc"] - e["bc"],
        "ab": e["ac"] + e["bc"] - e["c"] - e["abc"],
        "abc": e["a"] + e["b"] + e["c"] - e["ab"] - e["ac"] - e["bc"] + e["abc"],
    }
    for names, value in expected.items():
        np.testing.assert_allclose(parts[key(names)], value, atol=1e-12)
    # a region of the diagram is the sum of the parts inside it
    for names in subsets("abc"):
        inside = sum(v for t, v in parts.items() if t & names)
        np.testing.assert_allclose(inside, explained[names], atol=1e-12)


def test_more_spaces_need_the_union_and_all_but_each():
    rng = np.random.default_rng(1)
    union = key("abcd")
    explained = {union: rng.random(5)} | {union - {s}: rng.random(5) for s in union}
    parts = partition(explained)
    np.testing.assert_allclose(parts[key("c")], explained[union] - explained[key("abd")])
    assert set(parts) == {*(key(s) for s in "abcd"), key([SHARED])}
    np.testing.assert_allclose(sum(parts.values()), explained[union])


def test_negative_and_missing_values_are_kept():
    r = {"a": [0.1, 0.2], "b": [0.1, np.nan], "ab": [0.5, 0.3]}
    parts = partition({key(k): np.array(v) for k, v in r.items()})
    assert parts[key("ab")][0] == pytest.approx(-0.3)  # suppression
    assert np.isnan(parts[key("a")][1])


def test_what_is_missing_is_named():
    one = np.zeros(1)
    with pytest.raises(StriateError, match="lacks the model of a:"):
        partition({key("ab"): one, key("b"): one})
    with pytest.raises(StriateError, match="lacks the model of a \\+ c"):
        partition({key("abc"): one, key("ab"): one, key("bc"): one})
    for nothing in ({}, {key("a"): one}):
        with pytest.raises(StriateError, match="two feature spaces"):
            partition(nothing)


def test_largest_unions_are_found():
    have = [*map(key, ("a", "b", "ab", "c", "bc")), key("xyz"), key("xy"), key("xz")]
    assert partitionable(have) == [key("ab"), key("bc")]
    every = subsets("abc")
    assert partitionable(every) == [key("abc")]
    assert partitionable([key(c) for c in combinations("abc", 1)]) == []


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_variance_comes_back_out_of_fold(seed):
    """Two spaces that share a third of their columns' signal; theory within .02."""
    rng = np.random.default_rng(seed)
    n, targets = 4000, 40
    shared, own_a, own_b = (rng.standard_normal((n, 4)) for _ in range(3))
    spaces = {"a": np.hstack([shared, own_a]), "b": np.hstack([shared, own_b])}
    variances = {"shared": 0.3, "a": 0.2, "b": 0.1}

    def signal(x, variance):
        w = rng.standard_normal((4, targets))
        return x @ (w * np.sqrt(variance / (w * w).sum(axis=0)))

    y = signal(shared, 0.3) + signal(own_a, 0.2) + signal(own_b, 0.1)
    y += np.sqrt(0.4) * rng.standard_normal(y.shape)
    folds = np.arange(n) % 5
    explained = {}
    for names in subsets(spaces):
        x = np.hstack([spaces[k] for k in sorted(names)])
        guess = np.empty_like(y)
        for f in range(5):
            w = np.linalg.lstsq(x[folds != f], y[folds != f], rcond=None)[0]
            guess[folds == f] = x[folds == f] @ w
        explained[names] = r2(y, guess)
    parts = {k: v.mean() for k, v in partition(explained).items()}
    assert parts[key("a")] == pytest.approx(variances["a"], abs=0.02)
    assert parts[key("b")] == pytest.approx(variances["b"], abs=0.02)
    assert parts[key("ab")] == pytest.approx(variances["shared"], abs=0.02)
