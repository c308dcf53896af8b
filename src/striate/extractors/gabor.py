"""Gabor wavelet pyramid: a model of V1 with nothing learned, one space per spatial frequency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from striate.data import Stimuli
from striate.errors import RecipeError, unknown
from striate.machine import here
from striate.nets.forward import computing, decoded, files_of
from striate.nets.gabor import Pyramid
from striate.nets.preprocessing import Preprocessing

LUMINANCE = (0.299, 0.587, 0.114)
COLOURS = ("luminance", "rgb")


@dataclass(frozen=True)
class Gabor:
    """Contrast energy at every frequency, orientation and position (Kay et al. 2008).

    The space of frequency f is named ``f<f>``, such as ``f4``, and is an array (stimulus,
    orientation, row, column); with colour ``rgb`` (stimulus, 3, orientation, row, column).

    Parameters
    ----------
    size
        Images are resized to size × size pixels.
    frequencies
        Cycles per image, below size / 2.
    orientations, spacing, sigma, nonlinearity
        See `striate.nets.gabor.Pyramid`.
    colour
        ``luminance``, or ``rgb``: each colour by itself.

    """

    size: int = 128
    frequencies: tuple[float | int, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    orientations: int = 8
    spacing: float | int = 1.0
    sigma: float | int = 0.5
    nonlinearity: str = "magnitude"
    colour: str = "luminance"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise RecipeError(unknown("colour", self.colour, COLOURS))
        if not self.frequencies or len(set(self.frequencies)) < len(self.frequencies):
            raise RecipeError(f"frequencies {list(self.frequencies)}: name each one once")
        for frequency in self.frequencies:
            self.pyramid().check(frequency)

    def names(self) -> tuple[str, ...]:
        """One space per frequency."""
        return tuple(f"f{frequency:g}" for frequency in self.frequencies)

    def identity(self) -> Mapping[str, Any]:
        """All fields."""
        numbers = {"spacing": float(self.spacing), "sigma": float(self.sigma)}
        return asdict(self) | numbers | {"frequencies": [float(f) for f in self.frequencies]}

    def __call__(self, stimuli: Stimuli) -> Iterator[dict[str, np.ndarray]]:
        """Batches in the order of the stimuli: space → array, one row per stimulus."""
        files = files_of(stimuli.ids, stimuli.table["file"])
        machine, pyramid = here(), self.pyramid()
        device = machine.torch_device()
        shape = Preprocessing((self.size, self.size))
        weights = torch.tensor([LUMINANCE] if self.colour == "luminance" else np.eye(3).tolist())
        batches = decoded(files, shape, max(1, machine.batch), machine.threads, device)
        for pixels in batches:
            with computing(device, machine.threads):
                colours = torch.from_numpy(pixels).to(device).float() / 255
                planes = (colours @ weights.to(device).T).permute(0, 3, 1, 2)
                count, depth = planes.shape[:2]
                flat = planes.flatten(0, 1).contiguous()
                batch = {}
                for name, frequency in zip(self.names(), self.frequencies, strict=True):
                    values = pyramid(flat, frequency).unflatten(0, (count, depth))
                    values = values[:, 0] if self.colour == "luminance" else values
                    batch[name] = values.contiguous().cpu().numpy()
            yield batch

    def pyramid(self) -> Pyramid:
        """The wavelets."""
        return Pyramid(self.size, self.orientations, self.spacing, self.sigma, self.nonlinearity)
