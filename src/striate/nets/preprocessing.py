"""From an upright RGB image to what a network was trained on, by Pillow's own filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from striate.errors import RecipeError, unknown

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Size = int | tuple[int, int] | None


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to 0–1, subtract `mean`, divide by `std`.

    Parameters
    ----------
    resize
        ``(height, width)``: exactly that size, whatever the aspect. A single number: the shorter
        edge gets this length and the aspect is kept.
    crop
        Height and width of the centre that is kept; black where the image is smaller.
    interpolation
        A filter of Pillow, which antialiases when it shrinks.
    mean, std
        Per channel (red, green, blue), for values between 0 and 1.

    """

    resize: int | tuple[int, int] = (224, 224)
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.interpolation not in FILTERS:
            raise RecipeError(unknown("interpolation", self.interpolation, FILTERS))
        edges = (self.resize,) if isinstance(self.resize, int) else self.resize
        if min(*edges, *(self.crop or (1,)), 1) < 1:
            raise RecipeError(f"size {self.resize} and crop {self.crop}: edges are 1 or longer")
        if isinstance(self.resize, int) and self.crop is None:
            raise RecipeError(
                f"size {self.resize} for the shorter edge leaves images of different shapes: state"
                " crop, or size = [height, width]"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3:
                raise RecipeError(
                    f"{name} {list(values)} must have three numbers: red, green, blue"
                )
        if min(self.std) <= 0:
            raise RecipeError(f"std {list(self.std)} must be positive")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        if self.crop is not None:
            return self.crop
        return (self.resize, self.resize) if isinstance(self.resize, int) else self.resize

    def pixels(self, image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
        """The resized and cropped image, before scaling."""
        width, height = image.size
        if isinstance(self.resize, int):
            short = min(width, height)
            size = (int(self.resize * height / short), int(self.resize * width / short))
            size = (self.resize, size[1]) if height <= width else (size[0], self.resize)
        else:
            size = self.resize
        if (height, width) != size:
            image = image.resize((size[1], size[0]), FILTERS[self.interpolation])
        if self.crop is not None and self.crop != size:
            # Rounding and black padding as torchvision's center_crop has them.
            (h, w), (ch, cw) = size, self.crop
            top = -((ch - h) // 2) if ch > h else round((h - ch) / 2.0)
            left = -((cw - w) // 2) if cw > w else round((w - cw) / 2.0)
            image = image.crop((left, top, left + cw, top + ch))
        return np.array(image, dtype=np.uint8)  # a copy: torch wants memory it may write to

    def identity(self) -> dict[str, Any]:
        """The resolved steps, JSON-able."""
        return {
            "resize": self.resize if isinstance(self.resize, int) else list(self.resize),
            "crop": None if self.crop is None else list(self.crop),
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def resolve(default: Mapping[str, Any], stated: Mapping[str, Any]) -> Preprocessing:
    """The library's preprocessing with the stated fields in place of its own.

    A stated `size` alone means exactly that size, no crop; with a stated `crop`, a single number
    is the length of the shorter edge. A stated `crop` alone changes only the crop.

    >>> resolve({"resize": 256, "crop": (224, 224)}, {"size": 96}).identity()["resize"]
    [96, 96]
    """
    fields = dict(default)
    size, crop = stated.get("size"), stated.get("crop")
    if size is not None:
        exact = (size, size) if isinstance(size, int) and crop is None else size
        fields |= {"resize": exact if isinstance(exact, int) else tuple(exact), "crop": None}
    if crop is not None:
        fields["crop"] = (crop, crop)
    for name in ("interpolation", "mean", "std"):
        if stated.get(name) is not None:
            value = stated[name]
            fields[name] = value if isinstance(value, str) else tuple(float(v) for v in value)
    return Preprocessing(**fields)
