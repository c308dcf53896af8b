"""All chosen frames of a film as one item, for networks with time in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

from striate.data import Shown
from striate.media import Frames
from striate.nets import looks
from striate.nets.inputs import Input
from striate.nets.inputs.pictures import expected, normalised, pixels_of
from striate.nets.preprocessing import Preprocessing

ORDERS = ("channels", "frames")


@dataclass(frozen=True)
class Clips(Input):
    """Clips of a fixed number of frames; an image stands still for all of them.

    Parameters
    ----------
    preprocessing
        Of each frame.
    frames
        Which frames of a film; a rule that gives the same number for every film.
    order
        ``channels``: (clip, 3, frame, height, width), as torchvision's networks want it;
        ``frames``: (clip, frame, 3, height, width), as those of transformers do.

    """

    preprocessing: Preprocessing
    frames: Frames = field(default_factory=Frames)
    order: Literal["channels", "frames"] = "channels"
    kind: ClassVar[str] = "clip"

    def read(self, shown: Shown) -> UInt8[np.ndarray, "1 frame height width 3"]:
        """The resized and cropped frames of the film, as one clip."""
        pixels = pixels_of(shown, self.frames, self.preprocessing)
        if len(pixels) == 1:
            pixels = np.repeat(pixels, self.cost, axis=0)
        return pixels[None]

    def __call__(
        self, items: Shaped[Tensor, "item frame height width 3"]
    ) -> Float32[Tensor, "..."]:
        """Normalised clips in the order of axes that the network wants."""
        clips = normalised(items, self.preprocessing)
        return clips.transpose(1, 2) if self.order == "channels" else clips

    def blank(self) -> Shaped[Tensor, "1 frame height width 3"]:
        """One black clip."""
        return torch.zeros(1, self.cost, *self.preprocessing.shape, 3, dtype=torch.uint8)

    def identity(self) -> dict[str, Any]:
        """Preprocessing, frame rule and order of axes."""
        told = {"preprocessing": self.preprocessing.identity(), "frames": self.frames.identity()}
        return told | {"order": self.order}

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "row column 3"]:
        """Some of the frames."""
        return looks.strip(self.read(shown)[0])

    @property
    def cost(self) -> int:
        """Frames of a clip."""
        return expected(self.frames)
