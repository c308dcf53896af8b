"""What the families share: fields become nodes, identities and batches in the same way."""

from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from striate.data import Stimuli
from striate.extractors.module import Module
from striate.extractors.timm import Timm
from striate.extractors.torchvision import Torchvision
from striate.nets.nodes import Nodes

FAMILIES = {
    "torchvision": Torchvision("squeezenet1_0", ("features.3",), "none", pool="mean:2", size=64),
    "timm": Timm("resnet18", ("layer1",), "none", pool="mean:2", size=64),
    "module": Module("torchvision.models:squeezenet1_1", ("features.3",), pool="mean:2", size=64),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_says_only_where_networks_come_from(name):
    extractor = FAMILIES[name]
    assert isinstance(extractor, Nodes)
    assert extractor.family == extractor.network().library == name


@pytest.mark.parametrize("name", ["torchvision", "timm"])
def test_one_pass_fills_the_nodes_asked_for(name, tmp_path):
    extractor = FAMILIES[name]
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"im{k}.png")
    stimuli = Stimuli.from_files(sorted(tmp_path.iterdir()))
    (batch,) = list(extractor(stimuli))
    assert list(batch) == list(extractor.nodes) == list(extractor.names())
    (values,) = batch.values()
    assert values.shape[0] == 3 and values.shape[2:] == (2, 2) and values.dtype == np.float32


def test_seed_and_nodes_are_in_the_identity():
    one = FAMILIES["torchvision"]
    changes = {"seed": 1, "nodes": ("features.4",), "pool": "max:2", "size": 32, "dtype": "float16"}
    base = {f.name: getattr(one, f.name) for f in fields(one)}
    for field, value in changes.items():
        assert Torchvision(**(base | {field: value})).identity() != one.identity()
