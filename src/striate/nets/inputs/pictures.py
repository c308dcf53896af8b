"""Frames one by one: an image is one item, and so is every chosen frame of a film."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image
from torch import Tensor

from striate.data import Shown
from striate.errors import DataError
from striate.media import Frames, is_film, read_frames
from striate.nets import looks
from striate.nets.inputs import Input
from striate.nets.preprocessing import Preprocessing


@dataclass(frozen=True)
class Pictures(Input):
    """Frames, resized and cropped on the CPU by Pillow and normalised on the device.

    Parameters
    ----------
    preprocessing
        From an upright RGB image to what the network was trained on.
    frames
        Which frames of a film; an image is one frame.

    """

    preprocessing: Preprocessing
    frames: Frames = field(default_factory=Frames)
    kind: ClassVar[str] = "image"

    def read(self, shown: Shown) -> UInt8[np.ndarray, "frame height width 3"]:
        """Resized and cropped frames, before scaling."""
        return pixels_of(shown, self.frames, self.preprocessing)

    def __call__(self, items: Shaped[Tensor, "item height width 3"]) -> Float32[Tensor, "..."]:
        """Images (item, 3, height, width) in channels-last memory."""
        return normalised(items, self.preprocessing)

    def blank(self) -> Shaped[Tensor, "1 height width 3"]:
        """One black image."""
        return torch.zeros(1, *self.preprocessing.shape, 3, dtype=torch.uint8)

    def identity(self) -> dict[str, Any]:
        """Preprocessing and frame rule."""
        return {"preprocessing": self.preprocessing.identity(), "frames": self.frames.identity()}

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "row column 3"]:
        """Some of the frames."""
        return looks.strip(self.read(shown))

    def count(self, shown: Shown) -> int:
        """Frames of a film, as far as the rule tells; one of an image."""
        return count_of(shown, self.frames)


def pixels_of(
    shown: Shown, frames: Frames, preprocessing: Preprocessing
) -> UInt8[np.ndarray, "frame height width 3"]:
    """Frames of a stimulus, resized and cropped."""
    return np.stack([preprocessing.pixels(image) for image in images_of(shown, frames)])


def images_of(shown: Shown, frames: Frames) -> list[Image.Image]:
    """Frames of a stimulus, upright RGB.

    Raises
    ------
    DataError
        When the stimulus has no file.
    FileError
        When the file cannot be read.

    """
    if not shown.file:
        raise DataError(
            f"no image or film file for stimulus {shown.id!r}; add it, or drop the stimulus"
        )
    return read_frames(shown, frames)


def normalised(
    pixels: Shaped[Tensor, "... height width 3"], preprocessing: Preprocessing
) -> Float32[Tensor, "... 3 height width"]:
    """(x / 255 − mean) / std per channel, channels before height without a copy."""
    images = pixels.movedim(-1, -3)
    mean, std = (
        torch.tensor(v, device=pixels.device, dtype=torch.float32).view(3, 1, 1)
        for v in (preprocessing.mean, preprocessing.std)
    )
    # In two passes over memory instead of four.
    return torch.sub(images, 255 * mean).mul_(1 / (255 * std))


def count_of(shown: Shown, frames: Frames) -> int:
    """How many frames are read of a stimulus, as far as the rule tells."""
    return expected(frames) if is_film(shown.file) else 1


def expected(frames: Frames) -> int:
    """How many frames a rule gives; 16 where that depends on the film."""
    return frames.count or len(frames.times) or 16
