"""Networks of timm: intermediate maps as nodes, their preprocessing, and what is not taken."""

import pytest
import torch

from striate.errors import RecipeError
from striate.nets import libraries
from striate.nets.loading import Network
from striate.nets.taps import Taps, shapes

from .seen import close, images

timm = pytest.importorskip("timm")

MODELS = {
    "resnet18": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "convnext_atto": {},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 4},
}


def looked(network, size=64):
    torch.manual_seed(0)
    return network.build(), torch.rand(2, 3, size, size)


@pytest.mark.parametrize("model", MODELS)
def test_intermediates_are_those_of_timm(model):
    module, x = looked(Network("timm", model, "none", size=64, options=MODELS[model]))
    last = len(module.feature_info) - 1
    nodes = [f"intermediates.{n}" for n in (0, last)]
    with torch.inference_mode():
        found = Taps(module, nodes, lambda output, _: output)(x)
        for n, node in zip((0, last), nodes, strict=True):
            close(found[node], module.forward_intermediates(x, indices=[n])[1][0])
            assert found[node].ndim == 4


@pytest.mark.parametrize("model", ["resnet18", "vit_tiny_patch16_224"])
def test_other_nodes_and_the_weights_stay_as_they_are(model):
    network = Network("timm", model, "none", size=64, options=MODELS[model])
    module, x = looked(network)
    own = timm.create_model(model, pretrained=False, **MODELS[model]).eval()
    own.load_state_dict(module.state_dict())  # no name is added
    inner = "layer2" if model == "resnet18" else "blocks.3"
    with torch.inference_mode():
        plain = Taps(own, (inner, "output"), lambda output, _: output)(x)
        both = Taps(module, (inner, "output", "intermediates.1"), lambda output, _: output)(x)
        close(both[inner], plain[inner])
        close(both["output"], plain["output"])
        close(module(x), plain["output"])


def test_nothing_is_computed_that_is_not_asked_for(monkeypatch):
    module, x = looked(Network("timm", "resnet18", "none"))
    monkeypatch.setattr(module, "forward_intermediates", lambda *a, **k: pytest.fail("computed"))
    with torch.inference_mode():
        Taps(module, ("layer1", "output"), lambda output, _: output)(x)


def test_intermediates_are_listed_with_the_other_nodes():
    module, x = looked(Network("timm", "resnet18", "none"))
    found = shapes(module, x[:1])
    assert found["intermediates.1"] == found["layer1"] == (64, 16, 16)
    assert {f"intermediates.{n}" for n in range(5)} <= set(found)


@pytest.mark.parametrize("model", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_images_are_those_of_timm(model):
    shows = Network("timm", model, "none").input()
    config = timm.data.resolve_data_config(
        {}, pretrained_cfg=timm.get_pretrained_cfg(model).to_dict()
    )
    transform = timm.data.create_transform(**config)
    for image in images():
        pixels = torch.from_numpy(shows.preprocessing.pixels(image))
        close(shows(pixels[None])[0], transform(image), 1e-6)


def test_what_is_not_taken():
    with pytest.raises(RecipeError, match=r"hf-hub:timm/resnet18.*give the file of weights"):
        Network("timm", "hf-hub:timm/resnet18", "none").identity()
    with pytest.raises(RecipeError, match="checkpoint_path of timm may run"):
        Network("timm", "resnet18", "none", options={"checkpoint_path": "w.pth"}).build()
    assert "resnet18" in libraries.find("timm").names()
