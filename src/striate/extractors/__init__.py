"""Extractors: one family, one file; stimuli become named arrays, nothing is learned."""

from __future__ import annotations

from typing import Any

from striate.errors import RecipeError

NAMES = {
    "array": "striate.extractors.array:Array",
    "gabor": "striate.extractors.gabor:Gabor",
    "module": "striate.extractors.module:Module",
    "pixels": "striate.extractors.pixels:Pixels",
    "timm": "striate.extractors.timm:Timm",
    "torchvision": "striate.extractors.torchvision:Torchvision",
}


def describe(extractor: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Every node that the extractor could be asked for, with the shape of its output per image."""
    if not hasattr(extractor, "describe"):
        raise RecipeError(f"{type(extractor).__name__} has no nodes; its spaces are its names()")
    return list(extractor.describe())
