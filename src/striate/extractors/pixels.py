"""The image itself, shrunk: the control that any account of higher vision must beat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32
from PIL import Image

from striate.data import Stimuli
from striate.errors import DataError, RecipeError, some, unknown
from striate.machine import here
from striate.media import open_image

COLOURS = {"grey": "L", "gray": "L", "rgb": "RGB"}


@dataclass(frozen=True)
class Pixels:
    """Thumbnails with values between 0 and 1; one space, ``pixels``.

    Parameters
    ----------
    size
        Height and width of the thumbnail.
    colour
        ``rgb`` (3 × size × size) or ``grey`` (1 × size × size).

    """

    size: int = 16
    colour: str = "rgb"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise RecipeError(unknown("colour", self.colour, COLOURS))
        if self.size < 1:
            raise RecipeError(f"size {self.size} of pixels must be 1 or more")

    def names(self) -> tuple[str, ...]:
        """The one space."""
        return ("pixels",)

    def identity(self) -> Mapping[str, Any]:
        """Size and colours."""
        return {"size": self.size, "colour": COLOURS[self.colour]}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: array (stimulus, channel, height, width)."""
        missing = stimuli.table.index[stimuli.table["file"].astype(str) == ""]
        if len(missing):
            raise DataError(f"no image file for stimulus {some(missing)}; add it, or drop it")
        files = stimuli.table["file"].astype(str).tolist()
        size = max(1, here().batch)
        for start in range(0, len(files), size):
            yield {"pixels": np.stack([self.thumbnail(f) for f in files[start : start + size]])}

    def thumbnail(self, file: str) -> Float32[np.ndarray, "channel height width"]:
        """One image, area-averaged."""
        image = open_image(file).convert(COLOURS[self.colour])
        image = image.resize((self.size, self.size), Image.Resampling.BOX)
        values = np.asarray(image, dtype=np.float32) / np.float32(255)
        return np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1))
