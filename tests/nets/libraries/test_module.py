"""A module of the user's by way of its library: class, options, and the digest of its file."""

import pytest

from striate.errors import RecipeError
from striate.nets import libraries
from striate.nets.libraries.module import Modules
from striate.nets.loading import Network

TOY = Network("module", "tests.nets.toys:Toy", "none", options={"channels": 3})


def test_the_class_is_called_with_the_options():
    assert TOY.build().conv.out_channels == 3
    assert isinstance(libraries.find("module"), Modules)
    assert libraries.find("module").names() == ()


def test_its_file_is_in_the_identity():
    told = TOY.identity()
    assert told["model"] == "tests.nets.toys:Toy"
    assert len(told["source"]) >= 16


def test_a_library_that_is_not():
    with pytest.raises(RecipeError, match=r"unknown library of networks 'tim'.*'timm'"):
        Network("tim", "resnet18").input()
