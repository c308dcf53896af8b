"""Networks of the user's own, by `package.module:Class` or `./file.py:Class`."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn

from striate import registry
from striate.errors import RecipeError
from striate.media import Frames, file_digest
from striate.nets.inputs import Input
from striate.nets.inputs.pictures import Pictures
from striate.nets.loading import Library, Network
from striate.nets.preprocessing import resolve


class Modules(Library):
    """Any torch module that takes images (n, 3, height, width)."""

    def build(self, network: Network, pretrained: bool) -> nn.Module:
        """The class, called with the options."""
        if pretrained:
            self.weights(network)
        cls: Any = registry.find("network", network.model)
        module = cls(**network.options)
        if not isinstance(module, nn.Module):
            raise RecipeError(f"{network.model!r} makes {type(module).__name__}, no torch module")
        return module

    def weights(self, network: Network) -> str:
        """None: there are no weights but those of files."""
        raise RecipeError(
            f"weights {network.weights!r} of {network.model!r}: a module of your own takes a file"
            " or 'none'"
        )

    def input(self, network: Network, frames: Frames | None) -> Input:
        """Images, 224 × 224 and normalised as for ImageNet unless stated."""
        return Pictures(resolve({}, network.stated), frames or Frames())

    def identity(self, network: Network) -> dict[str, Any]:
        """The name of the class without its folder, and the digest of the file that defines it."""
        file, _, name = network.model.rpartition(":")
        cls: Any = registry.find("network", network.model)
        source = getattr(sys.modules.get(cls.__module__), "__file__", None)
        return {
            "model": name if file.endswith(".py") else network.model,
            "source": file_digest(source) if source else "",
        }
