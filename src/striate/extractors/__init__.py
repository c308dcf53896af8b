"""Extractors: one family, one file; stimuli become named arrays, nothing is learned."""

from __future__ import annotations

from typing import Any

from striate.errors import RecipeError

NAMES = {
    "array": "striate.extractors.array:Array",
    "edges": "striate.extractors.edges:Edges",
    "flow": "striate.extractors.flow:Flow",
    "frames": "striate.extractors.frames:Frames",
    "function": "striate.extractors.function:Function",
    "gabor": "striate.extractors.gabor:Gabor",
    "hub": "striate.extractors.hub:Hub",
    "module": "striate.extractors.module:Module",
    "motion_energy": "striate.extractors.motion_energy:MotionEnergy",
    "open_clip": "striate.extractors.open_clip:OpenClip",
    "pixels": "striate.extractors.pixels:Pixels",
    "sound": "striate.extractors.sound:Sound",
    "timm": "striate.extractors.timm:Timm",
    "torchvision": "striate.extractors.torchvision:Torchvision",
    "transformers": "striate.extractors.transformers:Transformers",
    "words": "striate.extractors.words:Words",
    "zoo": "striate.extractors.zoo:Zoo",
}


def describe(extractor: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Every node that the extractor could be asked for, with the shape of its output per image."""
    if not hasattr(extractor, "describe"):
        raise RecipeError(f"{type(extractor).__name__} has no nodes; its spaces are its names()")
    return list(extractor.describe())
