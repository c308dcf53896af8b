"""A repository with hubconf.py: what its entry makes, and any change of it."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import FileError, RecipeError
from striate.nets.loading import Network

from .seen import close, given, shown, tapped

CONF = """
from torch import nn
from layers import Body

def small(pretrained=True, width=4):
    body = Body(width)
    if pretrained:
        nn.init.ones_(body.conv.weight)
    return body

def nothing():
    return 3
"""
LAYERS = """
from torch import nn

class Body(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv(x))
"""


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "hubconf.py").write_text(CONF)
    (folder / "layers.py").write_text(LAYERS)
    return folder


def test_the_entry_is_told_whether_its_own_weights_are_meant(repository):
    own = Network("hub", f"{repository}:small").build()
    assert float(own.conv.weight.min()) == 1
    one, two = (Network("hub", f"{repository}:small", "none", seed=3).build() for _ in range(2))
    assert torch.equal(one.conv.weight, two.conv.weight)
    assert float(one.conv.weight.max()) < 1
    wide = Network("hub", f"{repository}:small", "none", options={"width": 6}).build()
    assert wide.conv.out_channels == 6


def test_nodes_and_a_file_of_weights(repository, tmp_path):
    plain = Network("hub", f"{repository}:small", "none", size=16)
    state = {k: (v + 1).contiguous() for k, v in plain.build().state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    filled = Network("hub", f"{repository}:small", str(tmp_path / "w.safetensors"), size=16)
    inputs = given(filled.input(), shown(tmp_path))
    found = tapped(filled, ("conv",), inputs)["conv"]
    close(found, filled.build().conv(inputs))
    close(filled.build().conv.weight, plain.build().conv.weight + 1)
    assert filled.identity() != plain.identity()


def test_any_change_of_its_code_is_another_network(repository):
    network = Network("hub", f"{repository}:small", "none")
    before = network.identity()
    assert before["model"] == "small"
    assert str(repository) not in str(before)
    (repository / "layers.py").write_text(LAYERS.replace("3, width, 3", "3, width, 1"))
    assert network.identity()["source"] != before["source"]
    assert network.build().conv.kernel_size == (1, 1)
    assert "layers" not in sys.modules
    assert str(repository) not in sys.path


def test_weights_in_the_repository_are_told(repository):
    network = Network("hub", f"{repository}:small")
    before = network.identity()["weights"]
    (repository / "own.pth").write_bytes(b"1")
    assert network.identity()["weights"] != before


def test_what_is_no_entry(repository, tmp_path):
    with pytest.raises(FileError, match=r"no repository with hubconf\.py"):
        Network("hub", f"{tmp_path}:small").identity()
    with pytest.raises(RecipeError, match="write path/to/repository:entry"):
        Network("hub", "small").identity()
    with pytest.raises(RecipeError, match="makes int, no torch module"):
        Network("hub", f"{repository}:nothing", "none").build()
    with pytest.raises(RecipeError, match=r"unknown entry 'smal'.*did you mean 'small'"):
        Network("hub", f"{repository}:smal", "none").build()
    with pytest.raises(RecipeError, match="'default', its own"):
        Network("hub", f"{repository}:small", "v2").identity()
    with pytest.raises(RecipeError, match="cannot be built with options"):
        Network("hub", f"{repository}:small", "none", options={"depth": 1}).build()
