"""Log-mel patches of a sound, each of them an item: what VGGish hears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

from striate.data import Shown
from striate.errors import RecipeError
from striate.nets import looks
from striate.nets.inputs import Input
from striate.nets.inputs.waveforms import fitted, waveform
from striate.nets.zoo.vggish import BANDS, FRAMES, RATE, patches


@dataclass(frozen=True)
class Patches(Input):
    """Patches of 0.96 s side by side; a film without sound is silent.

    Parameters
    ----------
    seconds
        Sound is cut, or continued in silence, to so many; not stated: as long as it is.

    """

    seconds: float | int | None = None
    kind: ClassVar[str] = "sound"

    def __post_init__(self) -> None:
        if self.seconds is not None and self.seconds <= 0:
            raise RecipeError(f"seconds {self.seconds} of sound must be more than 0")

    def read(self, shown: Shown) -> Float32[np.ndarray, "patch 96 64"]:
        """The patches of the stimulus' sound."""
        return patches(fitted(waveform(shown, RATE), self.seconds, RATE)).numpy()

    def __call__(self, items: Shaped[Tensor, "item 96 64"]) -> Float32[Tensor, "item 96 64"]:
        """The patches themselves."""
        return items

    def blank(self) -> Float32[Tensor, "1 96 64"]:
        """One empty patch."""
        return torch.zeros(1, FRAMES, BANDS)

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "row column 3"]:
        """Mel bands over time."""
        return looks.spectrum(self.read(shown).reshape(-1, BANDS))

    def identity(self) -> dict[str, Any]:
        """The length of the sound; the front end is the network's own."""
        seconds = None if self.seconds is None else float(self.seconds)
        return {"seconds": seconds, "front": "vggish"}
