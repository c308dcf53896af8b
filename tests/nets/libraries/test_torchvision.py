"""Networks of torchvision: presets of images and clips, and what is neither."""

import dataclasses

import numpy as np
import pytest
import torch

from striate.errors import RecipeError
from striate.media import Frames
from striate.nets import libraries
from striate.nets.loading import Network
from striate.nets.repair import repair

from .seen import close, given, images, shown, tapped

R3D = Network("torchvision", "r3d_18", "none")


def preset(model):
    repair()
    import torchvision

    return torchvision.models.get_model_weights(model).DEFAULT.transforms()


@pytest.mark.parametrize("model", ["r3d_18", "mvit_v1_b"])
def test_clips_are_those_of_the_preset(model):
    shows = Network("torchvision", model, "none").input()
    for image in images():
        pixels = torch.from_numpy(shows.preprocessing.pixels(image))
        frame = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        expected = preset(model)(frame[None])
        close(shows(pixels[None, None])[0], expected, 1e-6)


@pytest.mark.parametrize("model", ["alexnet", "convnext_tiny"])
def test_images_are_those_of_the_preset(model):
    shows = Network("torchvision", model, "none").input()
    for image in images():
        pixels = torch.from_numpy(shows.preprocessing.pixels(image))
        close(shows(pixels[None])[0], preset(model)(image), 1e-6)


def test_clips_have_sixteen_frames_unless_stated(tmp_path):
    assert R3D.input().frames == Frames.parse(16)
    shows = R3D.input(Frames.parse(4))
    assert shows.identity() != R3D.input().identity()
    clip = given(shows, shown(tmp_path))
    assert clip.shape == (2, 3, 4, 112, 112)


def test_nodes_of_clips_are_the_networks_own(tmp_path):
    network = dataclasses.replace(R3D, size=32)
    inputs = given(network.input(Frames.parse(4)), shown(tmp_path))
    found = tapped(network, ("layer1", "output"), inputs)
    with torch.inference_mode():
        module = network.build()
        close(found["layer1"], module.layer1(module.stem(inputs)))
        close(found["output"], module(inputs))


def test_a_stated_size_is_in_the_identity():
    changes = ({"size": 96}, {"size": 96, "crop": 64}, {"mean": (0, 0, 0)}, {"std": (1, 1, 1)})
    keys = {str(dataclasses.replace(R3D, **c).identity()) for c in ({}, *changes)}
    assert len(keys) == 5
    assert dataclasses.replace(R3D, size=96).preprocessing().antialias is False


@pytest.mark.parametrize(
    "model, task",
    [
        ("fasterrcnn_resnet50_fpn", "detects objects"),
        ("fcn_resnet50", "segments images"),
        ("raft_small", "finds the flow"),
    ],
)
def test_other_tasks_are_told(model, task):
    with pytest.raises(RecipeError, match=rf"{model}.*{task}.*such as 'resnet50'"):
        Network("torchvision", model, "none").input()


def test_weights_are_told_by_the_name_of_their_file():
    tagged = dataclasses.replace(R3D, weights="default").identity()
    assert tagged["weights"].startswith("torchvision:r3d_18-")
    assert tagged["weights"].endswith(".pth")
    assert "r3d_18" in libraries.find("torchvision").names()
