"""Motion energy of films: gratings that drift, at every place, direction and speed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from striate.data import Shown, Stimuli
from striate.errors import RecipeError
from striate.media import Frames
from striate.nets import looks
from striate.nets.gabor import planes
from striate.nets.inputs.pictures import pixels_of
from striate.nets.motion_energy import MotionEnergy as Wavelets
from striate.nets.passes import check_time, one_pass, reduced
from striate.nets.preprocessing import Preprocessing


@dataclass(frozen=True)
class MotionEnergy:
    """Spatio-temporal Gabor energy (Nishimoto et al. 2011), one space per spatial frequency.

    The space of frequency f is named ``f<f>``, such as ``f4``, and is an array (stimulus, channel,
    row, column); which channel is which, `striate.nets.motion_energy.MotionEnergy.channels` tells.
    A film is read at `fps`; a picture, or a film shorter than the window, stands still at its end.

    Parameters
    ----------
    size
        Frames are resized to size × size pixels.
    frequencies
        Cycles per image, below size / 2.
    fps, directions, speeds, window, spacing, sigma, duration, flicker, nonlinearity
        See `striate.nets.motion_energy.MotionEnergy`.
    time
        What becomes of the windows over a film: ``mean``, ``max`` or ``keep``.

    """

    size: int = 96
    frequencies: tuple[float | int, ...] = (2.0, 4.0, 8.0, 16.0, 32.0)
    fps: float | int = 15.0
    directions: int = 8
    speeds: tuple[float | int, ...] = (0.0, 2.0, 4.0)
    window: int = 10
    spacing: float | int = 3.5
    sigma: float | int = 0.6
    duration: float | int = 0.3
    flicker: bool = True
    nonlinearity: str = "log"
    time: str = "mean"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.frequencies or len(set(self.frequencies)) < len(self.frequencies):
            raise RecipeError(f"frequencies {list(self.frequencies)}: name each one once")
        for frequency in self.frequencies:
            self.wavelets().check(frequency)
        check_time(self.time)

    def names(self) -> tuple[str, ...]:
        """One space per spatial frequency."""
        return tuple(f"f{frequency:g}" for frequency in self.frequencies)

    def identity(self) -> Mapping[str, Any]:
        """All fields."""
        numbers: dict[str, Any] = {
            n: float(getattr(self, n)) for n in ("fps", "spacing", "sigma", "duration")
        }
        for name in ("frequencies", "speeds"):
            numbers[name] = [float(v) for v in getattr(self, name)]
        return asdict(self) | numbers

    def wavelets(self) -> Wavelets:
        """The wavelets."""
        return Wavelets(**{f.name: getattr(self, f.name) for f in fields(Wavelets)})

    def picture(self, stimuli: Stimuli) -> UInt8[np.ndarray, "row column 3"] | None:
        """Where there is motion, at each spatial frequency, over the whole film."""
        found = next(iter(self(stimuli)))
        channels = enumerate(self.wavelets().channels())
        moving = [i for i, (speed, direction) in channels if speed and direction is not None]
        kept = [found[n][0].reshape(-1, *found[n].shape[-3:]).mean(0) for n in self.names()]
        places = [m for k in kept if (m := k[moving].sum(0)).size > 1]
        return looks.maps(places) if places else None

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: space → array (stimulus, channel, row, column)."""
        wavelets, shape = self.wavelets(), Preprocessing((self.size, self.size))
        frames = Frames.parse({"rate": float(self.fps)})

        def read(one: Shown) -> UInt8[np.ndarray, "1 frame height width 3"]:
            pixels = pixels_of(one, frames, shape)
            short = self.window - len(pixels)
            if short > 0:
                pixels = np.concatenate([pixels, np.repeat(pixels[-1:], short, axis=0)])
            return pixels[None]

        def compute(clips: Tensor) -> dict[str, Tensor]:
            light = [planes(clip.float() / 255, "luminance")[:, 0] for clip in clips]
            return {
                name: torch.stack([reduced(wavelets(c, frequency), self.time) for c in light])
                for name, frequency in zip(self.names(), self.frequencies, strict=True)
            }

        yield from one_pass(stimuli.shown(), read, compute, cost=16)
