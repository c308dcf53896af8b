"""Gabor wavelet pyramid: a model of V1 with nothing learned, one space per spatial frequency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from striate.data import Shown, Stimuli
from striate.errors import RecipeError, unknown
from striate.media import Frames
from striate.nets import looks
from striate.nets.gabor import COLOURS, Pyramid, planes
from striate.nets.inputs.pictures import count_of, pixels_of
from striate.nets.passes import check_time, one_pass
from striate.nets.preprocessing import Preprocessing


@dataclass(frozen=True)
class Gabor:
    """Contrast energy at every frequency, orientation and position (Kay et al. 2008).

    The space of frequency f is named ``f<f>``, such as ``f4``, and is an array (stimulus,
    orientation, row, column); with colour ``rgb`` or ``opponent`` (stimulus, 3, orientation, row,
    column).

    Parameters
    ----------
    size
        Images are resized to size × size pixels.
    frequencies
        Cycles per image, below size / 2.
    orientations, spacing, sigma, nonlinearity, semisaturation, surround
        See `striate.nets.gabor.Pyramid`.
    colour
        ``luminance``, ``rgb``: each colour by itself, or ``opponent``: luminance, red–green and
        blue–yellow; see `striate.nets.gabor.COLOURS`.
    frames, time
        Which frames of a film, and what becomes of them: ``mean``, ``max`` or ``keep``.

    """

    size: int = 128
    frequencies: tuple[float | int, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    orientations: int = 8
    spacing: float | int = 1.0
    sigma: float | int = 0.5
    nonlinearity: str = "magnitude"
    colour: str = "luminance"
    semisaturation: float | int = 0.1
    surround: float | int = 1.0
    frames: int | dict[str, Any] = 16
    time: str = "mean"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise RecipeError(unknown("colour", self.colour, COLOURS))
        if not self.frequencies or len(set(self.frequencies)) < len(self.frequencies):
            raise RecipeError(f"frequencies {list(self.frequencies)}: name each one once")
        for frequency in self.frequencies:
            self.pyramid().check(frequency)
        check_time(self.time)

    def names(self) -> tuple[str, ...]:
        """One space per frequency."""
        return tuple(f"f{frequency:g}" for frequency in self.frequencies)

    def identity(self) -> Mapping[str, Any]:
        """All fields."""
        names = ("spacing", "sigma", "semisaturation", "surround")
        numbers: dict[str, Any] = {n: float(getattr(self, n)) for n in names}
        numbers |= {"frequencies": [float(f) for f in self.frequencies]}
        return asdict(self) | numbers | {"frames": Frames.parse(self.frames).identity()}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: space → array, one row per stimulus."""
        pyramid, frames = self.pyramid(), Frames.parse(self.frames)
        shape = Preprocessing((self.size, self.size))

        def compute(pixels: Tensor) -> dict[str, Tensor]:
            shown = planes(pixels.float() / 255, self.colour)
            found = {}
            for name, frequency in zip(self.names(), self.frequencies, strict=True):
                values = pyramid(shown.flatten(0, 1), frequency).unflatten(0, shown.shape[:2])
                found[name] = (values[:, 0] if self.colour == "luminance" else values).contiguous()
            return found

        def read(one: Shown) -> np.ndarray:
            return pixels_of(one, frames, shape)

        return one_pass(stimuli.shown(), read, compute, self.time, partial(count_of, frames=frames))

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"]:
        """Where there is contrast, at each frequency."""
        found = next(iter(self(stimuli)))
        return looks.maps(
            found[n][0].reshape(-1, *found[n].shape[-2:]).mean(0) for n in self.names()
        )

    def pyramid(self) -> Pyramid:
        """The wavelets."""
        names = [f.name for f in fields(Pyramid)]
        return Pyramid(**{n: getattr(self, n) for n in names})
