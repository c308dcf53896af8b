"""TensorFlow's padding, against loops over windows and cells."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from striate.nets.zoo.same import AvgPoolSame, MaxPoolSame, pad_same, same_padding

from .checkpoints import noise

sizes, kernels, strides = st.integers(1, 20), st.integers(1, 7), st.integers(1, 3)


@given(sizes, kernels, strides)
def test_the_rule_of_tensorflow(n, k, s):
    total = max(k - s, 0) if n % s == 0 else max(k - n % s, 0)
    ((before, after),) = same_padding([n], [k], [s])
    assert before + after == total
    assert after - before in (0, 1)
    assert max(n + total - k, 0) // s + 1 == math.ceil(n / s) or n + total < k


def windows(n, k, s):
    """The cells in the map under each window."""
    ((before, _),) = same_padding([n], [k], [s])
    starts = [i * s - before for i in range(math.ceil(n / s))]
    return [(i, range(max(i, 0), min(i + k, n))) for i in starts]


@settings(deadline=None)
@given(sizes, sizes, st.integers(1, 5), strides)
def test_pools_see_only_cells_inside(height, width, k, s):
    k = max(k, s)  # or windows would leave cells out
    maps = noise(1, 2, height, width) - 3  # below zero: a border of zeros would win
    places = [[w for _, w in windows(n, k, s)] for n in (height, width)]
    for pool, reduce in ((MaxPoolSame, np.max), (AvgPoolSame, np.mean)):
        found = pool((k, k), (s, s))(maps)
        slow = [
            [[reduce(m[list(r)][:, list(c)]) for c in places[1]] for r in places[0]]
            for m in maps[0].numpy()
        ]
        np.testing.assert_allclose(found[0].numpy(), np.array(slow), rtol=1e-5)


@given(sizes, kernels, strides)
def test_convolution_by_loops(n, k, s):
    line, kernel = noise(1, 1, n), noise(1, 1, k, seed=2)
    found = functional.conv1d(pad_same(line, [k], [s]), kernel, stride=s)[0, 0]
    slow = [
        sum(float(line[0, 0, cell] * kernel[0, 0, cell - start]) for cell in cells)
        for start, cells in windows(n, k, s)
    ]
    np.testing.assert_allclose(found.numpy(), slow, rtol=1e-4, atol=1e-5)


def test_axes_are_padded_each_by_its_own():
    maps = torch.ones(1, 1, 4, 7, 6)
    padded = pad_same(maps, (7, 3, 2), (2, 2, 2))
    assert same_padding((4, 7, 6), (7, 3, 2), (2, 2, 2)) == [(2, 3), (1, 1), (0, 0)]
    assert padded.shape == (1, 1, 9, 9, 6)
    assert torch.equal(padded[:, :, 2:6, 1:8], maps)
    assert padded.sum() == maps.sum()
    assert pad_same(maps, (1, 1, 1), (1, 1, 1)) is maps
