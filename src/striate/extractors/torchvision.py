"""Networks of torchvision: images (alexnet, resnet, convnext, vit) and clips (r3d, mvit, swin)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.nets.nodes import Nodes


@dataclass(frozen=True)
class Torchvision(Nodes):
    """A network of torchvision; fields as in `striate.nets.nodes.Nodes`.

    `model` is a name such as ``squeezenet1_0``, `weights` also a tag such as ``IMAGENET1K_V1``,
    `options` such as ``{num_classes = 365}``. Networks of clips, such as ``r3d_18``, are shown 16
    frames unless `frames` says otherwise, resized without antialiasing as they were trained.
    """

    family: ClassVar[str] = "torchvision"
