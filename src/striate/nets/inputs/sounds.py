"""Windows of a sound, analysed as a network was trained to hear them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from striate.data import Shown
from striate.errors import RecipeError
from striate.nets.inputs import Input
from striate.nets.inputs.waveforms import waveform

SHORTEST = 0.025
"""Seconds: less is no window, for spectra are taken of pieces of this length."""

Analysis = Callable[[list[np.ndarray]], Float32[np.ndarray, "window ..."]]


@dataclass(frozen=True)
class Sounds(Input):
    """Windows that follow one another are items; the last may be short.

    Parameters
    ----------
    rate
        Samples per second that the network was trained with.
    seconds
        Length of a window; None: the whole sound is one, and features are of different lengths.
    analyse
        Windows of samples → what the network takes, such as spectrograms.
    arguments
        Names of the network's arguments, where there are several: then the analysis has an axis
        of them behind that of windows.
    told
        What else decides the numbers, JSON-able.

    """

    rate: int
    seconds: float | int | None
    analyse: Analysis = field(compare=False)
    arguments: tuple[str, ...]
    told: Mapping[str, Any]
    kind: ClassVar[str] = "sound"

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds >= SHORTEST:
            raise RecipeError(
                f"seconds {self.seconds} of a window of sound must be {SHORTEST} or more"
            )

    def read(self, shown: Shown) -> Float32[np.ndarray, "window ..."]:
        """The analysed windows of the stimulus' sound."""
        sound = waveform(shown, self.rate, self.seconds or 1.0)
        size = None if self.seconds is None else round(self.seconds * self.rate)
        return self._analysed(windows(sound, size, math.ceil(SHORTEST * self.rate)))

    def __call__(self, items: Shaped[Tensor, "item ..."]) -> Any:
        """The windows, or the network's arguments by name."""
        if len(self.arguments) == 1:
            return items
        return {
            n: items[:, i].long() if n == "attention_mask" else items[:, i]
            for i, n in enumerate(self.arguments)
        }

    def blank(self) -> Shaped[Tensor, "1 ..."]:
        """One window of silence."""
        silence = np.zeros(round((self.seconds or 1.0) * self.rate), dtype=np.float32)
        return torch.from_numpy(self._analysed([silence]))

    def identity(self) -> dict[str, Any]:
        """Rate, length of windows and analysis."""
        return {"kind": self.kind, "rate": self.rate, "seconds": self.seconds, **self.told}

    def _analysed(self, pieces: list[np.ndarray]) -> Float32[np.ndarray, "window ..."]:
        return np.ascontiguousarray(self.analyse(pieces), dtype=np.float32)


def windows(
    sound: Float32[np.ndarray, " sample"], size: int | None, shortest: int = 1
) -> list[np.ndarray]:
    """The sound in pieces of `size` samples, the last as long as what is left; or in one.

    What is left over is dropped when it has fewer than `shortest` samples, and a whole sound as
    short as that is followed by zeros.

    >>> [len(w) for w in windows(np.zeros(10, np.float32), 4)]
    [4, 4, 2]
    """
    if len(sound) < shortest:
        sound = np.pad(sound, (0, shortest - len(sound)))
    size = size or len(sound)
    pieces = [sound[start : start + size] for start in range(0, len(sound), size)]
    return pieces[:-1] if len(pieces) > 1 and len(pieces[-1]) < shortest else pieces
