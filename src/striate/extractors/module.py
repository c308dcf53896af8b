"""Any torch module of the user's, by `package.module:Class` or `./file.py:Class`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from striate.nets.nodes import Nodes


@dataclass(frozen=True)
class Module(Nodes):
    """A network of the user's; fields as in `striate.nets.nodes.Nodes`.

    `model` is ``package.module:Class`` or ``./file.py:Class``; the module is called with images
    (n, 3, height, width). `weights` is a file, or ``none``: as the class makes them, under `seed`.
    Unless stated, images are resized to 224 × 224 and normalised as for ImageNet.
    """

    weights: str = "none"
    family: ClassVar[str] = "module"
