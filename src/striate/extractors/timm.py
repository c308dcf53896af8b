"""Networks of timm: over a thousand architectures, each with the preprocessing of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.nets.nodes import Nodes


@dataclass(frozen=True)
class Timm(Nodes):
    """A network of timm; fields as in `striate.nets.nodes.Nodes`.

    `model` is a name such as ``resnet18`` or ``vit_tiny_patch16_224.augreg_in21k``, `weights` also
    a tag such as ``a1_in1k``, `options` such as ``{img_size = 112}``. Node ``intermediates.N`` is
    the map behind block or stage N that ``forward_intermediates`` of timm gives, tokens of a
    transformer on their grid.
    """

    family: ClassVar[str] = "timm"
