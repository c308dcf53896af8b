"""Networks of torchvision: images, and clips, with the preset of their weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets.inputs import Input
from striate.nets.inputs.clips import Clips
from striate.nets.inputs.pictures import Pictures
from striate.nets.libraries.fitting import Fitted, stated_over
from striate.nets.loading import Library, Network
from striate.nets.preprocessing import resolve
from striate.nets.repair import repair

FRAMES = 16
"""Of a clip, where a recipe does not say."""
OTHERS = {
    "ObjectDetection": "detects objects",
    "OpticalFlow": "finds the flow between two images",
    "SemanticSegmentation": "segments images",
}
"""What networks do that are shown something else, by the name of their preset."""


class Torchvision(Library):
    """Networks that classify images or clips."""

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """The network as torchvision makes it."""
        zoo = _zoo()
        _preset(network)
        weights = _weights(network) if pretrained else None
        built: nn.Module = zoo.get_model(network.model, weights=weights, **network.options)
        return built

    def weights(self, network: Network) -> str:
        """The name of the file, which holds a part of its SHA-256."""
        return f"torchvision:{str(_weights(network).url).rpartition('/')[2]}"

    def input(self, network: Network, frames: Frames | None) -> Input:
        """Images or clips, by the preset of the weights."""
        preset = _preset(network)
        crop = tuple(preset.crop_size) * (2 if len(preset.crop_size) == 1 else 1)
        default: dict[str, Any] = {
            "resize": preset.resize_size[0] if len(preset.resize_size) == 1 else None,
            "crop": crop,
            "interpolation": preset.interpolation.value,
            "mean": tuple(preset.mean),
            "std": tuple(preset.std),
        }
        default["resize"] = default["resize"] or tuple(preset.resize_size)
        if type(preset).__name__ == "VideoClassification":
            sampled = stated_over(Fitted(**default, antialias=False), network.stated)
            return Clips(sampled, frames or Frames.parse(FRAMES), "channels")
        return Pictures(resolve(default, network.stated), frames or Frames())

    def names(self) -> tuple[str, ...]:
        """Every model of torchvision."""
        return tuple(_zoo().list_models())


def _zoo() -> Any:
    repair()
    import torchvision.models as zoo

    return zoo


def _check(model: str) -> None:
    names = _zoo().list_models()
    if model not in names:
        raise RecipeError(unknown("torchvision model", model, names))


def _weights(network: Network) -> Any:
    _check(network.model)
    choices = _zoo().get_model_weights(network.model)
    if network.weights == "default" and not choices.__members__:
        raise RecipeError(
            f"torchvision has no weights of {network.model!r}: use a file, or weights = 'none'"
        )
    tag = "DEFAULT" if network.weights == "default" else network.weights.rpartition(".")[2]
    if tag not in choices.__members__:
        valid = [*choices.__members__, "default", "none", "a file"]
        raise RecipeError(unknown(f"weights of {network.model}", network.weights, valid))
    return choices[tag]


def _preset(network: Network) -> Any:
    if network.pretrained:
        weights = _weights(network)
    else:
        _check(network.model)
        weights = _zoo().get_model_weights(network.model)["DEFAULT"]
    preset = weights.transforms()
    kind = type(preset).__name__
    if kind not in ("ImageClassification", "VideoClassification"):
        raise RecipeError(
            f"{network.model!r} of torchvision {OTHERS.get(kind, 'does something else')} and is no"
            " network for single images or clips: take the network that it is built on, such as"
            " 'resnet50'"
        )
    return preset
