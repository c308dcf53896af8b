"""Networks of timm, with the preprocessing of their weights and their intermediate maps."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets.inputs import Input
from striate.nets.inputs.pictures import Pictures
from striate.nets.libraries import needed
from striate.nets.loading import Library, Network
from striate.nets.preprocessing import resolve
from striate.nets.repair import repair

INTERMEDIATES = "intermediates"


class Timm(Library):
    """Over a thousand architectures, each with an ``arch.tag`` for every set of weights."""

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """The network as timm makes it."""
        if "checkpoint_path" in network.options:
            raise RecipeError(
                "options.checkpoint_path of timm may run what it reads: give the file as weights"
            )
        built: nn.Module = _timm().create_model(
            name_of(network), pretrained=pretrained, **network.options
        )
        return built

    def part(self, network: Network, module: nn.Module) -> nn.Module:
        """The network with nodes ``intermediates.N``, where it has intermediate maps."""
        return with_intermediates(module)

    def weights(self, network: Network) -> str:
        """The tag: those of timm are never given to other weights."""
        return f"timm:{name_of(network)}"

    def input(self, network: Network, frames: Frames | None) -> Input:
        """Images, by the configuration of the weights."""
        return Pictures(resolve(_preprocessing(network), network.stated), frames or Frames())

    def names(self) -> tuple[str, ...]:
        """Every architecture."""
        return tuple(_timm().list_models())


def name_of(network: Network) -> str:
    """``arch`` or ``arch.tag``.

    Raises
    ------
    RecipeError
        For a repository of a hub.

    """
    if ":" in network.model or "/" in network.model:
        raise RecipeError(
            f"timm model {network.model!r}: repositories of a hub are not read; name an"
            " architecture of timm and give the file of weights"
        )
    if network.pretrained and network.weights != "default":
        return f"{network.model.partition('.')[0]}.{network.weights}"
    return network.model


def with_intermediates(module: nn.Module) -> nn.Module:
    """The same module, with a node for each of its blocks or stages.

    Node ``intermediates.N`` is what ``forward_intermediates(x, indices=[N])`` of timm gives:
    (n, channel, height, width), tokens of a transformer without class token and registers. No
    other node changes, and nothing is computed that is not asked for.
    """
    count = len(getattr(module, "feature_info", ()))
    if not hasattr(module, "forward_intermediates") or not count:
        return module
    taps = nn.ModuleList(nn.Identity() for _ in range(count))
    plain = module.forward

    def forward(images: Tensor) -> Any:
        wanted = [i for i, tap in enumerate(taps) if tap._forward_hooks]
        if not wanted:
            return plain(images)
        last, found = module.forward_intermediates(images, indices=wanted)  # type: ignore[operator]
        for i, output in zip(wanted, found, strict=True):
            taps[i](output)
        return module.forward_head(last)  # type: ignore[operator]

    module.add_module(INTERMEDIATES, taps)
    module.forward = forward
    return module


def _timm() -> Any:
    try:
        repair()
        import timm
    except ImportError as error:
        raise needed("timm", "timm", error) from error
    return timm


def _preprocessing(network: Network) -> dict[str, Any]:
    name = name_of(network)
    timm = _timm()
    try:
        known = timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:  # the architecture is known, the tag is not
        base = name.partition(".")[0]
        valid = [base, *timm.list_pretrained(f"{base}.*")]
        raise RecipeError(unknown("timm model", name, valid)) from error
    if known is None:
        raise RecipeError(unknown("timm model", name, timm.list_models()))
    asked = {"img_size": v} if (v := network.options.get("img_size")) else {}
    config = timm.data.resolve_data_config(asked, pretrained_cfg=known.to_dict())
    height, width = (int(v) for v in config["input_size"][-2:])
    fraction = float(config["crop_pct"])
    longer = math.floor(height / fraction), math.floor(width / fraction)
    if config["crop_mode"] == "squash":
        resize: int | tuple[int, int] = longer
    elif config["crop_mode"] == "center" and height == width:
        resize = longer[0]
    else:
        raise RecipeError(
            f"the preprocessing of timm {name!r} (crop mode {config['crop_mode']!r} at"
            f" {height}×{width}) is not known here: state size"
        )
    return {
        "resize": resize,
        "crop": (height, width),
        "interpolation": config["interpolation"],
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
    }
