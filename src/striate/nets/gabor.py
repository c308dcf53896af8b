"""A pyramid of Gabor wavelets in quadrature: what simple and complex cells of V1 respond to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from striate.errors import RecipeError, unknown

NONLINEARITIES = ("energy", "log", "magnitude")


@dataclass(frozen=True)
class Pyramid:
    r"""Gabor wavelets at every frequency, orientation and position.

    A wavelet at position :math:`p` with wave vector :math:`k` is

    .. math:: w(x) = g(x - p)\,(e^{i k \cdot (x - p)} - c_p), \quad
              g(x) = e^{-|x|^2 / 2\sigma^2}

    where :math:`c_p` makes its sum over the image zero, at the borders too, so that a uniform
    image gives no response. Magnitudes are scaled such that a grating of amplitude 1 and the
    wavelet's own frequency and orientation gives 1, whatever its phase (Kay et al. 2008).

    Parameters
    ----------
    size
        Pixels along an edge of the images.
    orientations
        Evenly spaced over half a turn. The first varies along x, so its bars are vertical.
    spacing
        Distance of positions, in wavelengths: at 1, frequency f has f × f positions.
    sigma
        Standard deviation of the envelope, in wavelengths; 0.5 is a bandwidth of 1.1 octaves.
    nonlinearity
        ``magnitude`` (root of the summed squares of both phases), ``energy`` (without the root),
        or ``log`` (log of 1 + magnitude × 100, that is of contrast in percent).

    """

    size: int = 128
    orientations: int = 8
    spacing: float | int = 1.0
    sigma: float | int = 0.5
    nonlinearity: str = "magnitude"

    def __post_init__(self) -> None:
        if self.nonlinearity not in NONLINEARITIES:
            raise RecipeError(unknown("nonlinearity", self.nonlinearity, NONLINEARITIES))
        for name in ("size", "orientations", "spacing", "sigma"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"{name} {getattr(self, name)} of a Gabor pyramid: must be > 0")

    def check(self, frequency: float | int) -> None:
        """Refuse a frequency that the pixels cannot show."""
        if not 0 < frequency < self.size / 2:
            raise RecipeError(
                f"frequency {frequency:g} (cycles per image) must lie between 0 and size / 2 ="
                f" {self.size / 2:g}: lower it or raise size"
            )

    def positions(self, frequency: float | int) -> Float32[Tensor, " position"]:
        """Centres of the wavelets along one edge, in pixels."""
        self.check(frequency)
        count = max(1, round(frequency / self.spacing))
        return (torch.arange(count, dtype=torch.float32) + 0.5) * (self.size / count) - 0.5

    def __call__(
        self, images: Float32[Tensor, "stimulus height width"], frequency: float | int
    ) -> Float32[Tensor, "stimulus orientation row column"]:
        """Responses of all wavelets of one frequency (cycles per image).

        A wavelet is the product of one function of x and one of y, so two matrix products do for
        every position at once.
        """
        along_x, along_y, gauss, uniform = (
            t.to(images.device) for t in _bank(self, float(frequency))
        )
        images = images - images.mean(dim=(1, 2), keepdim=True)
        count, places = len(images), len(gauss)
        # x: all orientations as columns of one product, real parts, imaginary parts, the envelope
        columns = torch.cat([along_x.real, along_x.imag]).flatten(0, 1)
        rows = images.reshape(-1, self.size) @ torch.cat([columns, gauss]).T
        parts = rows.view(count, self.size, -1, places)
        n = self.orientations
        waves = torch.complex(parts[:, :, :n], parts[:, :, n : 2 * n]).permute(0, 2, 1, 3)
        responses = along_y @ waves  # (stimulus, orientation, row, column)
        envelope = gauss @ parts[:, :, -1]
        responses = responses - uniform * envelope.unsqueeze(1)
        energy = responses.real.square() + responses.imag.square()
        if self.nonlinearity == "energy":
            return energy
        magnitude = energy.sqrt()
        return torch.log1p(100 * magnitude) if self.nonlinearity == "log" else magnitude


@lru_cache(maxsize=32)
def _bank(
    pyramid: Pyramid, frequency: float | int
) -> tuple[
    Complex64[Tensor, "orientation position x"],
    Complex64[Tensor, "orientation position y"],
    Float32[Tensor, "position x"],
    Complex64[Tensor, "orientation row column"],
]:
    """Factors along x and y, the envelope, and the response to a uniform image (`c` above)."""
    wavelength = pyramid.size / frequency
    pixels = torch.arange(pyramid.size, dtype=torch.float64)
    distance = pixels[None] - pyramid.positions(frequency).double()[:, None]
    sigma = pyramid.sigma * wavelength
    gauss = torch.exp(-(distance**2) / (2 * sigma**2))
    # The sum of a whole envelope, which borders do not cut: half of it is the response of the
    # wavelet to a grating of amplitude 1.
    reach = torch.arange(-math.ceil(8 * sigma), math.ceil(8 * sigma) + 1, dtype=torch.float64)
    scale = math.sqrt(2) / float(torch.exp(-(reach**2) / (2 * sigma**2)).sum())
    angles = torch.arange(pyramid.orientations, dtype=torch.float64) * math.pi
    angles = angles / pyramid.orientations
    wave = 2 * math.pi / wavelength * torch.stack([angles.cos(), angles.sin()])
    along_x, along_y = (
        torch.polar(gauss.expand(len(angles), -1, -1), w[:, None, None] * distance) for w in wave
    )
    total = gauss.sum(1)
    uniform = along_y.sum(2)[:, :, None] * along_x.sum(2)[:, None, :]
    uniform = uniform / (total[:, None] * total[None])
    return (
        (along_x * scale).to(torch.complex64),
        (along_y * scale).to(torch.complex64),
        (gauss * scale).float(),
        uniform.to(torch.complex64),
    )
