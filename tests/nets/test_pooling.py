"""Pools against torch's own, for maps, tokens and vectors, in any memory format."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from striate.errors import DataError, RecipeError
from striate.nets.pooling import Pool


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    grid=st.integers(1, 7),
    kind=st.sampled_from(["mean", "max"]),
    last=st.booleans(),
)
def test_grids_are_torchs_adaptive_pools(height, width, grid, kind, last):
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    if height == 3 != width:
        return  # would be read as channels at the end
    given_maps = maps.contiguous(memory_format=torch.channels_last) if last else maps
    pool = {"mean": functional.adaptive_avg_pool2d, "max": functional.adaptive_max_pool2d}[kind]
    found = Pool.parse(f"{kind}:{grid}")(given_maps)
    torch.testing.assert_close(found, pool(maps, grid))
    table = Pool.parse({"kind": kind, "grid": grid})
    torch.testing.assert_close(table(given_maps), found)


def test_flatten_and_pyramid_do_not_depend_on_memory_format():
    maps = torch.randn(2, 5, 8, 8)
    last = maps.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(Pool("flatten")(last), maps.flatten(1))
    pyramid = Pool("pyramid")(last)
    assert pyramid.shape == (2, 5 * (1 + 4 + 16))
    torch.testing.assert_close(pyramid[:, :5], maps.amax((2, 3)))
    torch.testing.assert_close(pyramid[:, 5:9], functional.max_pool2d(maps, 4)[:, 0].flatten(1))
    torch.testing.assert_close(pyramid, Pool("pyramid")(maps))


@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens(prefix):
    tokens = torch.randn(2, prefix + 49, 6)
    torch.testing.assert_close(Pool("token")(tokens), tokens[:, 0])
    torch.testing.assert_close(Pool("mean tokens")(tokens), tokens[:, prefix:].mean(1))
    maps = tokens[:, prefix:].reshape(2, 7, 7, 6).permute(0, 3, 1, 2)
    found = Pool.parse("mean:3")(tokens)
    torch.testing.assert_close(found, functional.adaptive_avg_pool2d(maps, 3))


def test_channels_at_the_end_are_recognised():
    maps = torch.randn(2, 7, 7, 12)
    torch.testing.assert_close(Pool("mean", 1)(maps)[..., 0, 0], maps.mean((1, 2)))


def test_vectors_have_nothing_to_pool():
    vectors = torch.randn(3, 10)
    for pool in ("mean:6", "max:2", "pyramid", "none", "flatten"):
        assert Pool.parse(pool)(vectors).shape == (3, 10)


def test_what_cannot_be_pooled_says_so():
    with pytest.raises(DataError, match=r"'fc'.*which are no tokens"):
        Pool("token")(torch.zeros(2, 10), "fc")
    with pytest.raises(DataError, match=r"'text'.*which is no map"):
        Pool("mean", 2)(torch.zeros(2, 47, 8), "text")


@pytest.mark.parametrize("value", ["average:6", "mean:0", "mean:x", "token:2", {"kid": "mean"}])
def test_unknown_pools(value):
    with pytest.raises(RecipeError, match="pool"):
        Pool.parse(value)
