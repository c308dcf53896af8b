"""The image itself, shrunk: the control that any account of higher vision must beat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from striate.data import Shown, Stimuli
from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets import looks
from striate.nets.inputs.pictures import count_of, images_of
from striate.nets.passes import check_time, one_pass

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
    frames, time
        Which frames of a film, and what becomes of them: ``mean``, ``max`` or ``keep``.

    """

    size: int = 16
    colour: str = "rgb"
    frames: int | dict[str, Any] = 16
    time: str = "mean"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise RecipeError(unknown("colour", self.colour, COLOURS))
        if self.size < 1:
            raise RecipeError(f"size {self.size} of pixels must be 1 or more")
        check_time(self.time)

    def names(self) -> tuple[str, ...]:
        """The one space."""
        return ("pixels",)

    def identity(self) -> Mapping[str, Any]:
        """Size, colours, and what becomes of films."""
        told = {"size": self.size, "colour": COLOURS[self.colour], "time": self.time}
        return told | {"frames": Frames.parse(self.frames).identity()}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: array (stimulus, channel, height, width)."""
        frames = Frames.parse(self.frames)

        def read(shown: Shown) -> Float32[np.ndarray, "frame channel height width"]:
            return np.stack([self.thumbnail(image) for image in images_of(shown, frames)])

        items = partial(count_of, frames=frames)
        return one_pass(stimuli.shown(), read, lambda x: {"pixels": x}, self.time, items)

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"]:
        """Thumbnails of some frames."""
        images = images_of(stimuli.shown()[0], Frames.parse(self.frames))
        small = np.stack([self.thumbnail(i) for i in images]).transpose(0, 2, 3, 1)
        small = np.repeat(small, 3 // small.shape[-1], axis=-1)
        return looks.strip((255 * small).round().astype(np.uint8))

    def thumbnail(self, image: Image.Image) -> Float32[np.ndarray, "channel height width"]:
        """One image, area-averaged."""
        small = image.convert(COLOURS[self.colour])
        small = small.resize((self.size, self.size), Image.Resampling.BOX)
        values = np.asarray(small, dtype=np.float32) / np.float32(255)
        return np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1))
