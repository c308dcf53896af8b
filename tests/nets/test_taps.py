"""Taps read what a node returned at the moment it returned it."""

import pytest
import torch
from torch import nn

from striate.errors import DataError, RecipeError
from striate.nets.taps import Taps, expand, parts_of, shapes

from .toys import hook_free, seeded


def whole(output, node):
    return output


@pytest.fixture
def images():
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_outputs_are_safe_from_operations_in_place(images):
    toy = seeded()
    before = toy.conv(images).clone()
    assert (before < 0).any()
    found = Taps(toy, ["conv", "relu", "twice"], whole)(images)
    torch.testing.assert_close(found["conv"], before, rtol=0, atol=0)
    torch.testing.assert_close(found["relu"], before.relu(), rtol=0, atol=0)
    torch.testing.assert_close(found["twice"], before.relu() + 1, rtol=0, atol=0)


def test_a_part_that_runs_twice_is_read_at_its_last_run(images):
    toy = seeded()
    taps = Taps(toy, ["twice"], whole)
    first, second = taps(images)["twice"], taps(images)["twice"]
    torch.testing.assert_close(first, toy.conv(images).relu() + 1)
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_the_pass_stops_after_the_last_tap(images):
    toy = seeded()
    taps = Taps(toy, ["conv", "twice"], whole)
    taps(images)
    assert toy.last.runs == 1  # the first pass learns how often each part runs
    taps(images)
    taps(images)
    assert toy.last.runs == 1
    assert hook_free(toy)


def test_the_output_of_the_whole_network(images):
    toy = seeded()
    found = Taps(toy, ["output", "last"], whole)(images)
    torch.testing.assert_close(found["output"], found["last"])
    assert list(found) == ["output", "last"]


def test_dictionaries_and_lists(images):
    toy = seeded()
    found = Taps(toy, ["several", "several:sum"], whole)(images)
    assert found["several"].shape == (2, 4)
    assert found["several:sum"].shape == (2,)
    with pytest.raises(DataError, match=r"'several:list'.*several:maps, several:sum"):
        Taps(toy, ["several:list"], whole)(images)
    assert hook_free(toy)


def test_tuples_give_their_first_tensor():
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    tokens = torch.randn(1, 3, 8)
    parent = nn.ModuleDict({"attention": attention})
    parent.forward = lambda x: attention(x, x, x)
    found = Taps(parent, ["attention", "attention:1"], whole)(tokens)
    assert found["attention"].shape == (1, 3, 8)
    assert found["attention:1"].shape == (1, 3, 3)


def test_unknown_and_silent_nodes(images):
    toy = seeded()
    with pytest.raises(RecipeError, match=r"unknown node 'con' in Toy: did you mean 'conv'\?"):
        Taps(toy, ["con"], whole)
    with pytest.raises(DataError, match=r"'unused' is part of Toy but.*never calls it"):
        Taps(toy, ["unused"], whole)(images)
    assert hook_free(toy)


def test_errors_of_the_network_pass_through_and_leave_no_hooks():
    toy = seeded()
    with pytest.raises(RuntimeError):
        Taps(toy, ["conv"], whole)(torch.zeros(1, 5, 6, 6))
    assert hook_free(toy)


def test_shapes_list_what_answers_in_forward_order(images):
    toy = seeded()
    found = shapes(toy, images[:1])
    assert list(found) == ["conv", "relu", "twice", "several", "last", "output"]
    assert found["conv"] == (4, 4, 4)
    assert hook_free(toy)
    assert "unused" in parts_of(toy)


def test_patterns():
    names = ["features.0", "features.1", "classifier.1"]
    assert expand(["classifier.1", "features.*"], names, "net") == (
        "classifier.1",
        "features.0",
        "features.1",
    )
    with pytest.raises(RecipeError, match=r"unknown node 'layer\*'"):
        expand(["layer*"], names, "net")
