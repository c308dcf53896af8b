"""Ways to resize and crop that libraries of networks differ in, to the byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch.nn import functional

from striate.errors import RecipeError, unknown
from striate.nets.preprocessing import FILTERS, Preprocessing, resolve

FITS = ("plain", "cover", "contain")
CENTRES = ("even", "down")
SAMPLED = ("bicubic", "bilinear", "nearest")


@dataclass(frozen=True)
class Fitted(Preprocessing):
    """Preprocessing with the finer points in which libraries are not of one mind.

    Parameters
    ----------
    fit
        ``plain``: as in `Preprocessing`. With `resize` = (height, width): ``cover``, the aspect is
        kept and the box just covered; ``contain``, the aspect is kept and all is in the box.
    centre
        Where half a pixel is left over by the crop: ``even`` (torchvision, open_clip) or ``down``
        (transformers).
    antialias
        Pillow's filters; without, as torch interpolates: the networks of clips in torchvision
        were trained that way.
    fill
        Grey level where the image is smaller than the crop.

    """

    fit: str = "plain"
    centre: str = "even"
    antialias: bool = True
    fill: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, valid in (("fit", FITS), ("centre", CENTRES)):
            if getattr(self, name) not in valid:
                raise RecipeError(unknown(name, getattr(self, name), valid))
        if not self.antialias and self.interpolation not in SAMPLED:
            raise RecipeError(unknown("interpolation of clips", self.interpolation, SAMPLED))

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image behind the resize."""
        resize = self.resize
        if isinstance(resize, int):
            short = min(height, width)
            high, wide = int(resize * height / short), int(resize * width / short)
            return (resize, wide) if height <= width else (high, resize)
        if self.fit == "plain":
            return resize
        ratios = height / resize[0], width / resize[1]
        ratio = min(ratios) if self.fit == "cover" else max(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def pixels(self, image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
        """The resized and cropped image, before scaling."""
        width, height = image.size
        size = self.scaled(height, width)
        if (height, width) != size:
            image = self._resized(image, size)
        if self.shape == size:
            return np.array(image, dtype=np.uint8)
        top, left = (self._offset(a, b) for a, b in zip(size, self.shape, strict=True))
        canvas = Image.new("RGB", self.shape[::-1], (self.fill,) * 3)
        canvas.paste(image, (-left, -top))
        return np.array(canvas, dtype=np.uint8)

    def identity(self) -> dict[str, Any]:
        """The resolved steps, JSON-able."""
        more = {"fit": self.fit, "centre": self.centre, "fill": self.fill}
        return super().identity() | more | {"antialias": self.antialias}

    def _offset(self, size: int, crop: int) -> int:
        if self.centre == "down":
            return (size - crop) // 2
        return -((crop - size) // 2) if crop > size else round((size - crop) / 2.0)

    def _resized(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        if self.antialias:
            return image.resize(size[::-1], FILTERS[self.interpolation])
        planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        corners = {} if self.interpolation == "nearest" else {"align_corners": False}
        planes = functional.interpolate(planes, size, mode=self.interpolation, **corners)
        rounded = planes[0].round().clamp(0, 255).to(torch.uint8)
        return Image.fromarray(rounded.permute(1, 2, 0).contiguous().numpy())


def stated_over(default: Fitted, stated: Mapping[str, Any]) -> Fitted:
    """The library's preprocessing with the stated fields in place of its own.

    As `striate.nets.preprocessing.resolve`; a stated size or crop ends a keeping of the aspect
    that is the library's own.
    """
    names = ("resize", "crop", "interpolation", "mean", "std")
    plain = resolve({n: getattr(default, n) for n in names}, stated)
    moved = stated.get("size") is not None or stated.get("crop") is not None
    fields = {n: getattr(plain, n) for n in names}
    return replace(default, **fields, fit="plain" if moved else default.fit)
